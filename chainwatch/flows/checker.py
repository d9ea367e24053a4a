"""The checker that follows transfers: keeps their events in the database and judges them by their flows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import REORG
from chainwatch.chain.pool import Pool
from chainwatch.chain.watch import NetworkWatch
from chainwatch.checker import transfer as transfers
from chainwatch.checker.coverage import Coverage
from chainwatch.checker.extractor import log_rows, transaction_rows
from chainwatch.checker.flow import Flow, FlowExtractor, WatchedStep, extract, index_steps
from chainwatch.checker.judge import FILLING, SEARCH, opening_deadline
from chainwatch.checker.raising import endings
from chainwatch.checker.transfer_keys import event_key
from chainwatch.config import Settings
from chainwatch.flows.fingerprints import fingerprints
from chainwatch.flows.gathered import Change, Gathered, Key
from chainwatch.flows.opening_search import search_openings
from chainwatch.flows.resolution import Resolution
from chainwatch.flows.sources import coverage_of, incomplete_networks, is_before_watch, joined_by, sources_of
from chainwatch.model import (
    FLOWS,
    Deadline,
    Event,
    EventSource,
    Occurrence,
    Raised,
    ReadResult,
    Searched,
    Signal,
    Transfer,
)
from chainwatch.pipeline.checker import CONFIG_CHANGED, Page, Prints
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.plan import Plan
from chainwatch.store import blocks, step_events, step_ranges
from chainwatch.store import transfers as stored
from chainwatch.store.watched import WatchedSet

AT_ONCE = 5_000
"""How many transfers are loaded, judged and saved at a time."""

FOUND_MAX = 40_000
"""Of how many transfers the events are kept until their transaction ends (some 50 MB)."""

ALWAYS = 2**62
"""A chain time after any other."""

REPAIRED = "repaired"
"""Why an alert ends whose events were found not to be in the chain."""

Changed: TypeAlias = tuple[Transfer, Transfer]
"""A transfer before and after; one without an id was not stored yet."""


class _Unopened(NamedTuple):
    """Transfers whose opening step is to be searched for, with how far networks were read."""

    transfers: list[Transfer]
    coverage: Coverage


class FlowChecker:
    """The `Checker` of ``flows``."""

    def __init__(
        self,
        flows: Iterable[Flow],
        watches: Mapping[str, NetworkWatch] = MappingProxyType({}),
        sources: Mapping[WatchedStep, frozenset[EventSource]] = MappingProxyType({}),
        saved: Callable[[Sequence[Changed]], None] | None = None,
    ) -> None:
        """``watches`` are the networks in which openings are searched for.

        ``sources``: where the events of each step come from. Steps left out are watched since their network's first block.
        ``saved`` is called with the transfers that change, before their transaction is committed.
        """
        self.extractor = FlowExtractor(tuple(flows))
        self.flows = {flow.name: flow for flow in self.extractor.flows}
        self.lengths = {flow.name: 1 + len(flow.expected) for flow in self.flows.values()}
        self.resolved = frozenset(flow.name for flow in self.flows.values() if flow.is_resolved)
        """The flows in which the key of an event alone does not say to which transfer it belongs."""
        self.sources = sources
        self.joined = joined_by(self.extractor, sources)
        self.saved = saved
        self._watches = watches

    @classmethod
    def of(cls, plan: Plan, saved: Callable[[Sequence[Changed]], None] | None = None) -> FlowChecker:
        """Return the checker of the flows of ``plan``."""
        return cls(plan.flows, plan.watches, sources_of(plan.flows, plan.watches), saved)

    def begin(self, work: Work) -> FlowTransaction:
        """See `Checker`."""
        return FlowTransaction(self, work)

    def load_deadlines(
        self, connection: sa.Connection, after: tuple[int, int, str], until: int, limit: int
    ) -> list[Deadline]:
        """See `Checker`. Deadlines that wait for no chain time name no network, and are not scheduled."""
        return stored.due_after(connection, after, until, limit)

    def load_wanted(self, connection: sa.Connection, network: str, limit: int) -> _Unopened | None:
        """Return the transfers whose opening step is to be searched for in the earlier blocks of ``network``."""
        waiting = stored.waiting_on(connection, SEARCH + network, limit)
        if not waiting:
            return None
        work = Work(connection, blocks.checkpoints(connection))
        work.reload_watched()
        return _Unopened(waiting, coverage_of(work, self.sources))

    def read(self, pools: Mapping[str, Pool], wanted: _Unopened) -> AsyncIterator[Searched]:
        """See `Checker`."""
        return search_openings(self.extractor.flows, self._watches, pools, wanted.coverage, wanted.transfers)

    def fingerprints(self, settings: Settings) -> Prints:
        """Return the fingerprints by the flows' names."""
        return fingerprints(settings)

    def stored_names(self, connection: sa.Connection) -> list[str]:
        """See `Checker`."""
        return stored.flow_names(connection)

    def forget_events(self, connection: sa.Connection, page: Page) -> int | None:
        """Store transfers without their events; their alerts and deadlines stay until they are judged again."""
        if not page.after:
            step_events.forget(connection, page.names)
            step_ranges.forget(connection, page.names)
        some = stored.page(connection, page.after, page.limit, page.names)
        stored.forget_events(connection, some)
        return some[-1].id if some else None


class FlowTransaction:
    """The `CheckerTransaction` of ``checker``."""

    def __init__(self, checker: FlowChecker, work: Work) -> None:
        self._checker = checker
        self._flows = checker.flows
        self._work = work
        self._connection = work.connection
        self._gathered = Gathered(checker.lengths)
        self._known_watched: Mapping[str, Mapping[EventSource, WatchedSet]] | None = None
        self._known_coverage = Coverage({}, {})

    # --- what happened

    def apply(self, found: Mapping[Key, list[Occurrence]]) -> None:
        """Add events of transfers; judge and save some at once when they become too many to keep."""
        gathered = self._gathered
        gathered.find(found)
        keys: Iterable[Key] = ()
        if len(gathered.found) >= FOUND_MAX:
            keys = gathered.found
        elif len(gathered.full) >= AT_ONCE:
            keys = gathered.full
        if keys:
            # An event may belong to a transfer that other keys of its flow name: all of these are judged together.
            resolved = self._checker.resolved
            also = (
                [key for key in (*gathered.found, *gathered.dropped) if key[0] in resolved]
                if resolved
                else ()
            )
            some = list(dict.fromkeys([*keys, *also]))
            self._settle_keys(some)
            gathered.release(some)

    def apply_read(self, result: ReadResult) -> None:
        """Add the opening steps that were searched for. A search may find others, whose later steps were not watched."""
        assert isinstance(result, Searched)
        asked = {(result.flow, key) for key in result.keys}
        is_resolved = result.flow in self._checker.resolved
        wanted = {(result.flow, event_key(key)) for key in result.keys} if is_resolved else asked
        flow = self._flows.get(result.flow)
        openings: dict[Key, list[Occurrence]] = {}
        for network in {event.network for event in result.events}:
            number = blocks.network_id(self._connection, network)
            if flow is None or number is None:
                continue
            events = [event for event in result.events if event.network == network]
            found = extract(index_steps([flow]), events).found
            for key in wanted & found.keys():
                some = [o for o in found[key] if o.step == flow.opening.name]
                openings.setdefault(key, []).extend(some)
                read = _with_siblings(flow, some, events)
                blocks.save_logs(self._connection, number, log_rows(read, []))
                blocks.save_transactions(self._connection, number, transaction_rows(read, []))
        self._gathered.search(asked, openings)

    def roll_back(self, network: str, block: int, found: Mapping[Key, list[Occurrence]]) -> None:
        """See `CheckerTransaction`."""
        self._gathered.cut(network, block, found)

    def remove(
        self, network: str, positions: set[tuple[int, int]], found: Mapping[Key, list[Occurrence]]
    ) -> None:
        """See `CheckerTransaction`."""
        self._gathered.remove([(network, *position) for position in positions], found)

    # --- judging

    def settle(self) -> None:
        """Judge and save the transfers whose events changed, but for those that were saved before."""
        self._settle_keys(self._gathered.touched())

    def judge_seen(self, network: str) -> None:
        """Judge every transfer with a deadline on ``network`` that the network has been seen past (S5)."""
        self._judge_due(network, self._work.seen[network])

    def judge_filled(self, network: str) -> None:
        """Judge every transfer that waits for blocks of ``network`` to be read again."""
        self._judge_due(FILLING + network, ALWAYS)

    def store_unjudged(self, found: Mapping[Key, Sequence[Occurrence]], names: Sequence[str]) -> None:
        """Store more events of transfers of the flows ``names``."""
        keys = [key for key in found if key[0] in names]
        if resolved := [key for key in keys if key[0] in self._checker.resolved]:
            self._store_resolved(found, resolved)
            keys = [key for key in keys if key[0] not in self._checker.resolved]
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            known = stored.load(self._connection, some)
            before = [known.get(key) or Transfer(*key) for key in some]
            self._save([(t, transfers.with_events(t, found[t.flow, t.key])) for t in before])

    def judge_again(self, page: Page) -> int | None:
        """See `CheckerTransaction`. Transfers of flows that are not configured any more are deleted."""
        some = stored.page(self._connection, page.after, page.limit, page.names)
        coverage = self._coverage()
        self._save([(t, self._judged_again(t, coverage)) for t in some])
        return some[-1].id if some else None

    def _coverage(self) -> Coverage:
        """Return how far networks are read, up to date."""
        if self._known_watched is not self._work.watched:
            self._known_watched = self._work.watched
            self._known_coverage = coverage_of(self._work, self._checker.sources)
        return self._known_coverage

    def _settle_keys(self, keys: Sequence[Key]) -> None:
        """Judge and save the transfers with these keys, some at a time."""
        if resolved := [key for key in keys if key[0] in self._checker.resolved]:
            self._settle_resolved(resolved)
            keys = [key for key in keys if key[0] not in self._checker.resolved]
        if not keys:
            return
        gathered, coverage = self._gathered, self._coverage()
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            known = stored.load(self._connection, some)
            changed: list[Changed] = []
            for key in some:
                if key in known or key in gathered.found:
                    before = known.get(key) or Transfer(*key)
                    changed.append((before, self._judged(gathered.updated(key, before), coverage)))
            self._note(self._save(changed))

    def _settle_resolved(self, keys: Sequence[Key]) -> None:
        """Judge and save the transfers to which events with these keys belong, or belonged."""
        gathered, coverage = self._gathered, self._coverage()
        resolution = Resolution(self._connection, self._flows)
        changed_keys = [key for key in keys if key in gathered.found or key in gathered.dropped]
        resolution.apply(map(gathered.change, changed_keys))
        asked = [key for key in keys if key in gathered.searched]
        searched = resolution.events(asked)  # those of which a reorg left nothing need no opening
        opened = dict.fromkeys((flow, event_key(key)) for flow, key in searched)
        resolution.apply(Change(key, gathered.openings.get(key, ())) for key in opened)
        for some in chain(resolution.touched(AT_ONCE), [list(searched)]):
            changed: list[Changed] = []
            for before, current in self._with_resolved(resolution, some):
                if current.occurrences and (current.flow, current.key) in searched:
                    current = msgspec.structs.replace(current, searched=True)
                changed.append((before, self._judged(current, coverage)))
            self._note(self._save(changed))

    def _store_resolved(self, found: Mapping[Key, Sequence[Occurrence]], keys: Sequence[Key]) -> None:
        """Store more events with these keys, but not openings that a search had found: what needs them searches again."""
        resolution, coverage = Resolution(self._connection, self._flows), self._coverage()
        resolution.apply(
            Change(key, [o for o in found[key] if not is_before_watch(self._flows[key[0]], o, coverage)])
            for key in keys
        )
        for some in resolution.touched(AT_ONCE):
            self._save(self._with_resolved(resolution, some))

    def _with_resolved(self, resolution: Resolution, keys: Sequence[Key]) -> list[Changed]:
        """Return the transfers ``keys``, as stored and with the events that they have now; without those that never were."""
        events, known = resolution.events(keys), stored.load(self._connection, keys)
        changed = []
        for key in keys:
            if key in events or key in known:
                before = known.get(key) or Transfer(*key)
                changed.append((before, transfers.with_only(before, events.get(key, ()))))
        return changed

    def _judge_due(self, network: str, before_time: int) -> None:
        while due := stored.due_before(self._connection, network, before_time, AT_ONCE):
            coverage = self._coverage()
            before = stored.load_ids(self._connection, {d.transfer_id for d in due})
            changes = self._save([(t, self._judged_in_time(t, coverage)) for t in before])
            if not changes.opened and not changes.closed:
                stored.discard(
                    self._connection, due
                )  # rows that no transfer knows of would come back for ever
            self._note(changes)

    def _judged(self, current: Transfer, coverage: Coverage, cause: str = transfers.IN_TIME) -> Transfer:
        work, gathered = self._work, self._gathered
        flow = self._flows.get(current.flow)
        if flow is None:
            # The flow is no longer configured: what is stored of it stays, but nothing is awaited or raised any more.
            work.signals += endings(current.raised.values(), work.chain_time, CONFIG_CHANGED)
            return msgspec.structs.replace(current, deadlines={}, raised={})
        is_resolved = current.flow in self._checker.resolved
        if gathered.has_dropped(current.flow, None if is_resolved else current.key):
            cause = REPAIRED if gathered.removed else REORG
        settled = transfers.settle(flow, current, coverage, work.chain_time, cause)
        work.signals += _without_past(current, settled.signals) if work.quiet else settled.signals
        return settled.transfer

    def _judged_in_time(self, transfer: Transfer, coverage: Coverage) -> Transfer:
        """Judge a transfer when the time has come; one that waits for its events as after a changed configuration."""
        judge = self._judged if transfer.occurrences else self._judged_again
        return judge(transfer, coverage)

    def _judged_again(self, transfer: Transfer, coverage: Coverage) -> Transfer:
        flow = self._flows.get(transfer.flow)
        if flow is not None and not transfer.occurrences and any(map(_is_firing, transfer.raised.values())):
            unread = incomplete_networks(flow, coverage)
            if unread:  # its events may come back with what they lack: what fires is kept until then
                waits = {opening_deadline(network): (FILLING + network, 0) for network in unread}
                return msgspec.structs.replace(transfer, deadlines=waits)
        if flow is None or all(is_before_watch(flow, o, coverage) for o in transfer.occurrences):
            # Nothing of the flow is left, or only openings that a search had found for other transfers.
            work = self._work
            work.signals += endings(transfer.raised.values(), work.chain_time, CONFIG_CHANGED)
            return msgspec.structs.replace(transfer, occurrences=(), raised={}, deadlines={})
        searched = transfer.searched or any(is_before_watch(flow, o, coverage) for o in transfer.occurrences)
        return self._judged(msgspec.structs.replace(transfer, searched=searched), coverage, CONFIG_CHANGED)

    def _save(self, changed: Sequence[Changed]) -> stored.DeadlineChanges:
        if self._checker.saved is not None:
            self._checker.saved(changed)
        return stored.save(self._connection, changed)

    def _note(self, changes: stored.DeadlineChanges) -> None:
        """Note the deadlines and searches of ``changes``, for the tasks to be woken after the commit."""
        self._work.change_deadlines(FLOWS, changes)
        self._work.wanted |= {
            (FLOWS, deadline.network.removeprefix(SEARCH))
            for deadline in changes.opened
            if deadline.network.startswith(SEARCH)
        }


def _with_siblings(flow: Flow, openings: Sequence[Occurrence], events: Sequence[Event]) -> list[Event]:
    """Return those of ``events`` of one network that are ``openings``, or may be their siblings."""
    siblings = {join.kind for join in flow.opening.joins}
    positions = {(opening.block, opening.log_index) for opening in openings}
    transactions = {opening.tx_hash for opening in openings}
    return [
        event
        for event in events
        if (event.log.block_number, event.log.log_index) in positions
        or (event.log.tx_hash in transactions and (event.contract, event.signature) in siblings)
    ]


def _is_firing(raised: Raised) -> bool:
    """Return whether an alert has begun and not ended."""
    return raised.ends_at is None


def _without_past(before: Transfer, signals: Sequence[Signal]) -> list[Signal]:
    """Return ``signals`` without those of alerts that ended long ago and were never raised."""
    firing = [r.labels for r in before.raised.values() if r.ends_at is None]
    return [s for s in signals if s.ends_at is None or s.labels in firing]
