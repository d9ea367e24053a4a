"""The whole trip of a batch, in one transaction (S2), through whatever checkers there are.

Live and replay both come through here; neither this module nor anything below it knows which of the two it serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

import sqlalchemy as sa

from chainwatch.checker.extractor import Extracted, log_rows, sift, transaction_rows, undecodable
from chainwatch.config import NetworkSettings
from chainwatch.model import (
    Backfilled,
    Batch,
    Event,
    EventSource,
    PackedLogs,
    ReadResult,
    Seen,
    SiftedBatch,
    Signal,
    StoredLog,
    UndecodedLog,
)
from chainwatch.pipeline import joined
from chainwatch.pipeline.checker import Checker, CheckerTransaction, Page
from chainwatch.pipeline.joined import Joined
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import blocks, watched
from chainwatch.store.errors import StoreError
from chainwatch.store.transfers import DeadlineChanges
from chainwatch.store.watched import WatchedSet

STORED_AT_ONCE = 4_000
"""Stored logs that one part of a back-fill looks at again, at most, unless a single block has more."""

Item: TypeAlias = Batch | SiftedBatch | Seen | Backfilled | ReadResult
"""What a transaction can apply."""


class Decoder(Protocol):
    """Decodes stored logs of a network again."""

    def __call__(self, network: str, log: StoredLog) -> Event | None: ...


class Alerts(Protocol):
    """Takes the signals of a transaction and turns them into alerts and notifications inside it."""

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Return when it next wants to be called (Unix seconds), None for never."""


class Outcome(NamedTuple):
    """What to wake after the commit."""

    deadlines: Mapping[str, DeadlineChanges]
    """The deadlines that opened and closed, by checker."""
    wanted: frozenset[tuple[str, str]]
    """The checkers that want to read more, and from which networks."""
    next_flush: float | None
    """When the alert engine has to act next (Unix seconds)."""


class _Transaction(NamedTuple):
    work: Work
    checkers: dict[str, CheckerTransaction]
    """By name, in the order of the pipeline's checkers."""


class Pipeline:
    """Passes what observers read, and how far they have seen, through store, checkers and alert engine."""

    def __init__(
        self,
        checkers: Sequence[Checker],
        networks: Mapping[str, NetworkSettings],
        decode: Decoder,
        alerts: Alerts,
        sources: Mapping[str, frozenset[EventSource]] = MappingProxyType({}),
    ) -> None:
        """Take ``sources``: what is watched on each network; what is left out counts as watched since its first block."""
        self.checkers = checkers
        self._extractors = [checker.extractor for checker in checkers]
        self._networks = networks
        self._decode = decode
        self._alerts = alerts
        self._sources = sources
        self._joined = Joined.of_all(checker.joined for checker in checkers)

    def process(self, connection: sa.Connection, items: Iterable[Item], now: float) -> Outcome:
        """Apply ``items`` inside the transaction of ``connection``; ``now`` is the clock's value (Unix seconds).

        The items may be many and come one by one: none is kept.
        """
        transaction = work, checkers = self._begin(connection, now)
        for item in items:
            self._apply(item, transaction)
        for network in sorted(work.advanced):
            new = list(work.headers.get(network, {}).values())
            keep = self._networks[network].reorg_window
            blocks.save_checkpoint(connection, work.checkpoints[network], new, keep)
        for checker in checkers.values():
            checker.settle()
            for network in sorted(work.advanced):
                checker.judge_seen(network)
            for network in sorted(work.filled - work.unread if work.filled else ()):
                checker.judge_filled(network)
        return self._end(work, now)

    def judge_filled(self, connection: sa.Connection, network: str, now: float) -> Outcome:
        """Judge what waits for blocks of ``network`` to be read again, where none are left to be read."""
        work, checkers = self._begin(connection, now)
        work.chain_time = work.latest_seen
        work.quiet = True
        if network not in work.unread:
            for checker in checkers.values():
                checker.judge_filled(network)
        return self._end(work, now)

    def repair_logs(
        self,
        connection: sa.Connection,
        network: str,
        wrong: Sequence[StoredLog],
        right: Sequence[Event | UndecodedLog],
        now: float,
    ) -> Outcome:
        """Replace the stored logs ``wrong`` of ``network`` by ``right``, and judge what they touch.

        Raises ``StoreError`` for a network of which nothing was read.
        """
        work, checkers = self._begin(connection, now)
        work.chain_time = work.latest_seen
        number = blocks.network_id(connection, network)
        if number is None:
            raise StoreError(f"nothing of {network} was read yet")
        touched = {(one.log.block_number, one.log.tx_hash) for one in (*wrong, *right)}
        beside = self._stored_beside(connection, network, touched)
        again = [event for event in beside if self._joined.is_joined(event)]
        removed = [event for one in wrong if (event := self._decode(network, one)) is not None]
        positions = {(one.log.block_number, one.log.log_index) for one in wrong}
        undone = positions | set(map(joined.position, again))
        for extractor in self._extractors:
            found = extractor.extract([*removed, *again], beside).found
            checkers[extractor.name].remove(network, undone, found)
        blocks.drop_logs(connection, number, [one.log for one in wrong])
        again, beside = ([e for e in some if joined.position(e) not in positions] for some in (again, beside))
        events = [one for one in right if isinstance(one, Event)]
        undecoded = [one for one in right if isinstance(one, UndecodedLog)]
        self._apply_events(number, events, undecoded, _Transaction(work, checkers), again, beside)
        for checker in checkers.values():
            checker.settle()
            for name in sorted(work.seen):
                checker.judge_seen(name)
        return self._end(work, now)

    def judge_again(self, connection: sa.Connection, checker: Checker, page: Page, now: float) -> int | None:
        """Judge ``page`` of ``checker`` by the present configuration; return its last id, None once there is none.

        Conditions that would have begun and ended in the past raise no signals.
        """
        work, checkers = self._begin(connection, now)
        work.chain_time = work.latest_seen
        work.quiet = True
        last = checkers[checker.extractor.name].judge_again(page)
        self._alerts.apply(connection, work.signals, now)
        return last

    def store_unjudged(
        self, connection: sa.Connection, checker: Checker, found: Any, names: Sequence[str]
    ) -> None:
        """Store what of ``found`` belongs to ``names`` of ``checker``; `judge_again` is to follow once all is stored."""
        _, checkers = self._begin(connection)
        checkers[checker.extractor.name].store_unjudged(found, names)

    # --- the transaction

    def _begin(self, connection: sa.Connection, now: float = 0.0) -> _Transaction:
        work = Work(connection, blocks.checkpoints(connection), now)
        if self._sources:
            work.reload_watched()
        return _Transaction(work, {c.extractor.name: c.begin(work) for c in self.checkers})

    def _end(self, work: Work, now: float) -> Outcome:
        next_flush = self._alerts.apply(work.connection, work.signals, now)
        return Outcome(work.deadlines, frozenset(work.wanted), next_flush)

    # --- items

    def _apply(self, item: Item, transaction: _Transaction) -> None:
        work = transaction.work
        match item:
            case Seen():
                if item.network in work.first:  # of a network that was never read, nothing was seen
                    work.see(item.network, item.until)
            case Batch():
                self._apply_batch(sift(self._extractors, item), transaction)
            case SiftedBatch():
                self._apply_batch(item, transaction)
            case Backfilled():
                self._apply_backfilled(item, transaction)
            case _:
                transaction.checkers[item.checker].apply_read(item)

    def _apply_batch(self, sifted: SiftedBatch, transaction: _Transaction) -> None:
        work, checkers = transaction
        batch = sifted.batch
        if batch.ancestor is not None:
            self._roll_back(batch.network, batch.ancestor.number, transaction)
        checkpoint = work.advance(batch)
        number = work.numbers.get(batch.network) or blocks.network_id(work.connection, batch.network)
        if number is None:
            number = _wanted_id(sifted) or blocks.network_ids(work.connection, [batch.network])[batch.network]
            blocks.add_network(work.connection, number, self._networks[batch.network].chain_id, checkpoint)
            here = sorted(self._sources.get(batch.network, ()))
            watched.begin(work.connection, number, here, checkpoint.first_block, checkpoint.first_timestamp)
        work.numbers[batch.network] = number
        blocks.save_logs(work.connection, number, sifted.logs)
        blocks.save_transactions(work.connection, number, sifted.transactions)
        work.signals += sifted.signals
        for name, found in sifted.found.items():
            checkers[name].apply(found)

    def _apply_backfilled(self, item: Backfilled, transaction: _Transaction) -> None:
        """Apply blocks that were read again, unless a reorg has changed meanwhile what is to be read.

        Where too many events are stored beside them, only the first blocks are applied: the rest is read once more.
        """
        work, network = transaction.work, item.network
        gap = watched.gap(work.connection, network)
        number = blocks.network_id(work.connection, network)
        stored_hashes = {h.number: h.hash for h in blocks.window(work.connection, network)}
        read = {h.number: h.hash for h in item.headers}
        logs = [*(event.log for event in item.events), *(one.log for one in item.undecoded)]
        read |= {log.block_number: log.block_hash for log in logs}
        if (
            gap is None
            or number is None
            or (gap.first, gap.sources) != (item.first, item.sources)
            or any(stored_hashes.get(block, reported) != reported for block, reported in read.items())
        ):
            return
        last = min(item.last, gap.last)
        is_joined = self._joined.concerns(network, item.sources)
        if is_joined:
            contracts = self._joined.contracts
            last = blocks.bounded(work.connection, network, item.first, last, contracts, STORED_AT_ONCE)
        events = [event for event in item.events if event.log.block_number <= last]
        undecoded = [one for one in item.undecoded if one.log.block_number <= last]
        watched.narrow(work.connection, network, item.sources, last)
        work.quiet = True
        work.chain_time = max(work.chain_time, work.latest_seen)
        work.reload_watched()
        work.filled.add(network)
        stored: list[Event] = []
        if is_joined:
            stored = self._stored_events(work.connection, network, item.first, last)
        positions = set(map(joined.position, events))
        stored = [event for event in stored if joined.position(event) not in positions]
        again = [event for event in stored if self._joined.needs(event, item.sources)]
        self._apply_events(number, events, undecoded, transaction, again, stored)

    def _stored_beside(
        self, connection: sa.Connection, network: str, transactions: set[tuple[int, bytes]]
    ) -> list[Event]:
        """Return the stored events of ``transactions`` (block, hash), as far as events are read together."""
        by_block = (
            self._stored_events(connection, network, block, block)
            for block in sorted({block for block, _ in transactions})
        )
        return [event for some in by_block for event in some if joined.transaction(event) in transactions]

    def _stored_events(self, connection: sa.Connection, network: str, first: int, last: int) -> list[Event]:
        """Return the stored events in the blocks ``first``..``last`` of contracts whose events are read together."""
        if not self._joined.siblings:
            return []
        stored = blocks.logs_between(connection, network, first, last, self._joined.contracts)
        return [event for log in stored if (event := self._decode(network, log)) is not None]

    def _apply_events(
        self,
        number: int,
        events: Sequence[Event],
        undecoded: Sequence[UndecodedLog],
        transaction: _Transaction,
        again: Sequence[Event] = (),
        beside: Sequence[Event] = (),
    ) -> None:
        """Store more logs of the network with the id ``number``, and apply what they are.

        ``again`` are stored events that may be something else now that there are these. ``beside`` are all stored events
        of the same transactions.
        """
        work, checkers = transaction
        blocks.save_logs(work.connection, number, log_rows(events, undecoded))
        blocks.save_transactions(work.connection, number, transaction_rows(events, undecoded))
        for checker, extracted in self.extract_stored([*events, *again], work.watched, beside):
            work.signals += extracted.signals
            checkers[checker.extractor.name].apply(extracted.found)
        work.signals += map(undecodable, undecoded)

    def extract_stored(
        self,
        events: Sequence[Event],
        watched: Mapping[str, Mapping[EventSource, WatchedSet]],
        beside: Sequence[Event] = (),
    ) -> Iterator[tuple[Checker, Extracted[Any]]]:
        """Yield what each checker finds in ``events``, which were not all read at once; it may come in two parts.

        ``watched``: since when events are watched, by network. An event waits until its siblings are read, too. Where these
        were not watched, their lack raises nothing; they may be known nevertheless, by a search.
        """
        ready, unwatched = self._joined.split(events, watched)
        together = [*events, *beside] if self._joined.siblings else ()
        for checker in self.checkers:
            yield checker, checker.extractor.extract(ready, together)
            if unwatched:
                found = checker.extractor.extract(unwatched, together).found
                yield checker, Extracted(found, [])

    def _roll_back(self, network: str, block: int, transaction: _Transaction) -> None:
        """Undo what was read of ``network`` after ``block``."""
        work, checkers = transaction
        stored = blocks.logs_above(work.connection, network, block)
        for name, found in self._decoded(network, stored).items():
            checkers[name].roll_back(network, block, found)
        work.drop_headers_above(network, block)
        was_unread = network in work.unread
        blocks.drop_above(work.connection, network, block)
        if self._sources:
            watched.cut(work.connection, network, block)
            if was_unread:
                work.reload_watched()
                work.filled.add(network)

    def _decoded(self, network: str, stored: Iterable[StoredLog]) -> dict[str, Any]:
        """Return what each checker finds in logs that are stored."""
        events = [event for log in stored if (event := self._decode(network, log)) is not None]
        return {extractor.name: extractor.extract(events).found for extractor in self._extractors}


def _wanted_id(sifted: SiftedBatch) -> int | None:
    """Return the integer that stands for a network in logs that are packed already."""
    return sifted.logs.number if isinstance(sifted.logs, PackedLogs) else None
