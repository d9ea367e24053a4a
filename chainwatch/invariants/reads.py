"""Reads the state that invariants want, all of one block together, at its hash."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from chainwatch.chain.errors import AnswerTooBig, ChainError, NodeError, NotThere, RpcTimeout
from chainwatch.chain.pool import Pool
from chainwatch.chain.state import (
    Balance,
    BlockField,
    Code,
    ContractCall,
    Nonce,
    Outcome,
    ProvenField,
    Read,
    Reverted,
    Storage,
    Unread,
    read_state,
)
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.invariant import Invariant, StateRead
from chainwatch.invariants.claims import NoClaim, read_claims
from chainwatch.model import Header
from chainwatch.store.invariants import Reading

PATIENCE = 1.0
"""Seconds for which a block's state is asked for anew: another endpoint may have it a moment later."""
STATE_PATIENCE = 5.0
"""The same where nothing waits for it and it is not tried again later."""
BLOCKS_AT_ONCE = 8
"""Blocks of one network that are read at the same time."""
STORED_AT_ONCE = 500
"""Readings that one transaction stores: those of other networks are to wait for a moment only."""
STATES_KEPT = 128
"""Blocks whose state every node keeps; of older ones only an archive has it."""
LARGE = 2**17
"""Bytes of one value from which on no other is to wait for it."""
ERROR_MAX = 300

T = TypeVar("T")


class WantedBlock(NamedTuple):
    """What is to be read at a block: for each invariant its reading, as stored, without content."""

    header: Header
    readings: tuple[Reading, ...]
    is_old: bool
    """Whether only an archive may have its state."""


class BlockRead(msgspec.Struct, frozen=True):
    """The readings of one block, with their contents or errors."""

    network: str
    readings: tuple[Reading, ...]

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


class GroupRead(NamedTuple):
    """What became of readings of one block that were read together, in ``seconds``: what was read, or why it was not.

    ``offenders``: the names of those that other readings should not wait for, as their calls failed or returned much.
    """

    found: list[tuple[Reading, Reading | ChainError]]
    offenders: Set[str]
    seconds: float

    @classmethod
    def none(cls, block: WantedBlock, error: ChainError, seconds: float = 0.0) -> GroupRead:
        """Return that nothing was read."""
        return cls([(one, error) for one in block.readings], frozenset(), seconds)

    @property
    def is_late(self) -> bool:
        """Whether all took too long."""
        return all(isinstance(result, RpcTimeout) for _, result in self.found)


async def read_history(
    pool: Pool, invariants: Mapping[str, Invariant], wanted: Sequence[WantedBlock]
) -> AsyncIterator[BlockRead]:
    """Yield what was read of blocks of which nobody waits for the newest, block by block, in parts.

    What no contract or node can give counts as unreadable. Raises ``ChainError`` where the endpoints fail, after all others.
    """
    failed: ChainError | None = None

    async def read(block: WantedBlock) -> GroupRead | ChainError:
        try:
            return await read_group(pool, invariants, block, STATE_PATIENCE)
        except ChainError as error:
            return GroupRead.none(block, error) if isinstance(error, NotThere | NodeError) else error

    async for block, group in at_once(wanted, read):
        if isinstance(group, ChainError):
            failed = failed or group
            continue
        done = [
            unread_reading(one, result, block)._replace(is_wanted=False)
            if isinstance(result, ChainError)
            else result
            for one, result in group.found
        ]
        for part in parts(pool.network.name, done):
            yield part
    if failed is not None:
        raise failed


async def at_once(
    blocks: Sequence[WantedBlock], read: Callable[[WantedBlock], Coroutine[Any, Any, T]]
) -> AsyncIterator[tuple[WantedBlock, T]]:
    """Yield ``blocks`` in their order with what ``read`` gets of them; several are read at the same time."""
    left = iter(blocks)
    running: deque[tuple[WantedBlock, asyncio.Task[T]]] = deque()
    try:
        while True:
            for block in islice(left, BLOCKS_AT_ONCE - len(running)):
                running.append((block, asyncio.create_task(read(block))))
            if not running:
                return
            block, task = running.popleft()
            yield block, await task
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)


def parts(network: str, readings: Sequence[Reading]) -> Iterator[BlockRead]:
    """Yield ``readings`` of one block, each part for a transaction of its own."""
    for start in range(0, len(readings), STORED_AT_ONCE):
        yield BlockRead(network, tuple(readings[start : start + STORED_AT_ONCE]))


async def read_group(
    pool: Pool, invariants: Mapping[str, Invariant], block: WantedBlock, patience: float
) -> GroupRead:
    """Return what was read of a block, all together, asked for anew for ``patience`` seconds. Raises ``ChainError``."""
    network, readings, began = pool.network.name, block.readings, time.monotonic()
    reads = dict.fromkeys(
        value.reads[network]
        for one in readings
        for value in invariants[one.name].on(network)
        if network in value.reads
    )
    patience = 0.0 if block.is_old else patience
    found = await read_outcomes(pool, block.header, list(reads), patience)
    outcomes = dict(zip(reads, found, strict=True))
    offending = {read for read, outcome in outcomes.items() if _offends(outcome)}
    offenders = {
        one.name
        for one in readings
        for value in invariants[one.name].on(network)
        if offending and value.reads.get(network) in offending
    }
    found_of = [(one, _done(one, invariants[one.name], outcomes)) for one in readings]
    return GroupRead(found_of, offenders, time.monotonic() - began)


def _offends(outcome: Outcome | NoClaim) -> bool:
    """Return whether what was read, or that it was not, may make others wait that are read together with it."""
    return isinstance(outcome, Reverted | Unread) or (isinstance(outcome, bytes) and len(outcome) >= LARGE)


def unread_reading(reading: Reading, error: ChainError, block: WantedBlock) -> Reading:
    """Return ``reading`` with why it was not read; to be read again, unless that is of no use."""
    return reading._replace(is_wanted=not is_final(error, block), error=_why(error, block))


def is_final(error: ChainError, block: WantedBlock) -> bool:
    """Return whether trying again is of no use: the endpoints have answered, and lose the state of ``block``."""
    return block.is_old and isinstance(error, NotThere | NodeError)


def _why(error: ChainError, block: WantedBlock) -> str:
    if isinstance(error, NotThere) and block.is_old:
        return f"no endpoint has the state of block {block.header.number}: that takes an archive node"
    return str(error)[:ERROR_MAX]


async def read_outcomes(
    pool: Pool, header: Header, reads: Sequence[StateRead], patience: float = PATIENCE
) -> list[Outcome | NoClaim]:
    """Return the outcomes of ``reads`` at a block; of contracts that fail every endpoint, ``Unread``."""
    claims = [read for read in reads if read.kind == "http"]
    if not claims:
        return list(await _read_states(pool, header, reads, patience))
    states = [read for read in reads if read.kind != "http"]
    found, claimed = await asyncio.gather(
        _read_states(pool, header, states, patience), read_claims(header, claims)
    )
    outcomes: dict[StateRead, Outcome | NoClaim] = {**dict(zip(states, found, strict=True)), **claimed}
    return [outcomes[read] for read in reads]


async def _read_states(
    pool: Pool, header: Header, reads: Sequence[StateRead], patience: float
) -> list[Outcome]:
    asked = [_asked(read) for read in reads]
    try:
        return await read_state(pool, header, asked, patience)
    except (NodeError, AnswerTooBig) as error:  # of every read
        return [Unread(error)] * len(reads)


def _done(
    reading: Reading, invariant: Invariant, outcomes: Mapping[StateRead, Outcome | NoClaim]
) -> Reading | ChainError:
    """Return ``reading`` with its content, or why no contract can give it; an error of the endpoints where that is why."""
    content = {}
    for value in invariant.on(reading.network):
        if (read := value.reads.get(reading.network)) is None:
            continue
        outcome = outcomes[read]
        if isinstance(outcome, Unread) and not isinstance(outcome.error, AnswerTooBig):
            return outcome.error
        try:
            content[value.name] = value.parse(answered(outcome))
        except ValueError as error:
            return reading._replace(is_wanted=False, error=f"{value.name}: {error}"[:ERROR_MAX])
        except Exception as error:  # noqa: BLE001 - one value must not end what reads the others
            reason = f"{value.name}: cannot be read ({type(error).__name__})"
            return reading._replace(is_wanted=False, error=reason)
    return reading._replace(is_wanted=False, content=content, error=None)


def answered(outcome: Outcome | NoClaim) -> bytes | int:
    """Return what was read. Raises ``ValueError`` where there is nothing."""
    match outcome:
        case NoClaim(reason=reason):
            raise ValueError(reason)
        case Reverted(message=message):
            raise ValueError(f"the call reverts: {message}")
        case Unread(error=error):
            raise ValueError(str(error))
        case _:
            return outcome


def _asked(read: StateRead) -> Read:
    match read.kind:
        case "call":
            return ContractCall(read.address, read.data)
        case "balance":
            return Balance(read.address)
        case "storage":
            return Storage(read.address, read.slot)
        case "nonce":
            return Nonce(read.address)
        case "proof":
            return ProvenField(read.address, read.field)
        case "block":
            return BlockField(read.field)
        case _:
            return Code(read.address)
