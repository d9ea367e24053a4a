"""Rules over the past: evaluated at chain time, over what a replay has stored and over samples that are given (S7).

Live, groups are evaluated on their interval, when a series that they read grows, and when an alert changes by time alone.
Here this is done for one moment after the other, so that the same history, rules and samples always give the same signals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.alerting.policy.severities import Severities
from chainwatch.ingestion.model import IngestionError
from chainwatch.ingestion.text import parse_exposition
from chainwatch.model import Signal
from chainwatch.operations.invariant_values import past_values
from chainwatch.plan import Plan
from chainwatch.presentation.presenter import Presenter
from chainwatch.promql.evaluation import LOOK_BACK, Limits
from chainwatch.promql.series import Labels
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.replay import Rules, RuleSignals
from chainwatch.rule_engine.interests import Interests, Matchers
from chainwatch.rule_engine.live_group import Change, LiveGroup
from chainwatch.rule_engine.past_invariants import PastInvariants
from chainwatch.rule_engine.past_transfers import PastTransfers, Sample
from chainwatch.rule_engine.signals import annotations_of, ended, failing, firing, signal_labels
from chainwatch.rules.evaluation import Alert
from chainwatch.rules.placed import with_distinct_names
from chainwatch.store import blocks, transfers
from chainwatch.tsdb.model import Batch, TsdbLimits
from chainwatch.tsdb.tsdb import Tsdb

EVERY = 15
"""Seconds between two samples of what chainwatch knows itself."""
MOMENTS_MAX = 500_000
"""Such samples of one series: over a longer history they are further apart, but never so far that they do not count."""
_EVERY_MAX = LOOK_BACK // 1000 // 2
_EXPIRE_EVERY = 3_600_000
_LIMITS = Limits(seconds=math.inf)  # how long an evaluation takes must not change its result


class GivenSamples(NamedTuple):
    """Samples by the time (Unix ms) at which they are added, ascending."""

    batches: Sequence[tuple[int, Batch]]


def read_samples(paths: Iterable[Path]) -> GivenSamples:
    """Return the samples of files in the text format or OpenMetrics, each with its time. Raises ``ReplayError``."""
    at: dict[int, dict[Labels, float]] = {}
    for path in paths:
        try:
            body = path.read_bytes()
            is_open = body.rstrip().endswith(b"# EOF")
            found = parse_exposition(body, is_openmetrics=is_open).samples
        except OSError as error:
            raise ReplayError(f"{path}: cannot be read: {error.strerror}") from None
        except IngestionError as error:
            raise ReplayError(f"{path}: {error}") from None
        for sample in found:
            if sample.time is None:
                raise ReplayError(
                    f"{path}: a sample of {sample.labels!r} has no time: write it after the value, in milliseconds, "
                    "or in seconds in a file that ends with # EOF"
                )
            at.setdefault(sample.time, {})[sample.labels] = sample.value
    return GivenSamples(
        [(time, [(labels, [time], [value]) for labels, value in at[time].items()]) for time in sorted(at)]
    )


def rules_over_history(plan: Plan, samples: GivenSamples) -> Rules | None:
    """Return what evaluates the rules of ``plan`` over the history that a replay has stored, and over ``samples``.

    Without networks the history is that of the samples. Returns None where there are no rules.
    """
    if not plan.rule_groups:
        return None

    def evaluate(connection: sa.Connection, is_stopped: Callable[[], bool]) -> RuleSignals:
        checkpoints = blocks.checkpoints(connection).values()
        times = [time // 1000 for time, _ in samples.batches]
        first = min((checkpoint.first_timestamp for checkpoint in checkpoints), default=min(times, default=0))
        last = max((checkpoint.seen_until for checkpoint in checkpoints), default=max(times, default=0))
        past = PastRules(plan, connection, samples)
        return RuleSignals(list(past.signals(first, last, is_stopped)), last)

    return evaluate


class PastRules:
    """The rules of ``plan`` over a replay's database."""

    def __init__(self, plan: Plan, connection: sa.Connection, samples: GivenSamples) -> None:
        settings = plan.settings
        self._external_url = settings.external_url or ""
        self._severities = Severities(settings.severities)
        interval = round(settings.evaluation.interval * 1000)
        self._groups = {
            name: LiveGroup(name, placed, interval, self._external_url)
            for name, placed in with_distinct_names(plan.rule_groups)
        }
        self._interests = Interests({name: group.queries for name, group in self._groups.items()})
        wanted = [need for group in self._groups.values() for need in group.needs]
        self._tsdb = _tsdb(wanted)
        self._window = max((window for _, window in wanted), default=LOOK_BACK)
        self._samples = [one for one in samples.batches if self._is_read(one[1])]
        self._transfers = PastTransfers(
            transfers.select(connection, transfers.Filter()),
            {flow.name: flow for flow in plan.flows},
            Presenter.of(settings),
            self._is_wanted,
        )
        self._invariants = PastInvariants(past_values(connection, settings), self._is_wanted)
        self._grown: set[Labels] = set()
        """Series that rules have recorded since it was last found out who reads them."""
        self._last: dict[Labels, float] = {}
        self._tsdb.listen(self._grown.update)
        self._failing: dict[str, tuple[Mapping[str, str], int]] = {}

    def signals(self, first: int, last: int, is_stopped: Callable[[], bool]) -> Iterator[Signal]:
        """Yield the signals of all rules from the chain time ``first`` to ``last`` (Unix seconds)."""
        if not self._groups:
            return
        every = max(EVERY, min(math.ceil((last - first) / MOMENTS_MAX), _EVERY_MAX))
        own_at = first * 1000
        given = 0
        while given < len(self._samples) and self._samples[given][0] < own_at:
            time, batch = self._samples[given]
            if time > own_at - self._window:
                self._tsdb.append(batch, own_at)
            given += 1
        due = dict.fromkeys(self._groups, own_at)
        expired_at = now = own_at
        while not is_stopped():
            next_given = self._samples[given][0] if given < len(self._samples) else math.inf
            now = int(min(own_at, self._invariants.next_at, next_given, min(due.values())))
            if now >= (last + 1) * 1000:
                return
            changed: set[Labels] = set()
            own: list[Sample] = []
            if now == own_at or now >= self._invariants.next_at:
                own += self._invariants.at(now)
            if now == own_at:
                own += self._transfers.at(now // 1000)
                own_at += every * 1000
            if own:
                self._tsdb.append([(labels, [now], [value]) for labels, value in own], now)
                changed.update(labels for labels, value in own if self._last.get(labels) != value)
                self._last.update(own)
            if now == next_given:
                changed.update(self._tsdb.append(self._samples[given][1], now).changed)
                given += 1
            self._grown.clear()
            yield from self._evaluate(now, self._readers(changed), due)
            if now - expired_at >= _EXPIRE_EVERY:
                self._tsdb.expire(now)
                expired_at = now

    def _evaluate(self, now: int, readers: set[str], due: dict[str, int]) -> Iterator[Signal]:
        """Evaluate the groups that are due, and the ``readers`` of what has changed, what others record included."""
        waiting = {name for name, at in due.items() if at <= now} | readers
        done: set[str] = set()
        while waiting:
            name = min(waiting)
            waiting.remove(name)
            done.add(name)
            group = self._groups[name]
            evaluated = group.evaluate(self._tsdb, now, _LIMITS)
            for change in evaluated.changes:
                yield from self._signals(change, now)
            waiting |= self._readers(self._grown) - done
            self._grown.clear()
            on_interval = (now // group.interval + 1) * group.interval
            alert_changes = group.next_change()
            due[name] = (
                on_interval if alert_changes is None else min(on_interval, max(alert_changes, now + 1))
            )

    def _readers(self, series: Iterable[Labels]) -> set[str]:
        return {name for labels in series for name in self._interests.of(labels)}

    def _signals(self, change: Change, now: int) -> Iterator[Signal]:
        """Yield what begins and ends by an evaluation of a rule."""
        rule = change.rule
        if change.error is not None and rule.key not in self._failing:
            condition = failing(rule, change.error, now)
            self._failing[rule.key] = condition.labels, now
            yield condition
        elif change.error is None and rule.key in self._failing:
            yield ended(*self._failing.pop(rule.key), now)
        for labels, alert in change.before.items():
            after = change.after.get(labels)
            if _fires(alert) and (after is None or not _fires(after) or after.fired_at != alert.fired_at):
                assert alert.fired_at is not None
                yield ended(signal_labels(alert, rule, self._severities), alert.fired_at, now)
        for labels, alert in change.after.items():
            before = change.before.get(labels)
            if _fires(alert) and (before is None or not _fires(before) or before.fired_at != alert.fired_at):
                assert alert.fired_at is not None
                annotations = annotations_of(alert, rule, self._external_url)
                yield firing(signal_labels(alert, rule, self._severities), annotations, alert.fired_at)

    def _is_wanted(self, labels: Labels) -> bool:
        return bool(self._interests.of(labels))

    def _is_read(self, batch: Batch) -> bool:
        return any(self._is_wanted(labels) for labels, _, _ in batch)


def _fires(alert: Alert) -> bool:
    return alert.state == "firing"


def _tsdb(wanted: Sequence[tuple[Matchers, int]]) -> Tsdb:
    """Return a database that keeps what rules read, whatever is given."""
    tsdb = Tsdb(TsdbLimits(window=2 * LOOK_BACK))
    tsdb.keep(wanted)
    return tsdb
