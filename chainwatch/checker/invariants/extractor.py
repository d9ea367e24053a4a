"""The events that invariants count, or at which they are checked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from chainwatch.checker.extractor import EventKind, Extracted, WatchedEvent
from chainwatch.checker.invariants.contracts import Contracts
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.model import Event

INVARIANTS = "invariants"
"""The name of the checker."""


class CountedEvent(NamedTuple):
    """An event that some invariant reads: where it was, and its integers by their names."""

    network: str
    block: int
    block_hash: bytes
    log_index: int
    timestamp: int
    kind: EventKind
    args: dict[str, int]


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
        self._reads: dict[EventKind, set[str]] = {}
        for invariant in invariants:
            if isinstance(invariant.every, tuple):
                self._reads.setdefault(invariant.every, set())
            for value in invariant.values:
                if value.events is not None:
                    arguments = self._reads.setdefault(value.events.kind, set())
                    arguments |= {value.events.argument} - {None}  # type: ignore[arg-type]

    @property
    def watched(self) -> Sequence[WatchedEvent]:
        """The events of all invariants."""
        return [
            WatchedEvent(contract, signature, frozenset((argument,) for argument in arguments))
            for (contract, signature), arguments in self._reads.items()
        ]

    def extract(self, events: Iterable[Event], beside: Iterable[Event] = ()) -> Extracted[list[CountedEvent]]:
        """Return what invariants need of ``events``."""
        found = []
        for event in events:
            arguments = self._reads.get((event.contract, event.signature))
            if arguments is not None:
                args: dict[str, Any] = {name: event.args[name] for name in arguments}
                log = event.log
                found.append(
                    CountedEvent(
                        event.network,
                        log.block_number,
                        log.block_hash,
                        log.log_index,
                        log.timestamp,
                        (event.contract, event.signature),
                        args,
                    )
                )
        return Extracted(found, [])
