"""Checks invariants at blocks of history, each so many blocks: in a replay, whose batches bring few headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.chain.history import block_at, header_at
from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.invariants.kept_checks import KeptChecks
from chainwatch.model import Checkpoint, Header
from chainwatch.store import schema
from chainwatch.store.invariants import Check, Reading, add_readings

SAMPLES_AT_ONCE = 128
"""Blocks of one network that are checked before the next ones are."""
HEADERS_AT_ONCE = 64
SEARCHES_AT_ONCE = 8
PATIENCE = 20.0
SAMPLED = "invariants_sampled "
"""The property, by network, for the last block that was sampled."""


class SampledBlocks(msgspec.Struct, frozen=True):
    """Blocks of ``network`` at which invariants are to be checked, in their order.

    ``beside`` has for each of them the last blocks of other networks up to its time.
    """

    network: str
    headers: tuple[Header, ...]
    beside: tuple[Mapping[str, Header], ...]

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


def wanted(connection: sa.Connection, network: str, checkpoint: Checkpoint, every: int) -> list[int]:
    """Return the next blocks to be sampled: multiples of ``every``, and the last block that was read."""
    stored = schema.get_property(connection, SAMPLED + network)
    begin = checkpoint.first_block if stored is None else int(stored) + 1
    last = checkpoint.last.number
    first = -(-begin // every) * every
    found = list(range(first, last + 1, every))[:SAMPLES_AT_ONCE]
    if len(found) < SAMPLES_AT_ONCE and begin <= last and last not in found:
        found.append(last)
    return found


async def read(
    pools: Mapping[str, Pool], pool: Pool, numbers: Sequence[int], others: Sequence[str]
) -> SampledBlocks:
    """Return the blocks ``numbers``, with those of the networks ``others`` at the same times. Raises ``ChainError``."""
    headers: list[Header] = []
    for start in range(0, len(numbers), HEADERS_AT_ONCE):
        some = numbers[start : start + HEADERS_AT_ONCE]
        headers += await pool.ask(lambda endpoint, some=some: endpoint.headers(some), PATIENCE)  # type: ignore[misc]
    gate = asyncio.Semaphore(SEARCHES_AT_ONCE)

    async def beside(header: Header) -> dict[str, Header]:
        async with gate:
            return {other: await _last_until(pools[other], header.timestamp) for other in others}

    found = await asyncio.gather(*map(beside, headers)) if others else [{} for _ in headers]
    return SampledBlocks(pool.network.name, tuple(headers), tuple(found))


async def _last_until(pool: Pool, timestamp: int) -> Header:
    return await header_at(pool, max(0, await block_at(pool, timestamp + 1) - 1))


def others_of(invariants: Mapping[str, Invariant], network: str, pools: Mapping[str, Pool]) -> list[str]:
    """Return the other networks of the invariants that are checked at blocks of ``network``."""
    found = {name for one in _sampled(invariants, network, pools).values() for name in one.networks}
    return sorted(found - {network})


def apply(
    connection: sa.Connection,
    running: Mapping[str, Invariant],
    checks: KeptChecks,
    sampled: SampledBlocks,
    reading: Callable[[str, Invariant, str, Header], Reading],
    misaligned: Callable[[Invariant, Check, Mapping[str, Header]], str],
) -> None:
    """Store the checks at blocks that are sampled, and what is read for them."""
    new: list[tuple[str, Check]] = []
    readings: list[Reading] = []
    for header, beside in zip(sampled.headers, sampled.beside, strict=True):
        here = {sampled.network: header, **beside}
        for name, invariant in _sampled(running, sampled.network, here).items():
            headers = {network: here[network] for network in invariant.networks}
            positions = {network: one.number for network, one in headers.items()}
            check = Check(sampled.network, header.number, header.timestamp, positions=positions)
            if error := misaligned(invariant, check, headers):
                new.append((name, check._replace(positions={}, error=error)))
                continue
            new.append((name, check))
            readings += [reading(name, invariant, network, one) for network, one in headers.items()]
    checks.add(connection, new)
    add_readings(connection, readings)
    schema.set_property(connection, SAMPLED + sampled.network, str(sampled.headers[-1].number))


def _sampled(
    invariants: Mapping[str, Invariant], network: str, known: Mapping[str, object]
) -> dict[str, Invariant]:
    """Return the invariants that are checked at blocks of ``network``: those of several networks at the first one's."""
    return {
        name: one
        for name, one in invariants.items()
        if one.networks[0] == network
        and not isinstance(one.every, tuple)
        and all(other in known for other in one.networks)
    }
