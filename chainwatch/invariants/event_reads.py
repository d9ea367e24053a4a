"""Reads the events of sessions, of addresses and signatures that no configuration watches, and the blocks of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from chainwatch.chain.blocks import WholeBlock, read_blocks
from chainwatch.chain.errors import ChainError, TransportError, Unavailable
from chainwatch.chain.history import find_logs
from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.block_checks import BlockCheck
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.sessions import EventSession
from chainwatch.invariants.block_reads import find_block_faults
from chainwatch.invariants.look_ups import find_breaches
from chainwatch.model import Header, RawLog

BLOCKS_AT_ONCE = 2_000
"""Blocks far behind the head whose events are read at once."""
WHOLE_AT_ONCE = 16
"""Blocks that are read whole at once."""
ERROR_MAX = 300
UNSETTLED = 64
"""Blocks before the head that may still be replaced: their events are read up to the checkpoint, whose hash is compared."""


class WantedEvents(msgspec.Struct, frozen=True):
    """The events of ``session`` in the blocks ``first`` to ``last``, whose hash is ``hash``: None far behind the head."""

    session: EventSession
    first: int
    last: int
    hash: bytes | None


class EventsRead(msgspec.Struct, frozen=True):
    """The logs that were wanted, in order, each with what is wrong with it; empty where the event itself is what counts.

    ``is_known``: nothing was passed over as it cannot be read any more.
    """

    wanted: WantedEvents
    logs: tuple[RawLog, ...]
    faults: tuple[str, ...]
    is_known: bool = True

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


def wanted_events(
    session: EventSession, read: int, checkpoint: Header, header_of: Callable[[int], Header | None]
) -> WantedEvents | None:
    """Return what is to be read next of ``session``, whose events are read up to the block ``read``; None for nothing.

    ``header_of`` gives the header of a block that is near the checkpoint.
    """
    if read >= checkpoint.number:
        return None
    if isinstance(session.check, BlockCheck):
        number = min(read + WHOLE_AT_ONCE, checkpoint.number)
        last = checkpoint if number == checkpoint.number else header_of(number)
        return WantedEvents(session, read + 1, number, None if last is None else last.hash)
    end = read + BLOCKS_AT_ONCE
    if end <= checkpoint.number - UNSETTLED:
        return WantedEvents(session, read + 1, end, None)
    return WantedEvents(session, read + 1, checkpoint.number, checkpoint.hash)


async def read_events(
    pools: Mapping[str, Pool], pool: Pool, wanted: Iterable[WantedEvents], failures: dict[str, str]
) -> AsyncIterator[EventsRead]:
    """Yield the events of each session; sessions with one address are asked for together.

    ``pool`` has the events; those of sessions with a check are left out where all ``pools`` say that nothing is wrong.
    ``failures`` are kept up to date: why the sessions, by name, could not be read last.

    Raises ``ChainError`` for what cannot be read now, after all others.
    """
    some = list(wanted)
    of_blocks = [one for one in some if isinstance(one.session.check, BlockCheck)]
    of_events = [one for one in some if not isinstance(one.session.check, BlockCheck)]
    failed: ChainError | None = None
    for read in (_read_blocks(pool, of_blocks), _read_logs(pools, pool, of_events)):
        async for one, found in read:
            name = one.session.name
            if isinstance(found, ChainError):
                failed = found
                failures[name] = str(found)[:ERROR_MAX]
                continue
            failures.pop(name, None)
            if found.missed:
                failures[name] = found.missed[:ERROR_MAX]
            yield _read(one, found)
    if failed is not None:
        raise failed


class _Found(NamedTuple):
    """What is wrong, each with the log that it is about; ``missed`` is why something was passed over."""

    faults: Sequence[tuple[RawLog, str]]
    missed: str = ""


_Reads = AsyncIterator[tuple[WantedEvents, _Found | ChainError]]


async def _read_blocks(pool: Pool, wanted: Iterable[WantedEvents]) -> _Reads:
    """Yield what is found in whole blocks, or why they cannot be read."""
    for (first, last, hash_), group in groupby(wanted, lambda one: (one.first, one.last, one.hash)):
        blocks: Sequence[WholeBlock] | None = None
        for one in group:  # sessions that are up to date want the same
            assert isinstance(one.session.check, BlockCheck)
            found: _Found | ChainError
            try:
                if blocks is None:
                    blocks = await read_blocks(pool, first, last, hash_)
                found = _Found(*await find_block_faults(pool, one.session.check, blocks))
            except ChainError as error:
                found = error
            yield one, found


async def _read_logs(pools: Mapping[str, Pool], pool: Pool, wanted: Iterable[WantedEvents]) -> _Reads:
    """Yield what is found in events, or why they, or what they claim, cannot be looked up."""
    silent: set[str] = set()  # networks that did not answer: no further look-up waits for them now
    together: dict[tuple[bytes, int, int], list[WantedEvents]] = {}
    for one in wanted:
        together.setdefault((one.session.address, one.first, one.last), []).append(one)
    for (address, first, last), group in together.items():
        topics = tuple(sorted({topic for one in group for topic in one.session.signatures}))
        try:
            logs = await find_logs(pool, address, [topics], first, last)
        except ChainError as error:
            for one in group:
                yield one, error
            continue
        for one in group:
            mine = [log for log in logs if log.topics and log.topics[0] in one.session.signatures]
            check = one.session.check
            assert not isinstance(check, BlockCheck)
            if mine and check is not None and check.second in silent:
                continue
            found: _Found | ChainError
            try:
                found = _Found(await find_breaches(pools, one.session, mine))
            except ChainError as error:
                found = error
                if check is not None and isinstance(error, TransportError | Unavailable):
                    silent.add(check.second)
            yield one, found


def _read(wanted: WantedEvents, found: _Found) -> EventsRead:
    logs, faults = tuple(log for log, _ in found.faults), tuple(fault for _, fault in found.faults)
    return EventsRead(wanted, logs, faults, is_known=not found.missed)
