"""How rules stand: all that are in use, with what their last evaluation gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.operations.checks import check_one_of
from chainwatch.operations.context import Context
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.operations.rules import groups_of
from chainwatch.promql.numbers import format_float
from chainwatch.promql.series import Labels
from chainwatch.rules.evaluation import Alert
from chainwatch.rules.model import AlertingRule, Rule
from chainwatch.rules.placed import rule_keys, with_distinct_names
from chainwatch.rules.status import GroupStatus, Health, RuleStatus
from chainwatch.store import rule_alerts, rule_statuses
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.rule_statuses import StoredStatus

RULE_FAILING = "RuleFailing"
"""The alert about a rule that cannot be evaluated."""
CURSORS = Cursors("rules", 1)
ALERTS_MAX = 100
"""Alerts of one rule that are shown."""
ALERTS_OF_A_PAGE = 1_000
"""Alerts that are shown of the rules of a page; of each rule one at least."""
STATES = ("inactive", "pending", "firing", "failing")


class RuleAlertView(msgspec.Struct, frozen=True):
    """An alert of a rule. ``value`` is its last one, as text; times are Unix seconds."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: str
    value: str
    active_at: float
    fired_at: float | None


class RuleStateView(msgspec.Struct, frozen=True):
    """A rule. ``for``, ``keep_firing_for``, ``interval`` and ``seconds`` are seconds, ``evaluated_at`` Unix seconds.

    ``state`` is that of its most urgent alert, ``health`` ``ok``, ``err`` with ``error``, or ``unknown`` before its first
    evaluation. ``seconds``: how long its last evaluation took. ``alerts``: the first ones of ``alert_count``, 100 at
    most, and fewer the more rules a page has.
    """

    name: str
    kind: Literal["alert", "record"]
    query: str
    group: str
    origin: str
    file: str
    line: int
    interval: float
    for_: float = msgspec.field(name="for")
    keep_firing_for: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: str
    health: str
    error: str
    evaluated_at: float | None
    seconds: float
    slow: bool
    alert_count: int
    alerts: list[RuleAlertView]


def list_rules(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    name: str | None = None,
    state: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[RuleStateView]:
    """Return the rules in use, by their groups. ``state``: only those in it, or that are ``failing``. Raises ``Invalid``."""
    if state is not None:
        check_one_of("state", state, STATES)
    (first,) = CURSORS.parse(after) or (-1,)
    wanted = check_limit(limit) + 1
    found: list[tuple[int, GroupStatus, RuleStatus]] = []
    for position, (group, rule) in enumerate(_rules(groups(connection, context))):
        if position > first and _is_wanted(rule, name, state):
            found.append((position, group, rule))
            if len(found) == wanted:
                break
    shown = min(ALERTS_MAX, max(1, ALERTS_OF_A_PAGE // max(1, len(found[:limit]))))
    return CURSORS.page(found, limit, lambda one: [one[0]], lambda one: _view(one[1], one[2], shown))


def groups(connection: sa.Connection, context: Context) -> Sequence[GroupStatus]:
    """Return how the groups of rules stand: as this process evaluates them, otherwise by what is stored."""
    live = context.rule_groups() if context.rule_groups is not None else ()
    return live or list(_stored(connection, context))


def _stored(connection: sa.Connection, context: Context) -> Iterator[GroupStatus]:
    created, _ = groups_of(context.created.rules)  # the others are not evaluated either
    placed = [*(context.plan.rule_groups if context.plan else ()), *created]
    if not placed:
        return
    unresolved = [alert for alert, _ in stored_alerts.unresolved(connection) if alert.source == "rule"]
    annotations = {alert.fingerprint: alert.annotations for alert in unresolved}
    alerts: dict[str, list[Alert]] = {}
    for one in rule_alerts.load(connection):
        shown = annotations.get(fingerprint(one.signal), {}) if one.signal else {}
        state: Literal["pending", "firing"] = "firing" if one.state == "firing" else "pending"
        alert = Alert(Labels(one.labels), dict(shown), state, _value(shown), one.active_at, one.fired_at)
        alerts.setdefault(one.rule, []).append(alert)
    failing = {
        (alert.labels.get("rule"), alert.labels.get("group")): alert.annotations.get("description", "")
        for alert in unresolved
        if alert.labels.get("alertname") == RULE_FAILING
    }
    evaluated = rule_statuses.load(connection)
    default = context.settings.evaluation.interval
    for name, group in with_distinct_names(placed):
        keys = rule_keys(name, group.group)
        rules = tuple(
            _stored_status(key, rule, evaluated.get(key), failing.get((rule.name, name)), alerts.get(key, ()))
            for key, rule in zip(keys, group.group.rules, strict=True)
        )
        interval = group.group.interval
        yield GroupStatus(name, group, default if interval is None else interval / 1000, rules)


def _stored_status(
    key: str, rule: Rule, last: StoredStatus | None, failing: str | None, alerts: Sequence[Alert]
) -> RuleStatus:
    """Return how a rule stands by its ``last`` evaluation that was stored, and what is alerted of its failures."""
    if last is None:
        health: Health = "unknown" if failing is None else "err"
        return RuleStatus(key, rule, health, failing or "", alerts=tuple(alerts))
    health = "err" if last.error else "ok"
    return RuleStatus(key, rule, health, last.error, last.evaluated_at, last.seconds, tuple(alerts))


def _value(annotations: Mapping[str, str]) -> float:
    """Return the value that a rule's alert notes in its annotations; NaN where its rule has an annotation of that name."""
    try:
        return float(annotations.get("value", ""))
    except ValueError:
        return float("nan")


def _rules(found: Iterable[GroupStatus]) -> Iterator[tuple[GroupStatus, RuleStatus]]:
    return ((group, rule) for group in found for rule in group.rules)


def _is_wanted(rule: RuleStatus, name: str | None, state: str | None) -> bool:
    if name is not None and rule.rule.name != name:
        return False
    return state is None or (rule.health == "err" if state == "failing" else rule.state == state)


def _view(group: GroupStatus, status: RuleStatus, alerts_max: int) -> RuleStateView:
    rule = status.rule
    alerting = rule if isinstance(rule, AlertingRule) else None
    return RuleStateView(
        name=rule.name,
        kind="record" if alerting is None else "alert",
        query=rule.query.text.strip(),
        group=group.placed.group.name,
        origin=group.placed.origin,
        file=group.placed.file,
        line=rule.line,
        interval=group.interval,
        for_=0.0 if alerting is None else alerting.hold / 1000,
        keep_firing_for=0.0 if alerting is None else alerting.keep_firing / 1000,
        labels={**group.placed.group.labels, **rule.labels},
        annotations={} if alerting is None else alerting.annotations,
        state=status.state,
        health=status.health,
        error=status.error,
        evaluated_at=status.evaluated_at,
        seconds=round(status.seconds, 6),
        slow=group.slow,
        alert_count=len(status.alerts),
        alerts=[_alert_view(alert) for alert in status.alerts[:alerts_max]],
    )


def _alert_view(alert: Alert) -> RuleAlertView:
    return RuleAlertView(
        labels=dict(alert.labels),
        annotations=alert.annotations,
        state=alert.state,
        value=format_float(alert.value),
        active_at=alert.active_at / 1000,
        fired_at=None if alert.fired_at is None else alert.fired_at / 1000,
    )
