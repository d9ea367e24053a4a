"""The events of transfers that one transaction gathers, until they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from chainwatch.checker.transfer import with_events, without_blocks_above, without_events_at
from chainwatch.model import Occurrence, Transfer

Key: TypeAlias = tuple[str, str]
"""A transfer's flow and key."""


class Change(NamedTuple):
    """What becomes of the events with one key: some are ``added``, others go.

    ``cut``: by network, the block after which they go. ``removed``: network, block and log index of others that go.
    """

    key: Key
    added: Sequence[Occurrence] = ()
    cut: Mapping[str, int] = {}
    removed: frozenset[tuple[str, int, int]] = frozenset()


class Gathered:
    """The events that one transaction gathers, by transfer. ``lengths``: how many events most transfers of a flow have."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self._lengths = lengths
        self.found: dict[Key, list[Occurrence]] = {}
        self.full: dict[Key, None] = {}
        """The keys in ``found`` with as many events as complete transfers have, in the order in which they got there."""
        self.dropped: dict[Key, dict[str, int]] = {}
        """The transfers that lost stored events, as far as is known: by network, the block after which they did."""
        self.removed: set[tuple[str, int, int]] = set()
        """Network, block and log index of the events that were never in the chain."""
        self.searched: set[Key] = set()
        self.openings: dict[Key, list[Occurrence]] = {}
        """The opening steps that were found for the transfers in ``searched``, by the keys that they have."""

    def find(self, occurrences: Mapping[Key, list[Occurrence]]) -> None:
        """Add ``occurrences`` to those that were found before."""
        for key, some in occurrences.items():
            known = self.found.setdefault(key, [])
            if len(known) < self._lengths[key[0]] <= len(known) + len(some):
                self.full[key] = None
            known += some

    def release(self, keys: Sequence[Key]) -> None:
        """Drop what was found of ``keys``, which is saved."""
        for key in keys:
            self.found.pop(key, None)
            self.dropped.pop(key, None)
        self.full = {}

    def remove(self, positions: Iterable[tuple[str, int, int]], touched: Iterable[Key]) -> None:
        """Drop the stored events of the transfers ``touched`` at ``positions``: network, block, log index."""
        self.removed.update(positions)
        for key in touched:
            self.dropped.setdefault(key, {})

    def cut(self, network: str, block: int, touched: Mapping[Key, object]) -> None:
        """Drop what was found on ``network`` in blocks after ``block``; ``touched`` are the stored transfers with such."""
        for key in touched:
            cut = self.dropped.setdefault(key, {})
            cut[network] = min(block, cut.get(network, block))
        kept = {
            key: [o for o in occurrences if o.network != network or o.block <= block]
            for key, occurrences in self.found.items()
        }
        self.found = {key: occurrences for key, occurrences in kept.items() if occurrences}

    def search(self, keys: set[Key], openings: Mapping[Key, list[Occurrence]]) -> None:
        """Note that the ``openings`` are all that earlier blocks hold of the transfers with these ``keys``."""
        self.searched |= keys
        for key, some in openings.items():
            self.openings.setdefault(key, []).extend(some)

    def change(self, key: Key) -> Change:
        """Return what becomes of the events that have ``key``."""
        found = self.found.get(key, ())
        if key not in self.dropped:
            return Change(key, found)
        return Change(key, found, self.dropped[key], frozenset(self.removed))

    def has_dropped(self, flow: str, key: str | None) -> bool:
        """Return whether the transfer lost events; for ``key`` None, whether any of ``flow`` did."""
        if key is not None:
            return (flow, key) in self.dropped
        return any(name == flow for name, _ in self.dropped)

    def touched(self) -> list[Key]:
        """Return all transfers whose events may have changed.

        New ones in the order of their events, then the others sorted: every run raises the same in the same order (S7).
        """
        return [*self.found, *sorted((self.dropped.keys() | self.searched) - self.found.keys())]

    def updated(self, key: Key, before: Transfer) -> Transfer:
        """Return ``before`` without the events that were dropped, with those that were read or found by a search."""
        current = before
        if key in self.dropped:
            for network, block in self.dropped[key].items():
                current = without_blocks_above(current, network, block)
            if self.removed:
                current = without_events_at(current, self.removed)
        current = with_events(current, self.found.get(key, ()))
        if current.occurrences and key in self.searched:
            current = with_events(current, self.openings.get(key, ()))
            current = msgspec.structs.replace(current, searched=True)
        return current
