"""What one transaction of the pipeline gathers, until all of it is judged and stored together."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from chainwatch.model import Batch, Checkpoint, EventSource, Header, Signal
from chainwatch.store import watched
from chainwatch.store.transfers import DeadlineChanges
from chainwatch.store.watched import WatchedSet


class Work:
    """What one transaction on ``connection`` gathers; ``checkpoints`` are those before it, ``now`` is the clock's value."""

    def __init__(
        self, connection: sa.Connection, checkpoints: Mapping[str, Checkpoint], now: float = 0.0
    ) -> None:
        self.connection = connection
        self.now = now
        self.checkpoints = dict(checkpoints)
        self.numbers: dict[str, int] = {}
        """The integers that stand for networks, by name."""
        self.headers: dict[str, dict[int, Header]] = {}
        """The new ones, by network and number."""
        self.seen = {name: c.seen_until for name, c in checkpoints.items()}
        """Until which chain time each network was seen."""
        self.first = {name: (c.first_block, c.first_timestamp) for name, c in checkpoints.items()}
        """The first block of each network that was ever read, and its time."""
        self._watched: Mapping[str, Mapping[EventSource, WatchedSet]] | None = {}
        self.filled: set[str] = set()
        """Those with fewer such blocks since this transaction."""
        self.quiet = False
        """Whether conditions that began and ended in the past raise no signals."""
        self.deadlines: dict[str, DeadlineChanges] = {}
        """By checker."""
        self.wanted: set[tuple[str, str]] = set()
        """Checkers and the networks from which they want to read more than before."""
        self.signals: list[Signal] = []
        self.advanced: set[str] = set()
        self.chain_time = 0

    @property
    def latest_seen(self) -> int:
        """The latest chain time at which any network was seen."""
        return max(self.seen.values(), default=0)

    def see(self, network: str, until: int) -> None:
        """Note that ``network``, of which something was read, was seen ``until`` (chain time); never moves back."""
        self.chain_time = max(self.chain_time, until)
        self.seen[network] = max(until, self.seen.get(network, 0))
        checkpoint = self.checkpoints[network]
        self.checkpoints[network] = msgspec.structs.replace(checkpoint, seen_until=self.seen[network])
        self.advanced.add(network)

    def change_deadlines(self, checker: str, changes: DeadlineChanges) -> None:
        """Note the deadlines of ``checker`` that opened and closed."""
        self.deadlines.setdefault(checker, DeadlineChanges([], [])).add(changes)

    def reload_watched(self) -> None:
        """Load from the database since when events are watched, once that is asked for: most transactions do without."""
        self._watched = None

    @property
    def watched(self) -> Mapping[str, Mapping[EventSource, WatchedSet]]:
        """Since when events are watched, by network; another object whenever it changes."""
        if self._watched is None:
            self._watched = watched.load(self.connection)
        return self._watched

    @property
    def unread(self) -> set[str]:
        """The networks with blocks to be read again."""
        return {n for n, rows in self.watched.items() if any(map(watched.is_open, rows.values()))}

    def drop_headers_above(self, network: str, block: int) -> None:
        """Drop the new headers of ``network`` after ``block``."""
        headers = self.headers.get(network, {})
        self.headers[network] = {number: header for number, header in headers.items() if number <= block}

    def advance(self, batch: Batch) -> Checkpoint:
        """Move the checkpoint of the network of ``batch`` to its end; note how far it is seen; return the checkpoint."""
        network, timestamp = batch.network, batch.last.timestamp
        if batch.ancestor is not None:
            # What was seen of the dropped blocks proves nothing about those that replace them.
            self.seen[network] = timestamp
        first = batch.first_timestamp
        if first is None:
            first = next((h.timestamp for h in batch.headers if h.number == batch.first), timestamp)
        first_block, first_timestamp = self.first.setdefault(network, (batch.first, first))
        last, known = batch.last, self.checkpoints.get(network)
        if known is not None and batch.ancestor is None and known.last.number > last.number:
            last = known.last  # it was stored before: only a reorg moves back
        self.checkpoints[network] = Checkpoint(network, last, first_block, first_timestamp, 0)
        self.see(network, timestamp)
        self.headers.setdefault(network, {}).update((h.number, h) for h in batch.headers)
        return self.checkpoints[network]
