"""Events that a checker reads together with others of their transaction, its siblings, where these are not read at once.

A batch has whole blocks. Only what is stored already is looked at here: blocks that are read again for more events
(back-fill), logs that are repaired, and stored logs of which transfers are made again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from chainwatch.checker.extractor import EventKind
from chainwatch.model import Event, EventSource
from chainwatch.store.watched import WatchedSet


class Joined(NamedTuple):
    """Which events are read together with others.

    ``siblings``: by kind of such an event, the kinds of its siblings. ``sources``: by network and kind, what must have been
    read for it: what is left out is watched since the network's first block.
    """

    siblings: Mapping[EventKind, frozenset[EventKind]]
    sources: Mapping[tuple[str, EventKind], frozenset[EventSource]]

    @classmethod
    def of_all(cls, every: Iterable[Joined]) -> Joined:
        """Return what several checkers read together."""
        siblings: dict[EventKind, frozenset[EventKind]] = {}
        sources: dict[tuple[str, EventKind], frozenset[EventSource]] = {}
        for one in every:
            for kind, some in one.siblings.items():
                siblings[kind] = siblings.get(kind, frozenset()) | some
            for place, needed in one.sources.items():
                sources[place] = sources.get(place, frozenset()) | needed
        return cls(siblings, sources)

    @property
    def contracts(self) -> set[str]:
        """The contracts of these events and of their siblings."""
        return {contract for kind, some in self.siblings.items() for contract, _ in (kind, *some)}

    def is_joined(self, event: Event) -> bool:
        """Return whether ``event`` is read together with siblings."""
        return (event.contract, event.signature) in self.siblings

    def needs(self, event: Event, sources: Collection[EventSource]) -> bool:
        """Return whether ``event`` is read together with others that may be from one of ``sources``."""
        needed = self.sources.get((event.network, (event.contract, event.signature)), frozenset())
        return not needed.isdisjoint(sources)

    def concerns(self, network: str, sources: Collection[EventSource]) -> bool:
        """Return whether any event of ``network`` is read together with others that may be from one of ``sources``."""
        return any(
            place == network and not needed.isdisjoint(sources) for (place, _), needed in self.sources.items()
        )

    def split(
        self, events: Iterable[Event], watched: Mapping[str, Mapping[EventSource, WatchedSet]]
    ) -> tuple[list[Event], list[Event]]:
        """Return the events whose siblings were read, if they have such, and those whose siblings were not watched then.

        Left out are those of which siblings are still to be read: they come again once these are.
        """
        if not self.sources:
            return list(events), []
        ready: list[Event] = []
        unwatched: list[Event] = []
        for event in events:
            needed = self.sources.get((event.network, (event.contract, event.signature)), ())
            rows = watched.get(event.network, {})
            known = [rows[source] for source in needed if source in rows]
            block = event.log.block_number
            if any(_is_unread(row, block) for row in known):
                continue
            (unwatched if any(block < row.first_block for row in known) else ready).append(event)
        return ready, unwatched


def transaction(event: Event) -> tuple[int, bytes]:
    """Return the block and the hash of the transaction of ``event``."""
    return event.log.block_number, event.log.tx_hash


def position(event: Event) -> tuple[int, int]:
    """Return the block and the log index of ``event``."""
    return event.log.block_number, event.log.log_index


def _is_unread(row: WatchedSet, block: int) -> bool:
    return row.gap_first is not None and row.gap_last is not None and row.gap_first <= block <= row.gap_last
