"""The whole trip of a batch, in one transaction (DESIGN §2, S2).

Live and replay both come through here; neither this module nor anything below it knows which of the two it serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
import sqlalchemy as sa

from chainwatch.checker import transfer as transfers
from chainwatch.checker.finding import endings
from chainwatch.checker.flow import Flow, Step, extract, index_steps, log_rows, sift, undecodable
from chainwatch.checker.transfer import World
from chainwatch.config import NetworkSettings
from chainwatch.model import (
    Batch,
    Checkpoint,
    Event,
    Header,
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
from chainwatch.store import blocks
from chainwatch.store import transfers as stored
from chainwatch.store.errors import StoreError
from chainwatch.store.transfers import DeadlineChanges

AT_ONCE = 5_000
"""How many transfers are loaded, judged and saved at a time."""

FOUND_MAX = 40_000
"""Of how many transfers the events are kept until their transaction ends (some 50 MB)."""

REPAIRED = "repaired"
"""Why an alert ends whose events were found not to be in the chain."""

CONFIG_CHANGED = "configuration changed"
"""Why an alert ends that the flow as configured now would not have raised."""

Key = tuple[str, str]
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
    ) -> None:
        """``saved`` is told of the transfers that change, before their transaction is committed."""
        self.flows = {flow.name: flow for flow in flows}
        self._steps: dict[tuple[str, str], list[Step]] = index_steps(self.flows.values())
        self._lengths = {flow.name: 1 + len(flow.expected) for flow in self.flows.values()}
        """How many events a transfer has that is complete, mostly."""
        self._networks = networks
        self._decode = decode
        self._alerts = alerts
        self._saved = saved

    def process(
        self, connection: sa.Connection, items: Iterable[Batch | SiftedBatch | Seen | Searched], now: float
    ) -> Outcome:
        """Apply ``items`` inside the transaction of ``connection``; ``now`` is the clock's value (Unix seconds).

        Of an item no more is kept than what it says of transfers: the items may be many and come one by one.
        """
        work = _Work(blocks.checkpoints(connection))
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
        return Outcome(work.deadlines, self._alerts.apply(connection, work.signals, now))

    def put_right(
        self,
        connection: sa.Connection,
        network: str,
        wrong: Sequence[StoredLog],
        right: Sequence[Event | UndecodedLog],
        now: float,
    ) -> Outcome:
        """Forget the stored logs ``wrong`` of ``network``, take in ``right``, and judge the transfers that they touch."""
        work = _Work(blocks.checkpoints(connection))
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

    def judge_again(self, connection: sa.Connection, after: int, limit: int, now: float) -> int | None:
        """Judge up to ``limit`` unfinished transfers with ids above ``after`` by the flows as they are configured now.

        Returns the last id judged, None when there were no more.
        """
        work = _Work(blocks.checkpoints(connection))
        work.chain_time = max(work.world.seen.values(), default=0)
        unfinished = stored.unfinished(connection, after, limit)
        self._save(connection, [(t, self._settle(t, work, CONFIG_CHANGED)) for t in unfinished])
        self._alerts.apply(connection, work.signals, now)
        return unfinished[-1].id if unfinished else None

    def _settle_touched(self, connection: sa.Connection, work: _Work) -> None:
        """Judge and save the transfers that the items touched, but for those that were full before."""
        # New ones in the order of their events, then the others sorted: every run tells the same in the same order (S7).
        self._settle_keys(
            connection, [*work.found, *sorted((work.dropped | work.searched) - work.found.keys())], work
        )

    def _settle_found(self, connection: sa.Connection, keys: Sequence[Key], work: _Work) -> None:
        """Judge and save these transfers before the end, so that what was found of them need not be kept."""
        self._settle_keys(connection, keys, work)
        work.let_go(keys)

    def _settle_keys(self, connection: sa.Connection, keys: Sequence[Key], work: _Work) -> None:
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

    def _take_in(
        self, connection: sa.Connection, item: Batch | SiftedBatch | Seen | Searched, work: _Work
    ) -> None:
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

    def _take_in_search(self, connection: sa.Connection, item: Searched, work: _Work) -> None:
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

    def _take_in_batch(self, connection: sa.Connection, sifted: SiftedBatch, work: _Work) -> None:
        batch = sifted.batch
        if batch.ancestor is not None:
            self._drop(connection, batch.network, batch.ancestor.number, work)
        checkpoint = work.read_to(batch)
        number = work.numbers.get(batch.network) or blocks.network_id(connection, batch.network)
        if number is None:
            number = _wanted_id(sifted) or blocks.network_ids(connection, [batch.network])[batch.network]
            blocks.add_network(connection, number, self._networks[batch.network].chain_id, checkpoint)
        work.numbers[batch.network] = number
        blocks.save_logs(connection, number, sifted.logs)
        work.find(sifted.occurrences, self._lengths)
        work.signals += sifted.troubles

    def _drop(self, connection: sa.Connection, network: str, block: int, work: _Work) -> None:
        """Forget what was read after ``block`` and note whose transfers that touches."""
        events = [self._decode(network, log) for log in blocks.logs_above(connection, network, block)]
        touched = extract(self._steps, [e for e in events if e is not None]).occurrences
        work.dropped |= set(touched)
        work.cut[network] = min(block, work.cut.get(network, block))
        work.forget_above(network, block)
        blocks.drop_above(connection, network, block)

    def _recompute(self, key: Key, before: Transfer, added: Iterable[Occurrence], work: _Work) -> Transfer:
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

    def _settle(self, current: Transfer, work: _Work, cause: str = transfers.IN_TIME) -> Transfer:
        flow = self.flows.get(current.flow)
        if flow is None:
            # The flow is no longer configured: what is stored of it stays, but nothing is awaited or told any more.
            work.signals += endings(current.raised.values(), work.chain_time, CONFIG_CHANGED)
            return msgspec.structs.replace(current, deadlines={}, raised={})
        if (current.flow, current.key) in work.dropped:
            cause = REPAIRED if work.removed else transfers.REORG
        settled = transfers.settle(flow, current, work.world, work.chain_time, cause)
        work.signals += settled.signals
        return settled.transfer

    def _save(self, connection: sa.Connection, changed: Sequence[Changed]) -> DeadlineChanges:
        if self._saved is not None:
            self._saved(changed)
        return stored.save(connection, changed)

    def _raise_due(self, connection: sa.Connection, network: str, work: _Work) -> None:
        """Judge every transfer with a deadline on ``network`` that the network has been seen past (S5)."""
        while due := stored.due_before(connection, network, work.world.seen[network], AT_ONCE):
            before = stored.load_ids(connection, {d.transfer_id for d in due})
            changed = [(t, self._settle(t, work)) for t in before]
            more = self._save(connection, changed)
            if not more.opened and not more.closed:
                stored.discard(connection, due)  # rows that no transfer knows of would come back for ever
            work.deadlines.add(more)


def _wanted_id(sifted: SiftedBatch) -> int | None:
    """The integer that stands for a network in logs that are packed already."""
    return sifted.logs.number if isinstance(sifted.logs, PackedLogs) else None


class _Work:
    """What one transaction gathers."""

    def __init__(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        self.checkpoints = dict(checkpoints)
        self.numbers: dict[str, int] = {}
        """The integers that stand for networks."""
        self.headers: dict[str, dict[int, Header]] = {}
        """The new ones, by network and number."""
        self._seen = {name: c.seen_until for name, c in checkpoints.items()}
        self._first = {name: (c.first_block, c.first_timestamp) for name, c in checkpoints.items()}
        self.world = World(self._seen, self._first)
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
