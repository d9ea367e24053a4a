"""Empty answers verified: blocks whose blooms admit watched logs, but for which an endpoint answered that there are none.

Near the tip every block is verified. Far behind it that would cost more than the reading itself: there all blocks of the
newest part of a range are verified, a few blocks of every other page, and once how old the logs are that an endpoint has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from chainwatch.chain import bloom
from chainwatch.chain.errors import AnswerTooBig, Disputed, MalformedAnswer, NodeError, NotThere
from chainwatch.chain.rpc import Block, Endpoint
from chainwatch.chain.transport import BATCH
from chainwatch.chain.wire import LogFilter
from chainwatch.model import RawLog

T = TypeVar("T")

WHOLE = 4_096
SLOWLY = 16.0
"""Blocks at the end of a range whose empty answers are verified one by one; where an endpoint's rate of calls is limited,
as many as may be asked for in so many seconds."""

SAMPLE = 8
"""Blocks of an earlier page whose empty answers are verified."""

RARE = 0.05
"""The highest probability that a bloom admits watched logs by chance at which its block is verified in a long range."""


class Doubts(Generic[T]):
    """Answers that contradict blooms: accepted once two endpoints have given the same."""

    def __init__(self) -> None:
        self._answers: dict[str, T] = {}

    def settle(self, endpoint: Endpoint, answer: T, error: Disputed) -> T:
        """Return ``answer`` when another endpoint has given the same. Raises ``error`` otherwise."""
        if any(answer == other for name, other in self._answers.items() if name != endpoint.name):
            return answer
        self._answers[endpoint.name] = answer
        raise error


def to_prove(endpoint: Endpoint, first: int, last: int, end: int | None, logs: Sequence[RawLog]) -> list[int]:
    """Return the numbers of the blocks whose headers `proven_page` needs of the page ``first``..``last`` with ``logs``.

    ``end`` is the last block of the range whose newest part is verified block by block, None where no part is. No
    header is needed where every block has logs, and of foreign blooms no more than it takes to test them again.
    """
    witness = [logs[0].block_number] if logs else []  # to test the blooms by
    if endpoint.blooms.foreign:
        return witness if endpoint.blooms.is_due(_now()) else []
    filled = {log.block_number for log in logs}
    whole = WHOLE if endpoint.rpc.batch >= BATCH else SLOWLY * endpoint.rpc.batch
    step = 1 if end is not None and end - first < whole else -(-(last - first + 1) // SAMPLE)
    silent = [number for number in range(first, last + 1, step) if number not in filled]
    return witness + silent if silent else []


async def prove_lacking(endpoint: Endpoint) -> None:
    """Raise `Disputed` while the endpoint still lacks the logs of the block whose logs it lacked before."""
    block = endpoint.lacks_logs_of
    if block is None:
        return
    everything = await everything_in(endpoint, block)
    if everything is not None and not everything.logs:
        raise Disputed(
            endpoint.name,
            f"no logs of block {block.header.number}, though its bloom shows some: "
            "the node is pruned, or leaves logs out",
        )
    endpoint.lacks_logs_of = None
    endpoint.holds_from = min(endpoint.holds_from, block.header.number)


async def proven_page(
    endpoint: Endpoint, wanted: LogFilter, blocks: Sequence[Block], logs: list[RawLog]
) -> list[RawLog]:
    """Return ``logs`` of a page of old blocks, with the logs that false-empty answers left out of ``blocks``.

    Raises `Disputed` as `proven_logs` does, and when the endpoint lacks all logs of blocks as old as these.
    """
    await _prove_age(endpoint, blocks, logs)
    significant = [b for b in blocks if b.bloom is None or bloom.chance(b.bloom, wanted) <= RARE]
    return await proven_logs(endpoint, wanted, significant, logs)


async def proven_logs(
    endpoint: Endpoint, wanted: LogFilter, blocks: Sequence[Block], logs: list[RawLog]
) -> list[RawLog]:
    """Return ``logs``, with those that false-empty answers left out of ``blocks``.

    Raises `Disputed` when a block's bloom admits such logs and the endpoint can neither give nor exclude them,
    `MalformedAnswer` for a log that its block's bloom excludes and that is missing when asked for in another way, and
    `RpcError`. Blooms that prove nothing are ignored: missing, zero, full, or found foreign.
    """
    await _judge_blooms(endpoint, blocks, logs)
    if endpoint.blooms.foreign:
        return logs
    filled = {log.block_number for log in logs}
    missed = [
        log
        for block in blocks
        if block.header.number not in filled and _suspect(block, wanted)
        for log in await _missed(endpoint, wanted, block)
    ]
    return sorted([*logs, *missed], key=lambda log: (log.block_number, log.log_index)) if missed else logs


class Everything(NamedTuple):
    """All ``logs`` of a block as an endpoint gives them; ``ways``: how many ways of asking gave exactly these logs."""

    logs: list[RawLog]
    ways: int


async def everything_in(endpoint: Endpoint, block: Block) -> Everything | None:
    """Return all logs of ``block`` by the first way that accounts for its whole bloom, else by the one that gives most.

    None when the endpoint answers in no way. Raises `RpcError` when it does not answer now.
    """
    most: Everything | None = None
    for way in (endpoint.logs_of_receipts, endpoint.logs_of_everyone, endpoint.logs_of_each_receipt):
        try:
            logs = await way(block.header)
        except (NodeError, NotThere, MalformedAnswer, AnswerTooBig):
            continue
        if bloom.is_informative(block.bloom) and bloom.covers(block.bloom, logs):
            return Everything(logs, 1)
        if most is not None and logs == most.logs:
            most = most._replace(ways=most.ways + 1)
        elif most is None or len(logs) > len(most.logs):
            most = Everything(logs, 1)
    return most


def lacks_some(endpoint: Endpoint, block: Block, everything: Sequence[RawLog]) -> bool:
    """Return whether ``block`` must have more logs than ``everything`` to account for its bloom."""
    return (
        not endpoint.blooms.foreign
        and bloom.is_informative(block.bloom)
        and not bloom.covers(block.bloom, everything)
    )


async def _judge_blooms(endpoint: Endpoint, blocks: Sequence[Block], logs: Sequence[RawLog]) -> None:
    """Test the endpoint's blooms where ``logs`` contradict them, or may show that foreign ones are right again."""
    by_block: dict[int, list[RawLog]] = {}
    for log in logs:
        by_block.setdefault(log.block_number, []).append(log)
    filled = [(block, by_block[block.header.number]) for block in blocks if block.header.number in by_block]
    if endpoint.blooms.foreign:
        if filled and endpoint.blooms.is_due(_now()):
            block, _ = filled[0]
            everything = await everything_in(endpoint, block)
            right = everything is not None and everything.logs and bloom.is_informative(block.bloom)
            endpoint.blooms.judge(
                not (right and everything and bloom.covers(block.bloom, everything.logs)), _now()
            )
        return
    for block, some in filled:
        if bloom.excludes(block.bloom, some):
            await _believe_against_bloom(endpoint, block, some)
            if endpoint.blooms.foreign:
                return


async def _believe_against_bloom(endpoint: Endpoint, block: Block, logs: Sequence[RawLog]) -> None:
    """Confirm ``logs``, which the bloom of ``block`` excludes, by another way of asking for them.

    Blooms are foreign where they exclude logs that exist and admit logs that do not. Raises `MalformedAnswer` where the
    logs are missing then, `Disputed` where there is no other way to ask.
    """
    number = block.header.number
    everything = await everything_in(endpoint, block)
    if everything is None:
        if bloom.is_informative(block.bloom):
            raise Disputed(
                endpoint.name, f"logs of block {number} against its bloom, and no other way to ask"
            )
        endpoint.blooms.judge(foreign=True, now=_now())
        return
    there = {log.log_index: _content(log) for log in everything.logs}
    if any(there.get(log.log_index) != _content(log) for log in logs):
        raise MalformedAnswer(
            endpoint.name,
            f"a log of block {number} that its bloom excludes and that it does not have otherwise",
        )
    if not bloom.is_informative(block.bloom) or not bloom.covers(block.bloom, everything.logs):
        endpoint.blooms.judge(foreign=True, now=_now())


def _content(log: RawLog) -> RawLog:
    """Return ``log`` without its timestamp, which comes from the header."""
    return log._replace(timestamp=0)


async def _prove_age(endpoint: Endpoint, blocks: Sequence[Block], logs: Sequence[RawLog]) -> None:
    """Verify that the endpoint has logs as old as ``blocks``, watched or not: a pruned one answers that there are none."""
    if logs:
        endpoint.holds_from = min(endpoint.holds_from, logs[0].block_number)
    older = [b for b in blocks if b.header.number < endpoint.holds_from and bloom.is_informative(b.bloom)]
    if not older or endpoint.blooms.foreign:
        return
    witness = next((b for b in blocks if logs and b.header.number == logs[0].block_number), None)
    if witness is not None and not endpoint.blooms.proven:
        # a node that holds only a part of each block, as a recording does, has blooms of logs that it never had
        everything = await everything_in(endpoint, witness)
        if everything is not None and everything.logs:
            endpoint.blooms.judge(lacks_some(endpoint, witness, everything.logs), _now())
        if endpoint.blooms.foreign:
            return
    endpoint.lacks_logs_of = older[0]
    await prove_lacking(endpoint)


def _suspect(block: Block, wanted: LogFilter) -> bool:
    return block.bloom is not None and bloom.is_informative(block.bloom) and bloom.admits(block.bloom, wanted)


async def _missed(endpoint: Endpoint, wanted: LogFilter, block: Block) -> list[RawLog]:
    """Return the logs of ``wanted`` in ``block``; empty only when all logs of the block together make its bloom."""
    number = block.header.number
    everything = await everything_in(endpoint, block)
    if everything is None:
        raise Disputed(
            endpoint.name, f"no logs of block {number}, against its bloom, and no other way to ask for them"
        )
    found = [log for log in everything.logs if wanted.matches(log)]
    if not found and lacks_some(endpoint, block, everything.logs):
        if everything.ways > 1 and bloom.excludes(block.bloom, everything.logs):
            endpoint.blooms.judge(foreign=True, now=_now())  # it excludes all logs of its block
        else:
            raise Disputed(endpoint.name, f"no logs of block {number}, though its bloom shows some")
    return found


def _now() -> float:
    return asyncio.get_running_loop().time()
