"""Block ranges → logs, as many blocks at a time as the node and the logs' density allow, read ahead and in order.

Each page of blocks is read from one endpoint: its logs, the header of its last block, and the headers of the blocks
that have logs where the node gives no timestamps with them. Headers between need not be there.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import structlog

from chainwatch.chain.completeness import (
    Doubts,
    everything_in,
    lacks_some,
    prove_lacking,
    proven_page,
    to_prove,
)
from chainwatch.chain.errors import Disputed, MalformedAnswer, NotThere, RangeTooWide
from chainwatch.chain.page_ends import FromTheFuture, is_disproved, is_doubtful, refuse_future
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import CUT_AT, Endpoint
from chainwatch.chain.transactions import with_transactions
from chainwatch.chain.watch import NetworkWatch
from chainwatch.chain.wire import LogFilter
from chainwatch.model import Batch, Header, RawLog

IN_FLIGHT = 3
"""Pages read at once."""

FIRST_SPAN = 32
LARGEST_SPAN = 200_000
"""Blocks of the first page, and of any."""

GOOD_PAGE = 1_024
"""Logs that a page should have: more make it slow and large, fewer take many requests."""

A_LOGS_CALLDATA = 8_192
"""Bytes of calldata that count as one more log."""

FORGET_AFTER = 8
"""Pages read after which a size that was once refused is tried again, unless it is an endpoint's fixed limit."""

PATIENCE = 60.0
"""Seconds for which a page is retried before its error is raised."""


async def read_range(
    pool: Pool, watch: NetworkWatch, first: int, last: int, *, first_ever: bool = False
) -> AsyncGenerator[Batch]:
    """Yield the blocks ``first``..``last`` as contiguous batches in order. Raises `RpcError` when a page stays unreadable.

    To go on after an error, call it again from the block after the last batch: nothing is remembered here. ``first_ever``:
    nothing of the network was read before, so the first batch also holds the timestamp of its first block.
    """
    first_timestamp = (await header_at(pool, first)).timestamp if first_ever else None
    async for page in _pages(pool, watch, watch.filter, first, last, ends=True):
        assert page.end is not None
        events, undecoded = watch.decode_all(page.logs)
        yield Batch(
            watch.network,
            page.first,
            page.end,
            events,
            undecoded,
            headers=(page.end,),
            first_timestamp=first_timestamp,
        )
        first_timestamp = None


async def find_logs(
    pool: Pool, address: bytes, topics: Sequence[tuple[bytes, ...] | None], first: int, last: int
) -> list[RawLog]:
    """Return all logs of ``address`` in the blocks ``first``..``last`` whose topics match: one of a tuple, or any for None.

    For a few logs in many blocks, again and again: empty answers are verified at a few blocks of each page only.
    Raises `RpcError`.
    """
    wanted = LogFilter((address,), tuple(topics))
    return [log async for page in _pages(pool, None, wanted, first, last, ends=False) for log in page.logs]


async def block_at(pool: Pool, timestamp: int) -> int:
    """Return the number of the first block whose timestamp is ``timestamp`` (seconds) or later.

    That is head + 1 when there is none yet. Raises `RpcError`.
    """
    head = await pool.ask(Endpoint.head, PATIENCE)
    low, high = 0, head.number + 1
    while low < high:
        middle = (low + high) // 2
        header = head if middle == head.number else (await header_at(pool, middle))
        if header.timestamp >= timestamp:
            high = middle
        else:
            low = middle + 1
    return low


async def header_at(pool: Pool, number: int) -> Header:
    """Return the header of block ``number``. Raises `RpcError`."""
    (header,) = await pool.ask(lambda endpoint: endpoint.headers([number]), PATIENCE)
    return header


async def heavy_block_logs(endpoint: Endpoint, wanted: LogFilter, block: int) -> list[RawLog]:
    """Return the logs of one block that may be too many for one answer: if so, by topic, and at last from its receipts."""
    try:
        return await _uncut(endpoint, wanted, block, await endpoint.logs(wanted, block, block))
    except RangeTooWide as error:
        if error.timed_out:
            raise
    topic0s = (wanted.topics[0] if wanted.topics else None) or ()
    if len(topic0s) > 1:
        try:
            parts = [await endpoint.logs(_only(wanted, topic), block, block) for topic in topic0s]
        except RangeTooWide as error:
            if error.timed_out:
                raise
        else:
            logs = sorted((log for part in parts for log in part), key=lambda log: log.log_index)
            return await _uncut(endpoint, wanted, block, logs, any(len(part) in CUT_AT for part in parts))
    return await endpoint.receipt_logs(wanted, block)


async def _uncut(
    endpoint: Endpoint, wanted: LogFilter, block: int, logs: list[RawLog], suspected: bool = False
) -> list[RawLog]:
    """Return ``logs`` of ``block``, or more of them where their round number shows an answer that was cut off.

    Raises `Disputed` when all logs of the block are as round a number, and its bloom shows more.
    """
    if not suspected and len(logs) not in CUT_AT:
        return logs
    (whole_block,) = await endpoint.blocks([block])
    found = await everything_in(endpoint, whole_block)
    everything = found.logs if found else []
    if len(everything) in CUT_AT and lacks_some(endpoint, whole_block, everything):
        raise Disputed(
            endpoint.name, f"exactly {len(everything)} logs of block {block}, though its bloom shows more"
        )
    whole = [log for log in everything if wanted.matches(log)]
    return whole if len(whole) > len(logs) else logs


_log = structlog.get_logger("chainwatch.chain")


class _Page(NamedTuple):
    first: int
    last: int
    end: Header | None
    """The header of its last block, where that was asked for."""
    logs: list[RawLog]
    is_end_doubtful: bool = False
    """Whether the block after ``end`` names another parent."""
    calldata: int = 0
    """Bytes of calldata that came with the logs."""


async def _pages(
    pool: Pool, watch: NetworkWatch | None, wanted: LogFilter, first: int, last: int, *, ends: bool
) -> AsyncIterator[_Page]:
    span = _Span(pool.network.max_block_range)
    reading: deque[tuple[int, int, asyncio.Task[_Page]]] = deque()
    begin = first
    try:
        while reading or begin <= last:
            while begin <= last and len(reading) < span.pages:
                end = min(begin + span.blocks - 1, last)
                page_read = _read_whole_page(pool, watch, wanted, begin, end, (first, last), ends)
                reading.append((begin, end, asyncio.create_task(page_read)))
                begin = end + 1
            start, end, task = reading[0]
            try:
                page = await task
            except RangeTooWide as error:
                span.refused(end - start + 1, error)
                await _cancel(reading)
                begin = start
                continue
            reading.popleft()
            span.accepted(end - start + 1, len(page.logs) + page.calldata // A_LOGS_CALLDATA)
            yield page
    finally:
        await _cancel(reading)


async def _cancel(reading: deque[tuple[int, int, asyncio.Task[_Page]]]) -> None:
    tasks = [task for _, _, task in reading]
    reading.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _read_whole_page(
    pool: Pool,
    watch: NetworkWatch | None,
    wanted: LogFilter,
    first: int,
    last: int,
    whole: tuple[int, int],
    ends: bool,
) -> _Page:
    """Return one page of the range ``whole`` with the transactions of its logs that ``watch`` reads."""
    page = await _read_page(pool, wanted, first, last, whole, ends)
    if watch is None or not watch.reads_transactions:
        return page
    logs = await with_transactions(pool, watch, page.logs, PATIENCE)
    called = {log.tx_hash: log.transaction.input or b"" for log in logs if log.transaction is not None}
    return page._replace(logs=logs, calldata=sum(map(len, called.values())))


async def _read_page(
    pool: Pool, wanted: LogFilter, first: int, last: int, whole: tuple[int, int], ends: bool
) -> _Page:
    """Return one page of the range ``whole``.

    The first one, and each without logs, is compared with that of another endpoint.
    """
    answered: list[tuple[_Page, Endpoint]] = []
    short: list[Endpoint] = []
    doubts: Doubts[_Page] = Doubts()

    async def read(endpoint: Endpoint) -> _Page:
        if first < endpoint.lacks_before:
            raise NotThere(
                endpoint.name, f"lacks logs before block {endpoint.lacks_before}: refused for them"
            )
        if endpoint.lacks_logs_of is not None and first <= endpoint.lacks_logs_of.header.number:
            await prove_lacking(endpoint)
        logs = await (
            heavy_block_logs(endpoint, wanted, first) if first == last else endpoint.logs(wanted, first, last)
        )
        numbers = {log.block_number for log in logs if log.timestamp == 0} | ({last} if ends else set())
        numbers.update(to_prove(endpoint, first, last, whole[1] if ends else None, logs))
        if ends and logs:
            numbers.add(logs[len(logs) // 2].block_number)  # to see whether the logs are of this chain
        if ends and last < whole[1]:
            numbers.add(last + 1)  # the child names the block up to which the checkpoint will stand
        blocks = await endpoint.blocks(sorted(numbers)) if numbers else []
        is_end_doubtful = False
        if blocks and blocks[-1].header.number > last:
            child = blocks.pop()
            is_end_doubtful = await is_doubtful(endpoint, blocks[-1].header, child.header)
        headers = {block.header.number: block.header for block in blocks}
        logs = _checked(endpoint, logs, headers)
        if not pool.alone:
            _check_times(endpoint, headers, logs)
        try:
            refuse_future(pool, endpoint, headers.get(last))
            logs = await proven_page(endpoint, wanted, blocks, logs)
            page = _Page(first, last, headers.get(last), logs, is_end_doubtful)
        except FromTheFuture as error:
            page = doubts.settle(
                endpoint, _Page(first, last, headers.get(last), logs, is_end_doubtful), error
            )
        except Disputed as error:
            short.append(endpoint)
            page = doubts.settle(
                endpoint, _Page(first, last, headers.get(last), logs, is_end_doubtful), error
            )
        answered.append((page, endpoint))
        return page

    page = await pool.ask_agreeing(read, PATIENCE)
    by = next(endpoint for answer, endpoint in answered if answer is page)
    for endpoint in {one.name: one for one in short if page.logs and one is not by}.values():
        _refuse(endpoint, last)
    is_checked = last < whole[1] and not page.is_end_doubtful
    if page.end is not None and not is_checked and await is_disproved(pool, page.end, by):
        pool.avoid(by, f"its block {last} is not the one that its own next block and other endpoints name")
        return await _read_page(pool, wanted, first, last, whole, ends)
    if pool.network.agreement > 1 or (page.logs and first > whole[0]):
        return page
    return await _confirmed(pool, page, read, by, whole[1])


async def _confirmed(
    pool: Pool, page: _Page, read: Callable[[Endpoint], Awaitable[_Page]], by: Endpoint, last: int
) -> _Page:
    """Return ``page`` as ``by`` gave it, or that of an endpoint with more logs: then ``by`` is pruned up to ``last``.

    Raises `Disputed` when each has logs that the other lacks, or when the other's logs are of another fork.
    """
    other = await pool.ask_another(read, by)
    more = [] if other is None else sorted(set(other.logs) - set(page.logs))
    if other is None or not more:
        return page
    (header,) = await by.headers([more[0].block_number])
    if header.hash != more[0].block_hash or not set(page.logs) <= set(other.logs):
        raise Disputed(by.name, f"another endpoint has other logs of the blocks {page.first}..{page.last}")
    _refuse(by, last)
    return other


def _refuse(endpoint: Endpoint, last: int) -> None:
    """Ask ``endpoint`` no more for the blocks up to ``last``: it lacks logs of them that another has."""
    endpoint.lacks_before = max(endpoint.lacks_before, last + 1)
    _log.warning(
        "endpoint lacks logs that another has: refused for old blocks",
        endpoint=endpoint.name,
        before=last + 1,
    )


def _check_times(endpoint: Endpoint, headers: Mapping[int, Header], logs: Sequence[RawLog]) -> None:
    times = {log.block_number: log.timestamp for log in logs}
    times.update((number, header.timestamp) for number, header in headers.items())
    for (earlier, before), (later, after) in itertools.pairwise(sorted(times.items())):
        if after < before:
            raise MalformedAnswer(
                endpoint.name, f"block {later} was made at {after}, before block {earlier} at {before}"
            )


def _checked(endpoint: Endpoint, logs: list[RawLog], headers: dict[int, Header]) -> list[RawLog]:
    """Return ``logs`` with the timestamps of their ``headers``. Raises `NotThere` where the hashes differ (a fork race)."""
    checked: list[RawLog] = []
    for log in logs:
        header = headers.get(log.block_number)
        if header is None:
            checked.append(log)
        elif header.hash != log.block_hash:
            raise NotThere(
                endpoint.name, f"block {header.number} was replaced between its logs and its header"
            )
        elif log.timestamp not in (0, header.timestamp):
            raise MalformedAnswer(endpoint.name, f"two timestamps of block {header.number}")
        else:
            checked.append(log if log.timestamp else log._replace(timestamp=header.timestamp))
    return checked


class _Span:
    """How many blocks the next page should have, and how many pages are read at once."""

    def __init__(self, configured: int | None) -> None:
        self._most = configured or LARGEST_SPAN
        self._ceiling = self._most
        self._good = 0
        self.blocks = min(FIRST_SPAN, self._most)
        self.pages = 1  # until it is known how dense the logs are

    def accepted(self, blocks: int, logs: int) -> None:
        """Note that a page was read: the next has up to twice as many blocks, and fewer after more than `GOOD_PAGE` logs."""
        self.pages = IN_FLIGHT
        self._good += 1
        if self._good >= FORGET_AFTER:
            self._good = 0
            self._ceiling = min(self._ceiling * 2, self._most)
        fitting = blocks * GOOD_PAGE // logs if logs else self._most
        # the last page of a range or of a split is short: it is no reason to become smaller
        largest = 2 * max(blocks, self.blocks)
        self.blocks = max(1, min(fitting, largest, self._ceiling))

    def refused(self, blocks: int, error: RangeTooWide) -> None:
        """Note that a page of ``blocks`` was refused. Raises ``error`` when that was one block: it cannot be fewer."""
        if blocks == 1:
            raise error
        size = max(1, error.blocks if error.blocks is not None and error.blocks < blocks else blocks // 2)
        if error.structural:
            self._most = min(self._most, size)
        self._good = 0
        self._ceiling = min(self._ceiling, self._most, size)
        self.blocks = min(self.blocks, size)


def _only(wanted: LogFilter, topic0: bytes) -> LogFilter:
    return LogFilter(wanted.addresses, ((topic0,), *wanted.topics[1:]))
