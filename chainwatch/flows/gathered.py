"""The events of transfers that one transaction gathers, until they are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from chainwatch.checker.transfer import with_events, without_blocks_above, without_events_at
from chainwatch.model import Occurrence, Transfer

Key: TypeAlias = tuple[str, str]
"""A transfer's flow and key."""


class Gathered:
    """The events that one transaction gathers, by transfer. ``lengths``: how many events most transfers of a flow have."""

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self._lengths = lengths
        self.found: dict[Key, list[Occurrence]] = {}
        self.full: dict[Key, None] = {}
        """The keys in ``found`` with as many events as complete transfers have, in the order in which they got there."""
        self.dropped: set[Key] = set()
        """The transfers that lost events, as far as is known."""
        self.removed: set[tuple[str, int, int]] = set()
        """Network, block and log index of the events that were never in the chain."""
        self._cut: dict[str, int] = {}
        """The block after which a network's events were dropped."""
        self._searched: set[Key] = set()
        self._openings: dict[Key, list[Occurrence]] = {}
        """The opening steps that were found for the transfers in ``_searched``."""

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
        self.full = {}

    def cut(self, network: str, block: int, touched: Mapping[Key, object]) -> None:
        """Drop what was found on ``network`` in blocks after ``block``; ``touched`` are the stored transfers with such."""
        self.dropped |= set(touched)
        self._cut[network] = min(block, self._cut.get(network, block))
        kept = {
            key: [o for o in occurrences if o.network != network or o.block <= block]
            for key, occurrences in self.found.items()
        }
        self.found = {key: occurrences for key, occurrences in kept.items() if occurrences}

    def search(self, keys: set[Key], openings: Mapping[Key, list[Occurrence]]) -> None:
        """Note that the ``openings`` are all that earlier blocks hold of the transfers with these ``keys``."""
        self._searched |= keys
        for key, some in openings.items():
            self._openings.setdefault(key, []).extend(some)

    def touched(self) -> list[Key]:
        """Return all transfers whose events may have changed.

        New ones in the order of their events, then the others sorted: every run raises the same in the same order (S7).
        """
        return [*self.found, *sorted((self.dropped | self._searched) - self.found.keys())]

    def updated(self, key: Key, before: Transfer) -> Transfer:
        """Return ``before`` without the events that were dropped, with those that were read or found by a search."""
        current = before
        if key in self.dropped:
            for network, block in self._cut.items():
                current = without_blocks_above(current, network, block)
            if self.removed:
                current = without_events_at(current, self.removed)
        current = with_events(current, self.found.get(key, ()))
        if current.occurrences and key in self._searched:
            current = with_events(current, self._openings.get(key, ()))
            current = msgspec.structs.replace(current, searched=True)
        return current
