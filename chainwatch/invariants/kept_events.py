"""The events that values count, kept in memory: a check needs not read all events of a long window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.extractor import EventKind
from chainwatch.checker.invariants.event_facts import EventMeasure
from chainwatch.checker.invariants.event_index import EventIndex
from chainwatch.checker.invariants.extractor import CountedEvent
from chainwatch.invariants.as_of import AsOf
from chainwatch.store import invariant_events

SLACK = 1_800
"""Seconds for which events are kept beyond what a measure reads: a block may be earlier than the one measured before."""


class KeptEvents:
    """The events of each measure that was taken. Every transaction of the pipeline is to `begin`, as in `KeptTransfers`."""

    def __init__(self) -> None:
        self._as_of = AsOf("invariant_events_as_of")
        self._kept: dict[tuple[str, EventKind], dict[EventMeasure, tuple[float, EventIndex]]] = {}
        """By network and kind, of each measure the chain time after which events are known, and these."""

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction, before anything is changed."""
        if self._kept and not self._as_of.begin(connection):
            self._kept.clear()

    def add(self, found: Iterable[CountedEvent]) -> None:
        """Add events that this transaction has stored."""
        if not self._kept:
            return
        self._as_of.change()
        for event in found:
            for _, index in self._kept.get((event.network, event.kind), {}).values():
                index.add(event.timestamp, event.block, event.log_index, event.args)

    def forget(self, network: str) -> None:
        """Have all events of ``network`` loaded again, as some were deleted."""
        self._as_of.change()
        self._kept = {place: kept for place, kept in self._kept.items() if place[0] != network}

    def measure(
        self, connection: sa.Connection, wanted: EventMeasure, network: str, timestamp: int, block: int
    ) -> Any:
        """Return what is taken of the events up to ``block``, whose time is ``timestamp``; None for the last of none."""
        since = timestamp - wanted.within
        of_kind = self._kept.setdefault((network, wanted.kind), {})
        kept = of_kind.get(wanted)
        if kept is None or since < kept[0]:
            kept = since - SLACK, EventIndex(wanted)
            for event in invariant_events.events_after(connection, network, wanted.kind, kept[0]):
                kept[1].add(*event)
            self._as_of.change()
        elif since > kept[0] + 2 * SLACK:
            kept = since - SLACK, kept[1]
            kept[1].forget_before(kept[0])
        of_kind[wanted] = kept
        return kept[1].measure(timestamp, block)

    def commit(self, connection: sa.Connection) -> None:
        """Have them kept after this transaction, once it is committed."""
        if self._kept:
            self._as_of.commit(connection)
