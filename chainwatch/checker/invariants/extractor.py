"""The events that invariants count, or at which they are checked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from chainwatch.checker.extractor import EventKind, Extracted, WatchedEvent
from chainwatch.checker.invariants.contracts import Contracts
from chainwatch.checker.invariants.event_facts import EventReads
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.model import Event

INVARIANTS = "invariants"
"""The name of the checker."""


class CountedEvent(NamedTuple):
    """An event that some invariant reads: where it was, and what is kept of it by name."""

    network: str
    block: int
    block_hash: bytes
    log_index: int
    timestamp: int
    kind: EventKind
    args: dict[str, Any]

    @property
    def row(self) -> tuple[str, int, int, str, str, int, dict[str, Any]]:
        """What is stored of it."""
        return (self.network, self.block, self.log_index, *self.kind, self.timestamp, self.args)


class InvariantExtractor:
    """Watches what the configured invariants read. ``contracts`` is what further invariants are compiled with."""

    name = INVARIANTS

    def __init__(
        self, invariants: Sequence[Invariant], contracts: Contracts, networks: Collection[str] = ()
    ) -> None:
        """Follow also ``networks``, of which invariants may be made while this runs."""
        self.invariants = tuple(invariants)
        self.contracts = contracts
        self.networks = frozenset(networks).union(*(invariant.networks for invariant in invariants))
        self._reads: dict[EventKind, EventReads] = {}
        for reads in (reads for invariant in invariants for reads in invariant.events):
            known = self._reads.get(reads.kind, EventReads(reads.kind))
            arguments = {path.text: path for path in (*known.arguments, *reads.arguments)}
            conditions = {one.fact: one for one in (*known.conditions, *reads.conditions)}
            merged = EventReads(reads.kind, tuple(arguments.values()), tuple(conditions.values()))
            self._reads[reads.kind] = merged

    @property
    def watched(self) -> Sequence[WatchedEvent]:
        """The events of all invariants."""
        return [
            WatchedEvent(contract, signature, reads.fields)
            for (contract, signature), reads in self._reads.items()
        ]

    def extract(self, events: Iterable[Event], beside: Iterable[Event] = ()) -> Extracted[list[CountedEvent]]:
        """Return what invariants need of ``events``."""
        found = []
        for event in events:
            reads = self._reads.get((event.contract, event.signature))
            if reads is not None:
                log = event.log
                found.append(
                    CountedEvent(
                        event.network,
                        log.block_number,
                        log.block_hash,
                        log.log_index,
                        log.timestamp,
                        (event.contract, event.signature),
                        reads.facts(event),
                    )
                )
        return Extracted(found, [])
