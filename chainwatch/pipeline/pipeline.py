"""The whole trip of a batch, in one transaction (DESIGN §2, S2).

Live and replay both come through here; neither this module nor anything below it knows which of the two it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.checker import transfer as transfers
from chainwatch.checker.finding import endings
from chainwatch.checker.flow import Flow, Step, StepPlace, extract, index_steps, log_rows, sift, undecodable
from chainwatch.checker.transfer import FILLING, Watched, World
from chainwatch.config import NetworkSettings
from chainwatch.model import (
    Backfilled,
    Batch,
    Event,
    EventSource,
    Occurrence,
    PackedLogs,
    Searched,
    Seen,
    SiftedBatch,
    Signal,
    StoredLog,
    Transfer,
    UndecodedLog,
)
from chainwatch.pipeline.unit_of_work import Key, Work
from chainwatch.store import blocks, watched
from chainwatch.store import transfers as stored
from chainwatch.store.errors import StoreError
from chainwatch.store.transfers import DeadlineChanges
from chainwatch.store.watched import WatchedSet

AT_ONCE = 5_000
"""How many transfers are loaded, judged and saved at a time."""

FOUND_MAX = 40_000
"""Of how many transfers the events are kept until their transaction ends (some 50 MB)."""

ALWAYS = 2**62
"""A chain time after any other."""

REPAIRED = "repaired"
"""Why an alert ends whose events were found not to be in the chain."""

CONFIG_CHANGED = "configuration changed"
"""Why an alert ends that the flow as configured now would not have raised."""

Item: TypeAlias = Batch | SiftedBatch | Seen | Searched | Backfilled
"""What a transaction can take in."""
Changed = tuple[Transfer, Transfer]
"""A transfer before and after; one without an id was not stored yet."""


class Decoder(Protocol):
    """Decodes stored logs of a network again."""

    def __call__(self, network: str, log: StoredLog) -> Event | None: ...


class Alerts(Protocol):
    """Takes the signals of a transaction and turns them into alerts and notifications inside it."""

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Returns when it next wants to be called (Unix seconds), None for never."""


class Outcome(NamedTuple):
    """What to wake after the commit: the deadlines that opened and closed, and when the alert manager has to act next."""

    deadlines: DeadlineChanges
    next_flush: float | None


class Pipeline:
    """Takes what observers read and what they have seen through checker, store and alert manager."""

    def __init__(
        self,
        flows: Iterable[Flow],
        networks: Mapping[str, NetworkSettings],
        decode: Decoder,
        alerts: Alerts,
        saved: Callable[[Sequence[Changed]], None] | None = None,
        sources: Mapping[StepPlace, frozenset[EventSource]] = MappingProxyType({}),
    ) -> None:
        """``saved`` is told of the transfers that change, before their transaction is committed.

        ``sources``: where the events of each step come from. Those left out are watched since their network's first block.
        """
        self.flows = {flow.name: flow for flow in flows}
        self._steps: dict[tuple[str, str], list[Step]] = index_steps(self.flows.values())
        self._lengths = {flow.name: 1 + len(flow.expected) for flow in self.flows.values()}
        """How many events a transfer has that is complete, mostly."""
        self._networks = networks
        self._decode = decode
        self._alerts = alerts
        self._saved = saved
        self._sources = sources

    def process(self, connection: sa.Connection, items: Iterable[Item], now: float) -> Outcome:
        """Apply ``items`` inside the transaction of ``connection``; ``now`` is the clock's value (Unix seconds).

        Of an item no more is kept than what it says of transfers: the items may be many and come one by one.
        """
        work = self._begin(connection)
        for item in items:
            self._take_in(connection, item, work)
            if len(work.found) >= FOUND_MAX:
                self._settle_found(connection, list(work.found), work)
            elif len(work.full) >= AT_ONCE:
                self._settle_found(connection, list(work.full), work)
        for network in sorted(work.advanced):
            new = list(work.headers.get(network, {}).values())
            keep = self._networks[network].reorg_window
            blocks.save_checkpoint(connection, work.checkpoints[network], new, keep)
        self._settle_touched(connection, work)
        for network in sorted(work.advanced):
            self._raise_due(connection, network, work)
        for network in sorted(work.filled):
            self._judge_filled(connection, network, work)
        return Outcome(work.deadlines, self._alerts.apply(connection, work.signals, now))

    def judge_filled(self, connection: sa.Connection, network: str, now: float) -> Outcome:
        """Judge what waits for blocks of ``network`` to be read again, where none are left to be read."""
        work = self._begin(connection)
        work.chain_time = max(work.world.seen.values(), default=0)
        work.quiet = True
        self._judge_filled(connection, network, work)
        return Outcome(work.deadlines, self._alerts.apply(connection, work.signals, now))

    def first_watched(self, connection: sa.Connection) -> World:
        """How far networks were read, and since when each step's events are watched."""
        return self._begin(connection).world

    def put_right(
        self,
        connection: sa.Connection,
        network: str,
        wrong: Sequence[StoredLog],
        right: Sequence[Event | UndecodedLog],
        now: float,
    ) -> Outcome:
        """Forget the stored logs ``wrong`` of ``network``, take in ``right``, and judge the transfers that they touch."""
        work = self._begin(connection)
        work.chain_time = max(work.world.seen.values(), default=0)
        number = blocks.network_id(connection, network)
        if number is None:
            raise StoreError(f"nothing of {network} was read yet")
        work.removed = {(network, s.log.block_number, s.log.log_index) for s in wrong}
        events = [event for s in wrong if (event := self._decode(network, s)) is not None]
        work.dropped |= set(extract(self._steps, events).occurrences)
        blocks.drop_logs(connection, number, [s.log for s in wrong])
        found = [one for one in right if isinstance(one, Event)]
        undecoded = [one for one in right if isinstance(one, UndecodedLog)]
        blocks.save_logs(connection, number, log_rows(found, undecoded))
        occurrences, troubles = extract(self._steps, found)
        work.find(occurrences, self._lengths)
        work.signals += [*troubles, *map(undecodable, undecoded)]
        self._settle_touched(connection, work)
        for name in sorted(work.world.seen):
            self._raise_due(connection, name, work)
        return Outcome(work.deadlines, self._alerts.apply(connection, work.signals, now))

    def judge_again(
        self,
        connection: sa.Connection,
        after: int,
        limit: int,
        now: float,
        flows: Sequence[str] | None = None,
    ) -> int | None:
        """Judge up to ``limit`` transfers with ids above ``after`` by the flows as they are configured now.

        ``flows``: of these only, of which those that are not configured any more lose their transfers. Returns the last id
        judged, None when there were no more. What would have come and gone in the past is not told.
        """
        work = self._begin(connection)
        work.chain_time = max(work.world.seen.values(), default=0)
        work.quiet = True
        some = stored.page(connection, after, limit, flows)
        self._save(connection, [(t, self._settle_again(t, work)) for t in some])
        self._alerts.apply(connection, work.signals, now)
        return some[-1].id if some else None

    def add_unjudged(
        self, connection: sa.Connection, occurrences: Mapping[Key, Sequence[Occurrence]]
    ) -> None:
        """Store more events of transfers, which are to be judged by `judge_again` once all are stored."""
        keys = list(occurrences)
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            known = stored.load(connection, some)
            before = [known.get(key) or Transfer(*key) for key in some]
            self._save(
                connection, [(t, transfers.with_events(t, occurrences[t.flow, t.key])) for t in before]
            )

    def _settle_again(self, transfer: Transfer, work: Work) -> Transfer:
        flow = self.flows.get(transfer.flow)
        if flow is None or all(self._is_before_watch(flow, o, work.world) for o in transfer.occurrences):
            # Nothing of the flow is left, or only openings that a search had found for other transfers.
            work.signals += [
                Signal(
                    r.labels, r.starts_at, {}, max(work.chain_time, r.starts_at), CONFIG_CHANGED, "transfer"
                )
                for r in transfer.raised.values()
                if r.ends_at is None
            ]
            return msgspec.structs.replace(transfer, occurrences=(), raised={}, deadlines={})
        searched = transfer.searched or any(
            self._is_before_watch(flow, o, work.world) for o in transfer.occurrences
        )
        return self._settle(msgspec.structs.replace(transfer, searched=searched), work, CONFIG_CHANGED)

    @staticmethod
    def _is_before_watch(flow: Flow, occurrence: Occurrence, world: World) -> bool:
        is_opening = occurrence.step == flow.opening.name
        return is_opening and occurrence.block < world.watch_of(occurrence.network, flow.opening).block

    def _begin(self, connection: sa.Connection) -> Work:
        work = Work(blocks.checkpoints(connection))
        self._note_watched(connection, work)
        return work

    def _note_watched(self, connection: sa.Connection, work: Work) -> None:
        """Learn since when the events of each step are watched."""
        rows = watched.load(connection) if self._sources else {}
        work.watched.clear()
        for place, sources in self._sources.items():
            known = rows.get(place[0], {})
            if found := [known[source] for source in sources if source in known]:
                work.watched[place] = _together(found)
        work.unread = {name for name, some in rows.items() if any(map(watched.is_open, some.values()))}

    def _settle_touched(self, connection: sa.Connection, work: Work) -> None:
        """Judge and save the transfers that the items touched, but for those that were full before."""
        # New ones in the order of their events, then the others sorted: every run tells the same in the same order (S7).
        self._settle_keys(
            connection, [*work.found, *sorted((work.dropped | work.searched) - work.found.keys())], work
        )

    def _settle_found(self, connection: sa.Connection, keys: Sequence[Key], work: Work) -> None:
        """Judge and save these transfers before the end, so that what was found of them need not be kept."""
        self._settle_keys(connection, keys, work)
        work.let_go(keys)

    def _settle_keys(self, connection: sa.Connection, keys: Sequence[Key], work: Work) -> None:
        """Judge and save these transfers, some at a time."""
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            known = stored.load(connection, some)
            changed: list[Changed] = []
            for key in some:
                if key in known or key in work.found:
                    before = known.get(key) or Transfer(*key)
                    current = self._recompute(key, before, work.found.get(key, ()), work)
                    changed.append((before, self._settle(current, work)))
            work.deadlines.add(self._save(connection, changed))

    def _take_in(self, connection: sa.Connection, item: Item, work: Work) -> None:
        match item:
            case Seen():
                if item.network in work.world.first:  # of a network that was never read, nothing was seen
                    work.see(item.network, item.until)
            case Batch():
                self._take_in_batch(connection, sift(self._steps, item), work)
            case SiftedBatch():
                self._take_in_batch(connection, item, work)
            case Searched():
                self._take_in_search(connection, item, work)
            case Backfilled():
                self._take_in_again(connection, item, work)

    def _take_in_again(self, connection: sa.Connection, item: Backfilled, work: Work) -> None:
        """Take in blocks that were read again, unless a reorg has changed meanwhile what is to be read."""
        network = item.network
        gap = watched.gap(connection, network)
        number = blocks.network_id(connection, network)
        stored_hashes = {h.number: h.hash for h in blocks.window(connection, network)}
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
        events = [event for event in item.events if event.log.block_number <= last]
        undecoded = [one for one in item.undecoded if one.log.block_number <= last]
        blocks.save_logs(connection, number, log_rows(events, undecoded))
        watched.narrow(connection, network, item.sources, last)
        occurrences, troubles = extract(self._steps, events)
        work.find(occurrences, self._lengths)
        work.signals += [*troubles, *map(undecodable, undecoded)]
        work.quiet = True
        work.chain_time = max(work.chain_time, *work.world.seen.values())
        self._note_watched(connection, work)
        work.filled.add(network)

    def _take_in_search(self, connection: sa.Connection, item: Searched, work: Work) -> None:
        """Note the opening steps that were asked for. A search may find others, whose later steps nobody watched."""
        asked = {(item.flow, key) for key in item.keys}
        work.searched |= asked
        flow = self.flows.get(item.flow)
        steps = index_steps([flow]) if flow else {}
        for event in item.events:
            number = blocks.network_id(connection, event.network)
            for key, occurrences in extract(steps, [event]).occurrences.items():
                openings = [o for o in occurrences if flow and o.step == flow.opening.name]
                if number is not None and openings and key in asked:
                    work.openings.setdefault(key, []).extend(openings)
                    blocks.save_logs(connection, number, log_rows([event], []))

    def _take_in_batch(self, connection: sa.Connection, sifted: SiftedBatch, work: Work) -> None:
        batch = sifted.batch
        if batch.ancestor is not None:
            self._drop(connection, batch.network, batch.ancestor.number, work)
        checkpoint = work.read_to(batch)
        number = work.numbers.get(batch.network) or blocks.network_id(connection, batch.network)
        if number is None:
            number = _wanted_id(sifted) or blocks.network_ids(connection, [batch.network])[batch.network]
            blocks.add_network(connection, number, self._networks[batch.network].chain_id, checkpoint)
            here = {s for place, some in self._sources.items() if place[0] == batch.network for s in some}
            first = checkpoint.first_block, checkpoint.first_timestamp
            watched.begin(connection, number, sorted(here), *first)
        work.numbers[batch.network] = number
        blocks.save_logs(connection, number, sifted.logs)
        work.find(sifted.occurrences, self._lengths)
        work.signals += sifted.troubles

    def _drop(self, connection: sa.Connection, network: str, block: int, work: Work) -> None:
        """Forget what was read after ``block`` and note whose transfers that touches."""
        events = [self._decode(network, log) for log in blocks.logs_above(connection, network, block)]
        touched = extract(self._steps, [e for e in events if e is not None]).occurrences
        work.dropped |= set(touched)
        work.cut[network] = min(block, work.cut.get(network, block))
        work.forget_above(network, block)
        blocks.drop_above(connection, network, block)
        if self._sources:
            watched.cut(connection, network, block)
            if network in work.unread:
                self._note_watched(connection, work)
                work.filled.add(network)

    def _recompute(self, key: Key, before: Transfer, added: Iterable[Occurrence], work: Work) -> Transfer:
        """``before`` without the events that were dropped, with those that were read or found."""
        current = before
        if key in work.dropped:
            for network, block in work.cut.items():
                current = transfers.without_blocks_above(current, network, block)
            if work.removed:
                current = transfers.without_events_at(current, work.removed)
        current = transfers.with_events(current, added)
        if current.occurrences and key in work.searched:
            current = transfers.with_events(current, work.openings.get(key, ()))
            current = msgspec.structs.replace(current, searched=True)
        return current

    def _settle(self, current: Transfer, work: Work, cause: str = transfers.IN_TIME) -> Transfer:
        flow = self.flows.get(current.flow)
        if flow is None:
            # The flow is no longer configured: what is stored of it stays, but nothing is awaited or told any more.
            work.signals += endings(current.raised.values(), work.chain_time, CONFIG_CHANGED)
            return msgspec.structs.replace(current, deadlines={}, raised={})
        if (current.flow, current.key) in work.dropped:
            cause = REPAIRED if work.removed else transfers.REORG
        settled = transfers.settle(flow, current, work.world, work.chain_time, cause)
        work.signals += _news(current, settled.signals) if work.quiet else settled.signals
        return settled.transfer

    def _save(self, connection: sa.Connection, changed: Sequence[Changed]) -> DeadlineChanges:
        if self._saved is not None:
            self._saved(changed)
        return stored.save(connection, changed)

    def _raise_due(self, connection: sa.Connection, network: str, work: Work) -> None:
        """Judge every transfer with a deadline on ``network`` that the network has been seen past (S5)."""
        self._judge_due(connection, network, work.world.seen[network], work)

    def _judge_filled(self, connection: sa.Connection, network: str, work: Work) -> None:
        """Judge every transfer that waits for blocks of ``network`` to be read again, once all are."""
        if network not in work.unread:
            self._judge_due(connection, FILLING + network, ALWAYS, work)

    def _judge_due(self, connection: sa.Connection, network: str, before_time: int, work: Work) -> None:
        while due := stored.due_before(connection, network, before_time, AT_ONCE):
            before = stored.load_ids(connection, {d.transfer_id for d in due})
            changed = [(t, self._settle(t, work)) for t in before]
            more = self._save(connection, changed)
            if not more.opened and not more.closed:
                stored.discard(connection, due)  # rows that no transfer knows of would come back for ever
            work.deadlines.add(more)


def _wanted_id(sifted: SiftedBatch) -> int | None:
    """The integer that stands for a network in logs that are packed already."""
    return sifted.logs.number if isinstance(sifted.logs, PackedLogs) else None


def _together(rows: Sequence[WatchedSet]) -> Watched:
    """Since when all of ``rows`` are watched."""
    block, timestamp = max((row.first_block, row.first_timestamp) for row in rows)
    unread = [row.gap_timestamp for row in rows if row.gap_timestamp is not None]
    return Watched(block, timestamp, max(unread, default=None))


def _news(before: Transfer, signals: Sequence[Signal]) -> list[Signal]:
    """``signals`` without those of alerts that ended long ago and were never raised."""
    firing = [r.labels for r in before.raised.values() if r.ends_at is None]
    return [s for s in signals if s.ends_at is None or s.labels in firing]
