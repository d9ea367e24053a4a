"""Reads the state that invariants want, all of one block together, at its hash."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from chainwatch.chain.errors import AnswerTooBig, NodeError, NotThere
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
from chainwatch.model import Header
from chainwatch.store.invariants import Reading

PATIENCE = 2.0
"""Seconds for which a block's state is asked for anew: another endpoint may have it a moment later."""
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
    pool: Pool, invariants: Mapping[str, Invariant], wanted: Sequence[WantedBlock]
) -> AsyncIterator[BlockRead]:
    """Yield what was read, block by block. Raises ``ChainError`` for what is to be tried again, after all other blocks."""
    missing: NotThere | None = None
    for block in wanted:
        try:
            yield await _read_block(pool, invariants, block)
        except NotThere as error:
            if not block.is_old:
                missing = error
                continue
            reason = f"no endpoint has the state of block {block.header.number}: that takes an archive node"
            gone = tuple(one._replace(is_wanted=False, error=reason) for one in block.readings)
            yield BlockRead(pool.network.name, gone)
    if missing is not None:
        raise missing


async def _read_block(pool: Pool, invariants: Mapping[str, Invariant], block: WantedBlock) -> BlockRead:
    network = pool.network.name
    reads = dict.fromkeys(
        value.reads[network]
        for one in block.readings
        for value in invariants[one.name].on(network)
        if network in value.reads
    )
    patience = 0.0 if block.is_old else PATIENCE
    found = await read_outcomes(pool, block.header, list(reads), patience)
    outcomes = dict(zip(reads, found, strict=True))
    done = tuple(_done(one, invariants[one.name], outcomes) for one in block.readings)
    return BlockRead(network, done)


async def read_outcomes(
    pool: Pool, header: Header, reads: Sequence[StateRead], patience: float = PATIENCE
) -> list[Outcome]:
    """Return the outcomes of ``reads`` at a block; of contracts that fail every endpoint, ``Unread``."""
    asked = [_asked(read) for read in reads]
    try:
        return await read_state(pool, header, asked, patience)
    except (NodeError, AnswerTooBig) as error:  # of every read
        return [Unread(error)] * len(reads)


def _done(reading: Reading, invariant: Invariant, outcomes: Mapping[StateRead, Outcome]) -> Reading:
    content = {}
    for value in invariant.on(reading.network):
        if (read := value.reads.get(reading.network)) is None:
            continue
        try:
            content[value.name] = value.parse(answered(outcomes[read]))
        except ValueError as error:
            return reading._replace(is_wanted=False, error=f"{value.name}: {error}"[:ERROR_MAX])
    return reading._replace(is_wanted=False, content=content)


def answered(outcome: Outcome) -> bytes | int:
    """Return what was read. Raises ``ValueError`` where there is nothing."""
    match outcome:
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
        case "code":
            return Code(read.address)
