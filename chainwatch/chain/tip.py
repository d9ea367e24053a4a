"""The newest blocks of a chain: read one by one by their hashes, linked to what is held, replaced after a reorg."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from chainwatch.chain import bloom
from chainwatch.chain.completeness import Doubts, proven_logs
from chainwatch.chain.errors import (
    AnswerTooBig,
    ChainError,
    ChainReset,
    DeepReorg,
    Disputed,
    ForeignChain,
    MalformedAnswer,
    NotThere,
    OtherHistory,
    RangeTooWide,
)
from chainwatch.chain.headers import HeaderWindow, common_ancestor, links
from chainwatch.chain.history import heavy_block_logs
from chainwatch.chain.page_ends import refuse_future
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Block, Endpoint
from chainwatch.chain.transactions import with_transactions
from chainwatch.chain.transport import BATCH
from chainwatch.chain.watch import NetworkWatch
from chainwatch.chain.wire import LogFilter
from chainwatch.model import Batch, Header, RawLog


class Forked(ChainError):
    """The block read next is not the child of the one held: a reorg."""


async def read_blocks(
    pool: Pool,
    watch: NetworkWatch,
    parent: Header | None,
    first: int,
    last: int,
    ancestor: Header | None = None,
) -> Batch:
    """Return the blocks ``first``..``last``, which must be linked to each other and to ``parent`` (when one is given).

    An empty answer that a block's bloom contradicts is accepted when another endpoint gives the same.
    Raises `Forked` when they do not link to ``parent``, `RpcError`.
    """
    doubts: Doubts[tuple[list[Header], list[RawLog]]] = Doubts()

    async def read(endpoint: Endpoint) -> tuple[list[Header], list[RawLog]]:
        given = await endpoint.blocks(range(first, last + 1))
        blocks, headers = _in_time(pool, endpoint, parent, given)
        if not links(None, headers):
            raise NotThere(endpoint.name, f"the blocks {first}..{last} were replaced while they were read")
        if parent is not None and headers[0].parent_hash != parent.hash:
            raise Forked
        asked = _to_ask(blocks, watch.filter, pool.network.trust_bloom)
        logs = await _logs(endpoint, watch.filter, _runs(asked, endpoint.rpc.batch))
        try:
            refuse_future(pool, endpoint, headers[-1])
            return headers, await proven_logs(endpoint, watch.filter, blocks, logs)
        except Disputed as error:
            return doubts.settle(endpoint, (headers, logs), error)

    headers, logs = await pool.ask_agreeing(read)
    logs = await with_transactions(pool, watch, logs)
    events, undecoded = watch.decode_all(logs)
    return Batch(watch.network, first, headers[-1], events, undecoded, tuple(headers), ancestor)


async def headers_before(pool: Pool, header: Header, count: int) -> list[Header]:
    """Return up to ``count`` headers below ``header``, ascending, linked to it. Raises `RpcError`."""
    numbers = range(max(0, header.number - count), header.number)

    async def read(endpoint: Endpoint) -> list[Header]:
        headers = await endpoint.headers(numbers)
        if not links(None, [*headers, header]):
            raise NotThere(
                endpoint.name, f"the blocks below {header.number} were replaced while they were read"
            )
        return headers

    return await pool.ask(read)


async def is_replaced(
    pool: Pool, window: HeaderWindow, last: Header | None, head: Header, target: int
) -> bool:
    """Return whether ``last``, the last block read, is proven not to be in the chain any more.

    ``head`` is the newest block of the chain, ``target`` the number up to which it is read. Near the tip the child of
    ``last`` will show it, unless the head is too far back for that child to be read soon (`confirmations`). Raises
    `ChainReset` for a chain that is not the one that was read, `RpcError`.
    """
    if last is None:
        return False
    if head.number <= last.number:
        below = window.newest_first(head.number)
        if not below:
            _refuse_reset(pool.network.name, window, last, head)
            return False
        if below[0].hash == head.hash:
            return False  # a shorter chain alone proves nothing: nodes lag
        if below[0].number < head.number and not await _differs(pool, below[0]):
            return False
    elif last.number <= target <= last.number + pool.network.reorg_window:
        return False
    return await _differs(pool, last, is_gone=head.number <= last.number)


async def find_ancestor(pool: Pool, window: HeaderWindow, below: int) -> Header:
    """Return the newest block of ``window`` that is still in the chain, up to number ``below``.

    An endpoint whose chain holds none of them is avoided when another's does, and what it answered is read anew.
    Raises `DeepReorg` when none does, `NotThere` when one is avoided, `RpcError`.
    """
    ours = window.newest_first(below)
    strangers: list[Endpoint] = []

    async def read(endpoint: Endpoint) -> Header:
        found = await endpoint.chain_id()
        if found != pool.network.chain_id:
            raise ForeignChain(endpoint.name, f"serves chain {found} now")
        start, size = 0, 4
        while start < len(ours):
            some = ours[start : start + size]
            ancestor = common_ancestor(some, await endpoint.headers([header.number for header in some]))
            if ancestor is not None:
                return ancestor
            start, size = start + size, min(size * 2, BATCH)
        strangers.append(endpoint)
        raise OtherHistory(endpoint.name, "its chain holds none of the newest blocks that were read")

    try:
        ancestor = await pool.ask(read)
    except OtherHistory:
        kept = (ours[-1].number, ours[0].number) if ours else (below, below)
        all_asked = not pool.has_others(strangers)
        raise DeepReorg(pool.network.name, *kept, all_asked=all_asked) from None
    for endpoint in strangers:
        pool.avoid(endpoint, "its chain holds none of the newest blocks that were read: was it reset?")
    if strangers:  # the head may come from one of them
        raise NotThere(pool.network.name, f"{strangers[0].name} has another history than the others")
    return ancestor


def _refuse_reset(network: str, window: HeaderWindow, last: Header, head: Header) -> None:
    """Raise `ChainReset` where ``head``, which is below all blocks that are kept, was made after one of them."""
    oldest = window.oldest
    if oldest is not None and head.timestamp > oldest.timestamp:
        raise ChainReset(network, head, oldest, last)


async def _differs(pool: Pool, ours: Header, is_gone: bool = False) -> bool:
    """Return whether the chain has another block than ``ours`` at that number; ``is_gone`` where it has none."""
    try:
        (now,) = await pool.ask(lambda endpoint: endpoint.headers([ours.number]))
    except NotThere:
        return is_gone
    return now.hash != ours.hash


def _in_time(
    pool: Pool, endpoint: Endpoint, parent: Header | None, blocks: Sequence[Block]
) -> tuple[list[Block], list[Header]]:
    """Return ``blocks`` and their headers, with timestamps that never decrease.

    A block older than its parent is refused while another endpoint can be asked; else it gets its parent's timestamp.
    """
    passed: list[Block] = []
    before = parent
    for block in blocks:
        header = block.header
        if before is not None and header.timestamp < before.timestamp:
            if not pool.alone:
                times = f"made at {header.timestamp}, before its parent at {before.timestamp}"
                raise MalformedAnswer(endpoint.name, f"block {header.number} was {times}")
            header = msgspec.structs.replace(header, timestamp=before.timestamp)
        passed.append(Block(header, block.bloom))
        before = header
    return passed, [block.header for block in passed]


def _to_ask(blocks: Sequence[Block], wanted: LogFilter, trusted: bool) -> list[Header]:
    """Return the blocks whose logs have to be asked for: all, unless the network's blooms are trusted."""
    return [b.header for b in blocks if not trusted or b.bloom is None or bloom.admits(b.bloom, wanted)]


def _runs(headers: Sequence[Header], batch: int) -> list[list[Header]]:
    """Return unbroken runs of ``headers``, each short enough for a batch that also asks for its last block."""
    runs: list[list[Header]] = []
    for header in headers:
        if not runs or len(runs[-1]) >= max(1, batch - 1) or runs[-1][-1].number + 1 != header.number:
            runs.append([])
        runs[-1].append(header)
    return runs


async def _logs(endpoint: Endpoint, wanted: LogFilter, runs: Sequence[Sequence[Header]]) -> list[RawLog]:
    logs: list[RawLog] = []
    for run in runs:
        try:
            logs += await endpoint.logs_of(wanted, run)
        except (RangeTooWide, AnswerTooBig):
            for block in run:
                logs += await _heavy(endpoint, wanted, block)
        await asyncio.sleep(0)
    return logs


async def _heavy(endpoint: Endpoint, wanted: LogFilter, block: Header) -> list[RawLog]:
    logs = await heavy_block_logs(endpoint, wanted, block.number)
    if any(log.block_hash != block.hash for log in logs):
        raise NotThere(endpoint.name, f"block {block.number} was replaced while its logs were read")
    (now,) = await endpoint.headers([block.number])
    if now.hash != block.hash:
        raise NotThere(endpoint.name, f"block {block.number} was replaced while its logs were read")
    return [log._replace(timestamp=block.timestamp) for log in logs]
