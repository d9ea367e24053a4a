"""One group of rules that is evaluated again and again: its state, and what an evaluation writes and changes."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import structlog

from chainwatch.promql.evaluation import Limits
from chainwatch.promql.parser import Query
from chainwatch.promql.queries import Sample
from chainwatch.promql.series import STALE, Labels, is_stale
from chainwatch.rule_engine.interests import Matchers, needs
from chainwatch.rule_engine.restoring import grace_after, moved
from chainwatch.rule_engine.signals import RuleOf
from chainwatch.rules.evaluation import (
    Alert,
    PreparedGroup,
    RuleResult,
    RuleState,
    alert_samples,
    evaluate_group,
)
from chainwatch.rules.model import AlertingRule
from chainwatch.rules.placed import PlacedGroup, rule_keys
from chainwatch.rules.status import GroupStatus, RuleStatus
from chainwatch.tsdb.tsdb import Tsdb

QUICK_SECONDS = 0.02
"""CPU seconds that a group may take beside others; one that takes longer is evaluated in a lane of its own."""
LOST_LOGGED = 3
"""Series that are named where their samples were refused."""
LOST_LOGGED_EVERY = 60.0
"""The least seconds between two such lines in the log about one group."""

_log = structlog.get_logger(__name__)


class Change(NamedTuple):
    """What an evaluation changed of a rule: its alerts before and after, and its error."""

    rule: RuleOf
    before: Mapping[Labels, Alert]
    after: Mapping[Labels, Alert]
    error: str | None


@dataclass
class Evaluated:
    """An evaluation of a group: its time (Unix ms), what changed, and its cost in CPU seconds.

    ``cut_off``: it took too long for this lane, or the lane ends; the rest was not evaluated.
    """

    at: int
    changes: list[Change] = field(default_factory=list)
    seconds: float = 0.0
    cut_off: bool = False


class LiveGroup:
    """Evaluated by one thread at a time; ``status`` may be read by others.

    ``interval`` (milliseconds) is that of groups without one of their own, and of subqueries without a step.
    """

    def __init__(self, name: str, placed: PlacedGroup, interval: int, external_url: str) -> None:
        self.name = name
        self.placed = placed
        self.interval = placed.group.interval or interval
        self.external_url = external_url
        self.prepared = PreparedGroup(placed.group, None, external_url, interval)
        keys = rule_keys(name, placed.group)
        self.rules = [
            RuleOf(key, name, rule.name, rule.query.text.strip())
            for key, rule in zip(keys, placed.group.rules, strict=True)
        ]
        self.states = [RuleState() for _ in keys]
        self.lane = 0
        """Where it is evaluated: 0 beside most others, higher ones where it takes longer."""
        self.keep_until = 0
        """Until when (Unix ms) alerts stay that are not given any more: samples may be missing yet."""
        self.first_at = zlib.crc32(name.encode("utf-8", "replace")) % self.interval
        """Where in its interval it is evaluated, in milliseconds."""
        self._move_by = 0
        self._quiet_until = 0.0
        self._at = 0
        self._last_written: dict[Labels, tuple[int, float]] = {}
        self._status = tuple(
            RuleStatus(rule.key, one) for rule, one in zip(self.rules, placed.group.rules, strict=True)
        )
        self._evaluated: tuple[float | None, float] = (None, 0.0)

    def is_of(self, placed: PlacedGroup, interval: int, external_url: str) -> bool:
        """Return whether it evaluates ``placed`` in the same way."""
        is_same = self.placed is placed or self.placed == placed
        return is_same and self.prepared.subquery_step == interval and self.external_url == external_url

    @property
    def queries(self) -> list[Query]:
        """The queries of its rules."""
        return [rule.query for rule in self.placed.group.rules]

    @property
    def needs(self) -> list[tuple[Matchers, int]]:
        """What its rules select, and how far back from now they read (milliseconds)."""
        offset = self.placed.group.query_offset or 0
        return [need for query in self.queries for need in needs(query, offset)]

    # --- what it takes over ---------------------------------------------------------------------------

    def take_over(self, states: Mapping[str, RuleState], keep_until: int = 0) -> None:
        """Go on from the states of rules by their keys; those of other groups are not touched."""
        self.states = [
            states.get(rule.key, state) for rule, state in zip(self.rules, self.states, strict=True)
        ]
        self.keep_until = keep_until

    def take_over_alerts(self, alerts: Mapping[str, Mapping[Labels, Alert]], keep_until: int) -> None:
        """Go on from alerts by the keys of their rules, as they were stored."""
        states = {
            rule.key: RuleState(found, frozenset(labels for labels, _ in alert_samples(found)))
            for rule in self.rules
            if (found := alerts.get(rule.key))
        }
        self.take_over(states, keep_until)

    @property
    def states_by_key(self) -> dict[str, RuleState]:
        """The state of each rule."""
        return {rule.key: state for rule, state in zip(self.rules, self.states, strict=True)}

    def move(self, by: int) -> None:
        """Have what waits take as long as before, as the clock was set by ``by`` milliseconds."""
        self._move_by += by

    # --- evaluation -----------------------------------------------------------------------------------

    def evaluate(
        self,
        tsdb: Tsdb,
        now: int,
        limits: Limits,
        budget: float = math.inf,
        is_over: Callable[[], bool] = lambda: False,
        waits: bool = False,
    ) -> Evaluated:
        """Evaluate all rules for the time ``now`` (Unix ms), and write what they give to ``tsdb``.

        ``budget``: CPU seconds after which it is cut off, as it is once ``is_over``. ``waits``: appends wait for each rule,
        so that it sees no batch in part.
        """
        self._apply_moves(now)
        at = self._at = max(now, self._at + 1)
        result = Evaluated(at)
        began = time.thread_time()
        seconds = min(budget, limits.seconds)
        results = evaluate_group(
            self.prepared,
            tuple(self.states),
            tsdb,
            at,
            limits=replace(limits, seconds=seconds),
            clock=lambda: math.inf if is_over() else time.thread_time(),
        )
        statuses = list(self._status)
        rule_began = began
        for index in range(len(self.rules)):
            with tsdb.reading() if waits else nullcontext():
                one = next(results)
            ended = time.thread_time()
            is_last = one.error is None and index + 1 == len(self.rules)
            if is_over() or (ended - began > budget and not is_last):
                result.cut_off = True
                break
            self._take(index, one, tsdb, result)
            statuses[index] = _status(statuses[index], one, self.states[index], at, ended - rule_began)
            rule_began = time.thread_time()
        result.seconds = time.thread_time() - began
        self._status = tuple(statuses)
        if not result.cut_off:
            self._evaluated = at / 1000, result.seconds
        return result

    def end(self, tsdb: Tsdb, now: int, keys: Iterable[str]) -> None:
        """End the series of these of its rules, which are not evaluated any more."""
        gone = set(keys)
        at = max(now, self._at + 1)
        ended = [
            (labels, [at], [STALE])
            for rule, state in zip(self.rules, self.states, strict=True)
            if rule.key in gone
            for labels in state.series
        ]
        if ended:
            tsdb.append(ended, now)

    def begin_after(self, at: int) -> None:
        """Evaluate for later times than ``at`` (Unix ms), at which others have ended series that it may write, too."""
        self._at = max(self._at, at)

    def next_change(self) -> int | None:
        """Return when (Unix ms) an alert changes if samples stay as they are: it fires, or is kept no longer."""
        times = [
            alert.active_at + rule.hold
            if alert.keep_firing_since is None
            else alert.keep_firing_since + rule.keep_firing
            for rule, state in zip(self.placed.group.rules, self.states, strict=True)
            if isinstance(rule, AlertingRule) and (rule.hold or rule.keep_firing)
            for alert in state.alerts.values()
            if alert.state == "pending" or (alert.state == "firing" and alert.keep_firing_since is not None)
        ]
        return min(times, default=None)

    def _take(self, index: int, one: RuleResult, tsdb: Tsdb, result: Evaluated) -> None:
        before, state, samples = self.states[index], one.state, one.samples
        if result.at < self.keep_until and one.error is None:
            state, samples = _kept(before, state, samples)
        self._write(samples, one.at, tsdb, result.at)
        self.states[index] = state
        result.changes.append(Change(self.rules[index], before.alerts, state.alerts, one.error))

    def _write(self, samples: list[Sample], at: int, tsdb: Tsdb, now: int) -> None:
        """Append samples; a value that has not changed is written once in an interval."""
        batch = []
        for labels, value in samples:
            last = self._last_written.get(labels)
            if last is not None and last[1] == value and at - last[0] < self.interval:
                continue
            if is_stale(value):
                self._last_written.pop(labels, None)
            else:
                self._last_written[labels] = at, value
            batch.append((labels, [at], [value]))
        if not batch:
            return
        appended = tsdb.append(batch, now)
        if appended.refused and time.monotonic() > self._quiet_until:
            self._quiet_until = time.monotonic() + LOST_LOGGED_EVERY
            examples = [repr(labels)[:200] for labels in list(appended.examples.values())[:LOST_LOGGED]]
            _log.warning(
                "samples of a rule were refused", group=self.name, reasons=dict(appended.refused), of=examples
            )

    def _apply_moves(self, now: int) -> None:
        by, self._move_by = self._move_by, 0
        if not by:
            return
        self._at = min(self._at, self._at + by)
        self._last_written.clear()
        self.keep_until = max(self.keep_until + by, now + grace_after(abs(by)))
        self.states = [
            replace(state, alerts={labels: moved(alert, by) for labels, alert in state.alerts.items()})
            for state in self.states
        ]

    # --- status ---------------------------------------------------------------------------------------

    @property
    def status(self) -> GroupStatus:
        """How the group and its rules stand now."""
        evaluated_at, seconds = self._evaluated
        return GroupStatus(
            self.name, self.placed, self.interval / 1000, self._status, evaluated_at, seconds, self.lane > 0
        )


def _status(before: RuleStatus, one: RuleResult, state: RuleState, at: int, seconds: float) -> RuleStatus:
    active = tuple(alert for alert in state.alerts.values() if alert.state != "inactive")
    return replace(
        before,
        health="ok" if one.error is None else "err",
        error=one.error or "",
        evaluated_at=at / 1000,
        seconds=seconds,
        alerts=active,
    )


def _kept(before: RuleState, after: RuleState, samples: list[Sample]) -> tuple[RuleState, list[Sample]]:
    """Return what a rule gave, with the alerts from before that it did not give."""
    given = {labels for labels, alert in after.alerts.items() if alert.state != "inactive"}
    missing = {
        labels: alert
        for labels, alert in before.alerts.items()
        if alert.state != "inactive" and labels not in given
    }
    if not missing:
        return after, samples
    series = {labels for labels, _ in alert_samples(missing)}
    kept = RuleState({**after.alerts, **missing}, after.series | series)
    return kept, [one for one in samples if not (one.labels in series and is_stale(one.value))]
