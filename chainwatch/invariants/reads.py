"""Reads the state that invariants want, all of one block together, at its hash."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice

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
from chainwatch.invariants.retries import Retries
from chainwatch.model import Header
from chainwatch.store.invariants import Reading

PATIENCE = 1.0
"""Seconds for which a block's state is asked for anew: another endpoint may have it a moment later."""
STATE_PATIENCE = 5.0
"""The same where nothing waits for it and it is not tried again later."""
OF_TIMEOUT = 0.9
"""The part of the time for one answer that an attempt may take: a call that hangs is no fault of the endpoint."""
BLOCKS_AT_ONCE = 8
"""Blocks of one network that are read at the same time."""
STORED_AT_ONCE = 500
"""Readings that one transaction stores: those of other networks are to wait for a moment only."""
STATES_KEPT = 128
"""Blocks whose state every node keeps; of older ones only an archive has it."""
ERROR_MAX = 300


class WantedBlock(msgspec.Struct, frozen=True):
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


async def read_blocks(
    pool: Pool, invariants: Mapping[str, Invariant], wanted: Sequence[WantedBlock], retries: Retries | None
) -> AsyncIterator[BlockRead]:
    """Yield what was read, block by block, in parts. Raises ``ChainError`` for what is to be tried again, after all others.

    With ``retries`` what cannot be read is tried again as long as nodes keep the state; without, as in a replay, it counts
    as unreadable.
    """
    failed: ChainError | None = None
    if retries is not None:
        retries.keep(pool.network.name, {block.header.hash for block in wanted})
        wanted = [block for block in wanted if retries.is_due(pool.network.name, block.header)]
    async for block, outcome in _in_order(pool, invariants, wanted, retries):
        if isinstance(outcome, ChainError):
            if retries is None and not isinstance(outcome, NotThere | NodeError):
                failed = failed or outcome
                continue
            outcome = [(one, outcome) for one in block.readings]
        done: list[Reading] = []
        for reading, result in outcome:
            if not isinstance(result, ChainError):
                done.append(result)
            elif retries is None or _is_final(result, block):
                done.append(reading._replace(is_wanted=False, error=_why(result, block)))
            elif retries.is_first(pool.network.name, block.header):
                done.append(reading._replace(error=_why(result, block)))
                failed = failed or result
        if retries is not None:
            read = {one.name for one in done if not one.is_wanted}
            unread = {one.name for one in block.readings} - read
            retries.note(pool.network.name, block.header, read, unread)
        for start in range(0, len(done), STORED_AT_ONCE):
            yield BlockRead(pool.network.name, tuple(done[start : start + STORED_AT_ONCE]))
    if failed is not None:
        raise failed


Attempted = list[tuple[Reading, Reading | ChainError]]
"""Readings as they were wanted, each with what was read, or why it was not."""


async def _in_order(
    pool: Pool, invariants: Mapping[str, Invariant], wanted: Sequence[WantedBlock], retries: Retries | None
) -> AsyncIterator[tuple[WantedBlock, Attempted | ChainError]]:
    """Yield blocks in their order with what was read; several are read at the same time."""
    left = iter(wanted)
    running: deque[tuple[WantedBlock, asyncio.Task[Attempted | ChainError]]] = deque()
    try:
        while True:
            for block in islice(left, BLOCKS_AT_ONCE - len(running)):
                running.append((block, asyncio.create_task(_attempt(pool, invariants, block, retries))))
            if not running:
                return
            block, task = running.popleft()
            yield block, await task
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)


async def _attempt(
    pool: Pool, invariants: Mapping[str, Invariant], block: WantedBlock, retries: Retries | None
) -> Attempted | ChainError:
    try:
        if retries is None:
            return await _read_group(pool, invariants, block, block.readings, STATE_PATIENCE)
        network, header = pool.network.name, block.header
        longest = OF_TIMEOUT * pool.network.request_timeout
        seconds = min(longest, retries.timeout(network, header, len(block.readings)))
        groups = retries.groups(network, header, block.readings)
        found = await asyncio.gather(*(_within(seconds, pool, invariants, block, group) for group in groups))
        return [one for some in found for one in some]
    except ChainError as error:
        return error


async def _within(
    seconds: float,
    pool: Pool,
    invariants: Mapping[str, Invariant],
    block: WantedBlock,
    readings: tuple[Reading, ...],
) -> Attempted:
    """Return what was read within ``seconds``, and why the rest was not."""
    try:
        async with asyncio.timeout(seconds):
            return await _read_group(pool, invariants, block, readings, min(PATIENCE, seconds / 3))
    except TimeoutError:
        late = RpcTimeout(pool.network.name, f"no complete answer within {seconds:.0f} s")
        return [(one, late) for one in readings]
    except ChainError as error:
        return [(one, error) for one in readings]


async def _read_group(
    pool: Pool,
    invariants: Mapping[str, Invariant],
    block: WantedBlock,
    readings: Sequence[Reading],
    patience: float,
) -> Attempted:
    network = pool.network.name
    reads = dict.fromkeys(
        value.reads[network]
        for one in readings
        for value in invariants[one.name].on(network)
        if network in value.reads
    )
    patience = 0.0 if block.is_old else patience
    found = await read_outcomes(pool, block.header, list(reads), patience)
    outcomes = dict(zip(reads, found, strict=True))
    return [(one, _done(one, invariants[one.name], outcomes)) for one in readings]


def _is_final(error: ChainError, block: WantedBlock) -> bool:
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
