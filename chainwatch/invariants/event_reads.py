"""Reads the events of sessions: addresses and signatures that no configuration watches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from chainwatch.chain.history import find_logs
from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.sessions import EventSession
from chainwatch.model import Header, RawLog


class WantedEvents(msgspec.Struct, frozen=True):
    """The events of ``session`` in the blocks ``first`` to ``last``, both inclusive."""

    session: EventSession
    first: int
    last: Header


class EventsRead(msgspec.Struct, frozen=True):
    """The logs of ``session`` in the blocks ``first`` to ``last``, in order."""

    session: EventSession
    first: int
    last: Header
    logs: tuple[RawLog, ...]

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


async def read_events(pool: Pool, wanted: Iterable[WantedEvents]) -> AsyncIterator[EventsRead]:
    """Yield the events of each session; sessions with one address are asked for together. Raises ``ChainError``."""
    together: dict[tuple[bytes, int], list[WantedEvents]] = {}
    for one in wanted:
        together.setdefault((one.session.address, one.first), []).append(one)
    for (address, first), group in together.items():
        topics = tuple(sorted({topic for one in group for topic in one.session.signatures}))
        logs = await find_logs(pool, address, [topics], first, group[0].last.number)
        for one in group:
            mine = tuple(log for log in logs if log.topics and log.topics[0] in one.session.signatures)
            yield EventsRead(one.session, first, one.last, mine)
