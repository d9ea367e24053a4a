"""What evaluations changed, written to the database: state rows, and the signals that follow, in one transaction (S2)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
import structlog

from chainwatch.alert_model import Alert as StoredAlert
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.policy.severities import Severities
from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.model import Signal
from chainwatch.operations.rule_states import RULE_FAILING
from chainwatch.promql.series import Labels
from chainwatch.rule_engine import signals
from chainwatch.rule_engine.live_group import Change
from chainwatch.rule_engine.signals import RuleOf
from chainwatch.rules.evaluation import Alert
from chainwatch.store import rule_alerts
from chainwatch.store.alerting import alerts
from chainwatch.store.errors import StoreError
from chainwatch.store.rule_alerts import StoredRuleAlert
from chainwatch.support.conditions import ConditionSet

AT_ONCE = 1_000
"""The most alerts that one transaction writes, so that other writes come between two."""
REFRESH_AFTER = 60.0
"""Seconds after which new annotations of an alert that fires, such as its value, are stored."""
PAUSE = 1.0
"""Seconds until a write that the database refused is tried again."""

_Key = tuple[str, Labels]
_log = structlog.get_logger(__name__)


class _Saved(NamedTuple):
    """An alert as it is stored. ``signal``: its labels in alerting, None while it is pending."""

    fingerprint: str
    state: str
    active_at: int
    fired_at: int | None
    keep_firing_since: int | None
    signal: Mapping[str, str] | None
    annotations: Mapping[str, str]
    refreshed_at: float

    @property
    def fired(self) -> tuple[Mapping[str, str], int] | None:
        """Its labels in alerting and since when it fires (Unix ms); None while it is pending."""
        return None if self.signal is None or self.fired_at is None else (self.signal, self.fired_at)


@dataclass
class _Wanted:
    """An alert as it is to be stored; one that is gone since ``gone_at`` (Unix ms) is removed, for ``reason``."""

    rule: RuleOf
    alert: Alert
    gone_at: int | None = None
    reason: str = signals.ENDED


class _Writing(NamedTuple):
    """One transaction: rows to store and to delete, and signals.

    ``saved`` is what is stored after it, ``before`` what was; ``taken`` is what it was made of.
    """

    rows: list[StoredRuleAlert]
    deleted: list[tuple[str, str]]
    signals: list[Signal]
    refreshed: list[Signal]
    saved: dict[_Key, _Saved | None]
    before: dict[_Key, _Saved | None]
    failing: list[Signal]
    taken: dict[_Key, _Wanted]


class Saver:
    """Writes what changed, one transaction at a time, and again until the database takes it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alerting: AlertingRuntime | None = None
        self._severities = Severities()
        self._external_url = ""
        self._saved: dict[_Key, _Saved] = {}
        self._wanted: dict[_Key, _Wanted] = {}
        self._failing: dict[str, Signal] = {}
        self._checked: set[tuple[str, str]] = set()
        self._removed: list[Signal] = []
        self._conditions = ConditionSet()
        self._has_failing_changed = False
        self._under_way = False
        self._not_before = 0.0

    # --- from before ----------------------------------------------------------------------------------

    def load(self, stored: Iterable[StoredRuleAlert], active: Iterable[StoredAlert], now: int) -> None:
        """Take over what is stored: the alerts of rules, and the alerts that fire or are pending in alerting.

        One that fires and is of no rule's alert ends ``now`` (Unix ms).
        """
        by_print = {alert.fingerprint: alert for alert in active if alert.source == "rule"}
        for one in stored:
            known = by_print.pop(fingerprint(one.signal), None) if one.signal else None
            key = one.rule, Labels(one.labels)
            self._saved[key] = _Saved(
                one.fingerprint,
                one.state,
                one.active_at,
                one.fired_at,
                one.keep_firing_since,
                one.signal,
                {} if known is None else known.annotations,
                0.0,
            )
        self._conditions.restore(alert.signal() for alert in by_print.values() if alert.name == RULE_FAILING)
        self._removed = [
            alert.signal(now / 1000, signals.GONE)
            for alert in by_print.values()
            if alert.name != RULE_FAILING
        ]

    def attach(
        self,
        alerting: AlertingRuntime,
        severities: Severities,
        external_url: str,
        rules: Mapping[str, RuleOf],
    ) -> None:
        """Write through ``alerting`` from now on. What is of a rule that is none of ``rules`` (by key) ends."""
        at = int(alerting.clock() * 1000)
        with self._lock:
            self._alerting, self._not_before = alerting, 0.0
            self._severities, self._external_url = severities, external_url
            for key, saved in self._saved.items():
                if key[0] not in rules:
                    alert = Alert(key[1], {}, "inactive", 0.0, saved.active_at, saved.fired_at)
                    self._wanted[key] = _Wanted(RuleOf(key[0], "", "", ""), alert, at, signals.GONE)
            for key in [key for key in self._wanted if key[0] not in rules and key not in self._saved]:
                del self._wanted[key]
            self._failing = {key: signal for key, signal in self._failing.items() if key in rules}
            named = {(rule.group, rule.name) for rule in rules.values()}
            self._checked &= named
            gone = [
                s
                for s in self._conditions.firing
                if (s.labels.get("group"), s.labels.get("rule")) not in named
            ]
            self._removed += [_ended(signal, at, signals.GONE) for signal in gone]
            self._has_failing_changed = True
        self.flush()

    def detach(self) -> None:
        """Write nothing until ``attach``."""
        with self._lock:
            self._alerting = None

    @property
    def is_idle(self) -> bool:
        """Whether all that was noted is stored."""
        with self._lock:
            return not (self._wanted or self._has_failing_changed or self._under_way)

    # --- what evaluations change ----------------------------------------------------------------------

    def note(self, changes: Collection[Change], at: int) -> None:
        """Note what an evaluation at ``at`` (Unix ms) changed; ``flush`` writes it."""
        now = time.monotonic()
        with self._lock:
            for change in changes:
                self._note_health(change, at)
                for labels, alert in change.after.items():
                    if alert.state != "inactive":
                        self._want(change.rule, labels, alert, now)
                    else:
                        self._want_gone(change.rule, labels, alert, alert.resolved_at or at)
                for labels, alert in change.before.items():
                    if labels not in change.after:
                        self._want_gone(change.rule, labels, alert, at)

    def flush(self) -> None:
        """Begin to write what was noted, unless a write is under way, after which it follows."""
        with self._lock:
            alerting = self._alerting
            if alerting is None or self._under_way or time.monotonic() < self._not_before:
                return
            writing = self._next(alerting.clock())
            if writing is None:
                return
            self._under_way = True
        try:
            future = alerting.write(_job(writing, alerting))
        except StoreError as error:
            self._failed(writing, error)
        else:
            future.add_done_callback(partial(self._done, writing))

    def _note_health(self, change: Change, at: int) -> None:
        rule = change.rule
        place = rule.group, rule.name
        if change.error is not None:
            if rule.key not in self._failing:
                self._failing[rule.key] = signals.failing(rule, change.error, at)
                self._has_failing_changed = True
        elif self._failing.pop(rule.key, None) is not None:
            self._has_failing_changed = True
        if place not in self._checked:
            self._checked.add(place)
            self._has_failing_changed |= bool(self._conditions.firing)

    def _want(self, rule: RuleOf, labels: Labels, alert: Alert, now: float) -> None:
        key = rule.key, labels
        saved = self._saved.get(key)
        is_same = (
            saved is not None
            and key not in self._wanted
            and saved.state == alert.state
            and saved.active_at == alert.active_at
            and saved.fired_at == alert.fired_at
            and saved.keep_firing_since == alert.keep_firing_since
        )
        if is_same:
            assert saved is not None
            if alert.state != "firing" or now - saved.refreshed_at < REFRESH_AFTER:
                return
            if signals.annotations_of(alert, rule, self._external_url) == saved.annotations:
                return
        self._wanted[key] = _Wanted(rule, alert)

    def _want_gone(self, rule: RuleOf, labels: Labels, alert: Alert, at: int) -> None:
        key = rule.key, labels
        wanted = self._wanted.get(key)
        if wanted is not None and wanted.gone_at is None:
            if key in self._saved or wanted.alert.fired_at is not None:
                self._wanted[key] = _Wanted(rule, wanted.alert, at)
            else:
                del self._wanted[key]
        elif wanted is None and key in self._saved:
            self._wanted[key] = _Wanted(rule, alert, at)

    # --- writing --------------------------------------------------------------------------------------

    def _next(self, now: float) -> _Writing | None:
        taken = _first(self._wanted)
        if not taken and not self._has_failing_changed:
            return None
        before = {key: self._saved.get(key) for key in taken}
        writing = _Writing([], [], [], [], {}, before, self._failing_changes(now), taken)
        self._has_failing_changed = False
        for key, wanted in taken.items():
            del self._wanted[key]
            self._add(writing, key, wanted, now)
        self._note_saved(writing.saved)
        return writing

    def _note_saved(self, alerts: Mapping[_Key, _Saved | None]) -> None:
        for key, saved in alerts.items():
            if saved is None:
                self._saved.pop(key, None)
            else:
                self._saved[key] = saved

    def _add(self, writing: _Writing, key: _Key, wanted: _Wanted, now: float) -> None:
        """Add to ``writing`` what makes of an alert as it is stored the one that is wanted."""
        saved, alert = self._saved.get(key), wanted.alert
        fired = None if saved is None else saved.fired
        if wanted.gone_at is not None:
            if fired is not None:
                writing.signals.append(signals.ended(*fired, wanted.gone_at, wanted.reason))
            elif alert.fired_at is not None and wanted.rule.name:  # it fired and ended since the last write
                labels = signals.signal_labels(alert, wanted.rule, self._severities)
                writing.signals.append(signals.ended(labels, alert.fired_at, wanted.gone_at))
            if saved is not None:
                writing.deleted.append((key[0], saved.fingerprint))
            writing.saved[key] = None
            return
        signal, annotations = self._add_signals(writing, saved, wanted)
        print_ = saved.fingerprint if saved is not None else fingerprint(key[1])
        times = alert.active_at, alert.fired_at, alert.keep_firing_since
        if saved is None or saved[1:6] != (alert.state, *times, signal):
            row = StoredRuleAlert(key[0], print_, dict(key[1]), alert.state, *times, signal, now)
            writing.rows.append(row)
        writing.saved[key] = _Saved(print_, alert.state, *times, signal, annotations, time.monotonic())

    def _add_signals(
        self, writing: _Writing, saved: _Saved | None, wanted: _Wanted
    ) -> tuple[Mapping[str, str] | None, Mapping[str, str]]:
        """Add the signals of an alert that is not gone; return its labels in alerting, if it fires, and its annotations."""
        alert, fired = wanted.alert, None if saved is None else saved.fired
        if fired is not None and fired[1] != alert.fired_at:  # it ended and began anew since the last write
            writing.signals.append(signals.ended(*fired, alert.active_at))
            fired = None
        if alert.state != "firing" or alert.fired_at is None:
            return None, {}
        annotations = signals.annotations_of(alert, wanted.rule, self._external_url)
        if fired is None:
            labels = signals.signal_labels(alert, wanted.rule, self._severities)
            writing.signals.append(signals.firing(labels, annotations, alert.fired_at))
            return labels, annotations
        if saved is not None and annotations != saved.annotations:
            writing.refreshed.append(signals.firing(fired[0], annotations, alert.fired_at))
        return fired[0], annotations

    def _failing_changes(self, now: float) -> list[Signal]:
        current = [*self._failing.values(), *(s for s in self._removed if _is_failing(s))]
        others = [signal for signal in self._removed if not _is_failing(signal)]

        def unknown(signal: Signal) -> bool:
            return (signal.labels.get("group", ""), signal.labels.get("rule", "")) not in self._checked

        return [*others, *self._conditions.changes(current, now, unknown, signals.EVALUATED)]

    def _done(self, writing: _Writing, done: Future[None]) -> None:
        error = done.exception() if not done.cancelled() else StoreError("cancelled")
        if error is not None:
            self._failed(writing, error)
            return
        with self._lock:
            self._conditions.commit(signal for signal in writing.failing if _is_failing(signal))
            self._removed = [signal for signal in self._removed if signal not in writing.failing]
            self._under_way = False
        self.flush()

    def _failed(self, writing: _Writing, error: BaseException) -> None:
        """Want again what was not written, but for what has changed meanwhile."""
        _log.error("alerts of rules cannot be stored yet", error=str(error)[:500])
        with self._lock:
            self._note_saved(writing.before)
            self._wanted = {**writing.taken, **self._wanted}
            self._has_failing_changed = True
            self._under_way = False
            self._not_before = time.monotonic() + PAUSE


def _first(wanted: Mapping[_Key, _Wanted]) -> dict[_Key, _Wanted]:
    """Return what is written next: of each rule alike, so that none waits for the many alerts of another (S8)."""
    if len(wanted) <= AT_ONCE:
        return dict(wanted)
    rules = {rule for rule, _ in wanted}
    left = dict.fromkeys(rules, max(1, AT_ONCE // len(rules)))
    taken: dict[_Key, _Wanted] = {}
    for key, one in wanted.items():
        if left[key[0]] and len(taken) < AT_ONCE:
            left[key[0]] -= 1
            taken[key] = one
    return taken


def _job(
    writing: _Writing, alerting: AlertingRuntime
) -> Callable[[sa.Connection, float], tuple[None, float | None]]:
    def job(connection: sa.Connection, now: float) -> tuple[None, float | None]:
        rule_alerts.delete(connection, writing.deleted)
        rule_alerts.save(connection, writing.rows)
        known = alerts.newest(connection, [fingerprint(signal.labels) for signal in writing.refreshed])
        unresolved = {print_ for print_, alert in known.items() if alert.state != "resolved"}
        refreshed = [one for one in writing.refreshed if fingerprint(one.labels) in unresolved]
        return None, alerting.apply(connection, [*writing.signals, *refreshed, *writing.failing], now)

    return job


def _is_failing(signal: Signal) -> bool:
    return signal.labels["alertname"] == RULE_FAILING


def _ended(signal: Signal, at: int, reason: str) -> Signal:
    return Signal(
        signal.labels, signal.starts_at, signal.annotations, max(signal.starts_at, at // 1000), reason, "rule"
    )
