"""The evaluation of a group of rules at one time, as Prometheus does it (rules/group.go, alerting.go, recording.go).

Pure: what is stored between two evaluations is a ``GroupState``, and what a rule gives is written by the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from chainwatch.promql.errors import EvaluationError, PromqlError
from chainwatch.promql.evaluation import LOOK_BACK, Evaluation, Limits
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Sample, Scalar, Vector, evaluate_with
from chainwatch.promql.series import NAME, STALE, Labels, Source
from chainwatch.promql.sharing import share
from chainwatch.promql.syntax import SUBQUERY_STEP
from chainwatch.rules.faults import Faults
from chainwatch.rules.model import AlertingRule, Group, RecordingRule, Rule
from chainwatch.rules.template import Values, expand

ALERTS = "ALERTS"
ALERTS_FOR_STATE = "ALERTS_FOR_STATE"
RESOLVED_KEPT = 15 * 60_000
"""Milliseconds for which a resolved alert is still among the results."""
QUERIES_MAX = 100
"""Queries that the templates of one rule may make in one evaluation."""


@dataclass(frozen=True)
class Alert:
    """One alert of a rule. Times are Unix milliseconds; ``inactive`` is a resolved one."""

    labels: Labels
    annotations: dict[str, str]
    state: Literal["pending", "firing", "inactive"]
    value: float
    active_at: int
    fired_at: int | None = None
    keep_firing_since: int | None = None
    resolved_at: int | None = None


@dataclass(frozen=True)
class RuleState:
    """What a rule gave last: its alerts, and the series that it wrote."""

    alerts: Mapping[Labels, Alert] = field(default_factory=dict)
    series: frozenset[Labels] = frozenset()


GroupState = tuple[RuleState, ...]


class RuleResult(NamedTuple):
    """What one evaluation of a rule gave: its next state, and the samples to write for the time ``at``.

    Samples that end a series have the value ``STALE``. After an ``error`` there are none, and the state is as before,
    but without alerts where there were too many.
    """

    rule: Rule
    state: RuleState
    samples: list[Sample]
    at: int
    error: str | None = None


class PreparedGroup:
    """A group that is evaluated again and again: labels of the group in its rules, common sub-expressions found.

    Subqueries without a step are evaluated every ``subquery_step`` milliseconds.
    """

    def __init__(
        self,
        group: Group,
        external_labels: Mapping[str, str] | None = None,
        external_url: str = "",
        subquery_step: int = SUBQUERY_STEP,
    ) -> None:
        self.group = group
        self.external_labels = external_labels or {}
        self.external_url = external_url
        self.subquery_step = subquery_step
        self.faults = Faults()
        rules = [replace(rule, labels={**group.labels, **rule.labels}) for rule in group.rules]
        written = {rule.name for rule in rules if isinstance(rule, RecordingRule)}
        queries, self.shared = share((rule.query for rule in rules), {*written, ALERTS, ALERTS_FOR_STATE})
        self.rules = [replace(rule, query=query) for rule, query in zip(rules, queries, strict=True)]

    @property
    def first_state(self) -> GroupState:
        return (RuleState(),) * len(self.rules)


def evaluate_group(
    prepared: PreparedGroup,
    state: GroupState,
    source: Source,
    at: int,
    *,
    look_back: int = LOOK_BACK,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[RuleResult]:
    """Yield the result of each rule for the evaluation at ``at`` (Unix milliseconds).

    The samples of a result must be in ``source`` before the next one is asked for: rules see what those before them gave.
    ``limits`` hold for each rule.
    """
    moment = at - (prepared.group.query_offset or 0)
    evaluation = Evaluation(
        source,
        moment,
        moment,
        look_back=look_back,
        subquery_step=prepared.subquery_step,
        limits=limits,
        clock=clock,
        shared=prepared.shared,
    )
    for rule, before in zip(prepared.rules, state, strict=True):
        evaluation.begin()
        try:
            vector = _result(evaluation, rule, moment)
            if not vector and not before.alerts and not before.series:
                yield RuleResult(rule, before, [], moment)  # as nearly always
                continue
            if isinstance(rule, RecordingRule):
                samples, alerts = _record(rule, vector, prepared.group.limit), before.alerts
            else:
                alerts = _next_alerts(rule, before.alerts, vector, at, prepared, evaluation, moment)
                samples = alert_samples(alerts)
        except _TooMany as error:
            yield RuleResult(rule, replace(before, alerts={}), [], moment, str(error))
            continue
        except PromqlError as error:
            yield RuleResult(rule, before, [], moment, str(error))
            continue
        except Exception as error:  # noqa: BLE001 - one rule must not silence the others of its group
            prepared.faults.log("the evaluation of a rule failed", error, rule=rule.name)
            yield RuleResult(rule, before, [], moment, f"{type(error).__name__}: {error}"[:500])
            continue
        series = frozenset(labels for labels, _ in samples) if samples else frozenset()
        ended = before.series - series
        same = alerts is before.alerts and series == before.series
        next_state = before if same else RuleState(alerts, series)
        yield RuleResult(rule, next_state, samples + [Sample(labels, STALE) for labels in ended], moment)


class _TooMany(EvaluationError):
    pass


def _result(evaluation: Evaluation, rule: Rule, moment: int) -> list[Sample]:
    result = evaluate_with(evaluation, rule.query, moment)
    if isinstance(result, Scalar):
        return [Sample(Labels(), result.value)]
    if not isinstance(result, Vector):
        raise EvaluationError("rule result is not a vector or scalar")
    return result.samples


def _record(rule: RecordingRule, vector: list[Sample], limit: int) -> list[Sample]:
    changes = {**rule.labels, NAME: rule.name}
    samples = [Sample(labels.put(changes), value) for labels, value in vector]
    if len({labels for labels, _ in samples}) < len(samples):
        raise EvaluationError("vector contains metrics with the same labelset after applying rule labels")
    if 0 < limit < len(samples):
        raise EvaluationError(f"exceeded limit of {limit} with {len(samples)} series")
    return samples


def _next_alerts(
    rule: AlertingRule,
    before: Mapping[Labels, Alert],
    vector: list[Sample],
    at: int,
    prepared: PreparedGroup,
    evaluation: Evaluation,
    moment: int,
) -> Mapping[Labels, Alert]:
    """Return the rule's alerts after an evaluation that gave ``vector``."""
    if not vector and not before:
        return before
    found = _found(rule, vector, at, prepared, evaluation, moment)
    alerts: dict[Labels, Alert] = {}
    for labels, alert in found.items():
        known = before.get(labels)
        if known is not None and known.state != "inactive":
            alert = replace(known, value=alert.value, annotations=alert.annotations, keep_firing_since=None)
        if alert.state == "pending" and at - alert.active_at >= rule.hold:
            alert = replace(alert, state="firing", fired_at=at)
        alerts[labels] = alert
    for labels, alert in before.items():
        if labels not in found and (gone := _without_element(rule, alert, at)) is not None:
            alerts[labels] = gone
    active = sum(alert.state != "inactive" for alert in alerts.values())
    limit = prepared.group.limit
    if 0 < limit < active:
        raise _TooMany(f"exceeded limit of {limit} with {active} alerts")
    return alerts


def _without_element(rule: AlertingRule, alert: Alert, at: int) -> Alert | None:
    """Return what becomes of an alert for which the query gives no element any more."""
    if alert.state == "pending":
        return None
    if alert.state == "inactive":
        resolved_at = alert.resolved_at if alert.resolved_at is not None else at
        return alert if at - resolved_at <= RESOLVED_KEPT else None
    if rule.keep_firing:
        since = at if alert.keep_firing_since is None else alert.keep_firing_since
        if at - since < rule.keep_firing:
            return replace(alert, keep_firing_since=since)
    return replace(alert, state="inactive", resolved_at=at)


def _found(
    rule: AlertingRule,
    vector: list[Sample],
    at: int,
    prepared: PreparedGroup,
    evaluation: Evaluation,
    moment: int,
) -> dict[Labels, Alert]:
    """Return an alert for each element, its labels and annotations expanded."""
    alerts: dict[Labels, Alert] = {}
    query = _limited_query(evaluation, moment)
    for labels, value in vector:
        values = Values(labels, value, prepared.external_labels, prepared.external_url, query)
        changes = {name: expand(source, values) for name, source in rule.labels.items()}
        alert_labels = labels.put({NAME: "", **changes, "alertname": rule.name})
        if alert_labels in alerts:
            raise EvaluationError(
                "vector contains metrics with the same labelset after applying alert labels"
            )
        annotations = {name: expand(source, values) for name, source in rule.annotations.items()}
        alerts[alert_labels] = Alert(alert_labels, annotations, "pending", value, at)
    return alerts


def _limited_query(evaluation: Evaluation, moment: int) -> Callable[[str], list[Sample]]:
    """Return what templates call to query; its errors are a template's, and it takes part in the rule's limits."""
    left = QUERIES_MAX

    def query(text: str) -> list[Sample]:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"more than {QUERIES_MAX} queries in templates")
        parsed = parse(text)
        result = evaluate_with(evaluation, parsed, moment)
        if isinstance(result, Scalar):
            return [Sample(Labels(), result.value)]
        if not isinstance(result, Vector):
            raise ValueError(f"a query in a template must not give a {parsed.type}")
        return result.samples

    return query


def alert_samples(alerts: Mapping[Labels, Alert]) -> list[Sample]:
    """Return the samples of ``ALERTS`` and ``ALERTS_FOR_STATE`` of a rule's alerts."""
    samples = []
    for labels, alert in alerts.items():
        if alert.state != "inactive":
            samples += [
                Sample(labels.put({NAME: ALERTS, "alertstate": alert.state}), 1.0),
                Sample(labels.put({NAME: ALERTS_FOR_STATE}), float(alert.active_at // 1000)),
            ]
    return samples
