"""Empty answers put to the proof: blocks whose blooms admit watched logs, but whose logs were answered as none.

Near the tip every block is put to it. Far behind it that would cost more than the reading itself, so there all blocks of
the newest part of a range are, a few of every other page, and once how old the logs are that an endpoint has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from chainwatch.chain import bloom
from chainwatch.chain.errors import AnswerTooBig, Disputed, MalformedAnswer, NodeError, NotThere
from chainwatch.chain.rpc import Block, Endpoint
from chainwatch.chain.transport import BATCH
from chainwatch.chain.wire import LogFilter
from chainwatch.model import RawLog

T = TypeVar("T")

WHOLE = 4_096
SLOWLY = 16.0
"""Blocks at the end of a range whose silence is put to the proof one by one; where an endpoint's rate of calls is limited,
as many as may be asked for in so many seconds."""

SAMPLE = 8
"""Blocks of an earlier page whose silence is."""

RARE = 0.05
"""How often a bloom may admit watched logs by chance for its block to be looked through in a long range."""


class Doubts(Generic[T]):
    """What endpoints said against the blooms: believed once two of them say the same."""

    def __init__(self) -> None:
        self._said: dict[str, T] = {}

    def settle(self, endpoint: Endpoint, said: T, error: Disputed) -> T:
        """``said`` when another endpoint said it before. Raises ``error`` otherwise."""
        if any(said == other for name, other in self._said.items() if name != endpoint.name):
            return said
        self._said[endpoint.name] = said
        raise error


def to_prove(endpoint: Endpoint, first: int, last: int, end: int | None, logs: Sequence[RawLog]) -> list[int]:
    """Which blocks' headers `proven_page` needs of the page ``first``..``last`` with ``logs``.

    ``end`` is the last block of the range whose newest part is proven block by block, None where no part is. None are
    needed where every block has logs, and where the endpoint's blooms tell nothing.
    """
    if endpoint.foreign_blooms:
        return []
    filled = {log.block_number for log in logs}
    whole = WHOLE if endpoint.batch >= BATCH else SLOWLY * endpoint.batch
    step = 1 if end is not None and end - first < whole else -(-(last - first + 1) // SAMPLE)
    silent = [number for number in range(first, last + 1, step) if number not in filled]
    witness = [logs[0].block_number] if logs and silent else []  # to see what the blooms are worth here
    return witness + silent


async def prove_lacking(endpoint: Endpoint) -> None:
    """Raises `Disputed` while the endpoint still has no logs of the block of which it had none: all else is in vain."""
    block = endpoint.lacks_logs_of
    if block is None:
        return
    everything = await everything_in(endpoint, block)
    if everything is not None and not everything:
        raise Disputed(
            endpoint.name,
            f"no logs of block {block.header.number}, though its bloom says that there are some: "
            "the node is pruned, or leaves logs out",
        )
    endpoint.lacks_logs_of = None
    endpoint.holds_from = min(endpoint.holds_from, block.header.number)


async def proven_page(
    endpoint: Endpoint, wanted: LogFilter, blocks: Sequence[Block], logs: list[RawLog]
) -> list[RawLog]:
    """``logs`` of a page of old blocks, with what false-empty answers left out of ``blocks``.

    Raises `Disputed` as `proven_logs` does, and when the endpoint lacks the logs of such old blocks, whose they are.
    """
    await _prove_age(endpoint, blocks, logs)
    telling = [b for b in blocks if b.bloom is None or bloom.chance(b.bloom, wanted) <= RARE]
    return await proven_logs(endpoint, wanted, telling, logs)


async def proven_logs(
    endpoint: Endpoint, wanted: LogFilter, blocks: Sequence[Block], logs: list[RawLog]
) -> list[RawLog]:
    """``logs``, with those that false-empty answers left out of ``blocks``.

    Raises `Disputed` when a block's bloom admits such logs and the endpoint can neither give nor exclude them, and
    `RpcError`. Blooms are not asked where they tell nothing: missing, zero, full, or of an endpoint whose blooms were
    found foreign.
    """
    if endpoint.foreign_blooms:
        return logs
    blooms = {block.header.number: block.bloom for block in blocks}
    for log in logs:
        if log.block_number in blooms and bloom.bloom_of([log]) & ~(blooms[log.block_number] or 0):
            endpoint.foreign_blooms = True
    if endpoint.foreign_blooms:
        return logs
    filled = {log.block_number for log in logs}
    missed = [
        log
        for block in blocks
        if block.header.number not in filled and _suspect(block, wanted)
        for log in await _missed(endpoint, wanted, block)
    ]
    return sorted([*logs, *missed], key=lambda log: (log.block_number, log.log_index)) if missed else logs


async def everything_in(endpoint: Endpoint, block: Block) -> list[RawLog] | None:
    """All logs of ``block`` by the first way that gives all that its bloom tells of, else by the one that gives most.

    None when the endpoint can be asked in no way. Raises `RpcError` when it does not answer now.
    """
    most: list[RawLog] | None = None
    for way in (endpoint.logs_of_receipts, endpoint.logs_of_everyone, endpoint.logs_of_each_receipt):
        try:
            logs = await way(block.header)
        except (NodeError, NotThere, MalformedAnswer, AnswerTooBig):
            continue
        made = bloom.bloom_of(logs)
        if block.bloom is not None and made & ~block.bloom:
            endpoint.foreign_blooms = True
        if made == block.bloom or endpoint.foreign_blooms:
            return logs
        most = logs if most is None or len(logs) > len(most) else most
    return most


def lacks_some(endpoint: Endpoint, block: Block, everything: Sequence[RawLog]) -> bool:
    """Whether ``block`` must have more logs than ``everything``: its bloom tells of them."""
    return (
        not endpoint.foreign_blooms and bloom.tells(block.bloom) and bloom.bloom_of(everything) != block.bloom
    )


async def _prove_age(endpoint: Endpoint, blocks: Sequence[Block], logs: Sequence[RawLog]) -> None:
    """Looks whether the endpoint has logs as old as ``blocks``, watched or not: a pruned one answers that there are none."""
    if logs:
        endpoint.holds_from = min(endpoint.holds_from, logs[0].block_number)
    older = [b for b in blocks if b.header.number < endpoint.holds_from and bloom.tells(b.bloom)]
    if not older or endpoint.foreign_blooms:
        return
    witness = next((b for b in blocks if logs and b.header.number == logs[0].block_number), None)
    if witness is not None and not endpoint.blooms_proven:
        # a node that holds a part of each block only, as a recording does, has blooms that tell of logs it never had
        everything = await everything_in(endpoint, witness)
        endpoint.foreign_blooms |= bool(everything) and lacks_some(endpoint, witness, everything or ())
        endpoint.blooms_proven = True
        if endpoint.foreign_blooms:
            return
    endpoint.lacks_logs_of = older[0]
    await prove_lacking(endpoint)


def _suspect(block: Block, wanted: LogFilter) -> bool:
    return block.bloom is not None and bloom.tells(block.bloom) and bloom.admits(block.bloom, wanted)


async def _missed(endpoint: Endpoint, wanted: LogFilter, block: Block) -> list[RawLog]:
    """The logs of ``wanted`` in ``block``; empty only when all logs of the block together make its bloom."""
    number = block.header.number
    everything = await everything_in(endpoint, block)
    found = [log for log in everything or () if wanted.matches(log)]
    if not found and everything is None:
        raise Disputed(
            endpoint.name, f"no logs of block {number}, against its bloom, and no other way to ask for them"
        )
    if not found and lacks_some(endpoint, block, everything or ()):
        raise Disputed(endpoint.name, f"no logs of block {number}, though its bloom says that there are some")
    return found
