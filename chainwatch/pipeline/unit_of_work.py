"""What one transaction of the pipeline gathers, until all of it is judged and stored together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from chainwatch.checker.flow import StepPlace
from chainwatch.checker.transfer import Watched, World
from chainwatch.model import Batch, Checkpoint, Header, Occurrence, Signal
from chainwatch.store.transfers import DeadlineChanges

Key: TypeAlias = tuple[str, str]
"""A transfer's flow and key."""


class Work:
    """What one transaction gathers; ``checkpoints`` are those before it."""

    def __init__(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        self.checkpoints = dict(checkpoints)
        self.numbers: dict[str, int] = {}
        """The integers that stand for networks."""
        self.headers: dict[str, dict[int, Header]] = {}
        """The new ones, by network and number."""
        self._seen = {name: c.seen_until for name, c in checkpoints.items()}
        self._first = {name: (c.first_block, c.first_timestamp) for name, c in checkpoints.items()}
        self.watched: dict[StepPlace, Watched] = {}
        self.world = World(self._seen, self._first, self.watched)
        self.unread: set[str] = set()
        """The networks of which blocks are to be read again."""
        self.filled: set[str] = set()
        """Those of which there are fewer now."""
        self.quiet = False
        """Whether what came and went is not to be told: it is long past."""
        self.found: dict[Key, list[Occurrence]] = {}
        self.full: dict[Key, None] = {}
        """Those in ``found`` that need not wait for more events, mostly, in the order in which they came to that."""
        self.deadlines = DeadlineChanges([], [])
        self.signals: list[Signal] = []
        self.dropped: set[Key] = set()
        self.searched: set[Key] = set()
        self.openings: dict[Key, list[Occurrence]] = {}
        """What was found for the transfers in ``searched``."""
        self.cut: dict[str, int] = {}
        """The block after which a network's events were dropped."""
        self.removed: set[tuple[str, int, int]] = set()
        """Network, block and log index of the events that were never in the chain."""
        self.advanced: set[str] = set()
        self.chain_time = 0

    def see(self, network: str, until: int) -> None:
        """Note that ``network``, of which something was read, was seen ``until`` (chain time); never moves back."""
        self.chain_time = max(self.chain_time, until)
        self._seen[network] = max(until, self._seen.get(network, 0))
        checkpoint = self.checkpoints[network]
        self.checkpoints[network] = msgspec.structs.replace(checkpoint, seen_until=self._seen[network])
        self.advanced.add(network)

    def find(self, occurrences: Mapping[Key, list[Occurrence]], lengths: Mapping[str, int]) -> None:
        """Note ``occurrences`` after those that were found before; ``lengths``: events of a whole transfer, by flow."""
        for key, some in occurrences.items():
            known = self.found.setdefault(key, [])
            if len(known) < lengths[key[0]] <= len(known) + len(some):
                self.full[key] = None
            known += some

    def let_go(self, keys: Sequence[Key]) -> None:
        """Keep no more of what was found of ``keys``, which is saved."""
        for key in keys:
            self.found.pop(key, None)
        self.full = {}

    def forget_above(self, network: str, block: int) -> None:
        """Drop what was found on ``network`` in blocks after ``block``."""
        kept = {
            key: [o for o in occurrences if o.network != network or o.block <= block]
            for key, occurrences in self.found.items()
        }
        self.found = {key: occurrences for key, occurrences in kept.items() if occurrences}
        headers = self.headers.get(network, {})
        self.headers[network] = {number: header for number, header in headers.items() if number <= block}

    def read_to(self, batch: Batch) -> Checkpoint:
        """Note how far ``batch`` lets its network be seen; the network's checkpoint after it."""
        network, timestamp = batch.network, batch.last.timestamp
        if batch.ancestor is not None:
            # What was seen of the dropped blocks proves nothing about those that replace them.
            self._seen[network] = timestamp
        first = batch.first_timestamp
        if first is None:
            first = next((h.timestamp for h in batch.headers if h.number == batch.first), timestamp)
        first_block, first_timestamp = self._first.setdefault(network, (batch.first, first))
        last, known = batch.last, self.checkpoints.get(network)
        if known is not None and batch.ancestor is None and known.last.number > last.number:
            last = known.last  # it was stored before: only a reorg moves back
        self.checkpoints[network] = Checkpoint(network, last, first_block, first_timestamp, 0)
        self.see(network, timestamp)
        self.headers.setdefault(network, {}).update((h.number, h) for h in batch.headers)
        return self.checkpoints[network]
