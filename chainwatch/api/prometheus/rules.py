"""Rules and their alerts as Prometheus lists them (web/api/v1/api.go, ``RuleDiscovery``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from chainwatch.api.prometheus.answers import Refused
from chainwatch.api.prometheus.parameters import Fields, invalid, limit_of, matcher_sets_of, text_of
from chainwatch.promql.numbers import format_exponential
from chainwatch.promql.syntax import Matcher
from chainwatch.rules.evaluation import Alert
from chainwatch.rules.model import AlertingRule
from chainwatch.rules.status import GroupStatus, RuleStatus

NEVER = "0001-01-01T00:00:00Z"
"""The time of what has not been yet, as Go writes it."""
_KINDS = {"alert": True, "record": False}


class WantedRules(NamedTuple):
    """Which rules are asked for; empty sets take all.

    ``limit``: groups in an answer (0: all), which begins after the group ``after``.
    """

    alerting: bool | None
    names: frozenset[str]
    groups: frozenset[str]
    files: frozenset[str]
    matcher_sets: Sequence[tuple[Matcher, ...]]
    with_alerts: bool
    limit: int
    after: str


def wanted_rules(fields: Fields) -> WantedRules:
    """Return which rules a request asks for. Raises ``Refused``."""
    kind = text_of(fields, "type").lower()
    if kind and kind not in _KINDS:
        raise invalid("type", f"not supported value {kind[:100]!r}")
    excluded = text_of(fields, "exclude_alerts").lower()
    if excluded not in ("", "1", "t", "true", "0", "f", "false"):
        raise invalid("exclude_alerts", f"not a boolean: {excluded[:100]!r}")
    limit, after = limit_of(fields, "group_limit"), text_of(fields, "group_next_token")
    if after and not limit:
        raise invalid("group_limit", "group_limit needs to be set with group_next_token")
    return WantedRules(
        _KINDS[kind] if kind else None,
        frozenset(fields.getall("rule_name[]", [])),
        frozenset(fields.getall("rule_group[]", [])),
        frozenset(fields.getall("file[]", [])),
        matcher_sets_of(fields),
        excluded not in ("1", "t", "true"),
        limit,
        after,
    )


def listed_rules(groups: Sequence[GroupStatus], wanted: WantedRules) -> dict[str, Any]:
    """Return the groups that have rules that are asked for. Raises ``Refused``."""
    found: list[tuple[dict[str, Any], str]] = []
    names = [group.name for group in groups]
    if wanted.after and wanted.after not in names:
        raise Refused("bad_data", "invalid group_next_token: the groups have changed meanwhile")
    for group in groups[names.index(wanted.after) + 1 if wanted.after else 0 :]:
        placed = group.placed
        if wanted.groups and placed.group.name not in wanted.groups:
            continue
        if wanted.files and _file(group) not in wanted.files:
            continue
        rules = [_rule(group, rule, wanted) for rule in group.rules if _is_wanted(group, rule, wanted)]
        if not rules:
            continue
        if wanted.limit and len(found) == wanted.limit:
            return {"groups": [listed for listed, _ in found], "groupNextToken": found[-1][1]}
        shown = {
            "name": placed.group.name,
            "file": _file(group),
            "rules": rules,
            "interval": group.interval,
            "limit": placed.group.limit,
            "evaluationTime": group.seconds,
            "lastEvaluation": _moment(group.evaluated_at),
        }
        found.append((shown, group.name))
    return {"groups": [listed for listed, _ in found]}


def listed_alerts(groups: Sequence[GroupStatus]) -> dict[str, Any]:
    """Return all alerts that are pending or fire."""
    return {"alerts": [_alert(alert) for group in groups for rule in group.rules for alert in rule.alerts]}


def _is_wanted(group: GroupStatus, status: RuleStatus, wanted: WantedRules) -> bool:
    rule = status.rule
    if wanted.alerting is not None and isinstance(rule, AlertingRule) is not wanted.alerting:
        return False
    if wanted.names and rule.name not in wanted.names:
        return False
    labels = _labels(group, status)
    return not wanted.matcher_sets or any(
        all(matcher.takes(labels.get(matcher.name, "")) for matcher in matchers)
        for matchers in wanted.matcher_sets
    )


def _rule(group: GroupStatus, status: RuleStatus, wanted: WantedRules) -> dict[str, Any]:
    rule = status.rule
    shown: dict[str, Any] = {
        "name": rule.name,
        "query": rule.query.text,
        "labels": _labels(group, status),
        "health": status.health,
        "evaluationTime": status.seconds,
        "lastEvaluation": _moment(status.evaluated_at),
    }
    if status.error:
        shown["lastError"] = status.error
    if not isinstance(rule, AlertingRule):
        return shown | {"type": "recording"}
    return shown | {
        "type": "alerting",
        "state": status.state,
        "duration": rule.hold / 1000,
        "keepFiringFor": rule.keep_firing / 1000,
        "annotations": rule.annotations,
        "alerts": [_alert(alert) for alert in status.alerts] if wanted.with_alerts else [],
    }


def _alert(alert: Alert) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "labels": dict(alert.labels.pairs),
        "annotations": alert.annotations,
        "state": alert.state,
        "activeAt": _moment(alert.active_at / 1000),
        "value": format_exponential(alert.value),
    }
    if alert.keep_firing_since is not None:
        shown["keepFiringSince"] = _moment(alert.keep_firing_since / 1000)
    return shown


def _labels(group: GroupStatus, status: RuleStatus) -> dict[str, str]:
    return {**group.placed.group.labels, **status.rule.labels}


def _file(group: GroupStatus) -> str:
    return group.placed.file or group.placed.origin


def _moment(at: float | None) -> str:
    """Return Unix seconds as Go writes a time."""
    if at is None:
        return NEVER
    try:
        text = (datetime(1970, 1, 1) + timedelta(seconds=at)).isoformat()  # noqa: DTZ001 - in UTC, written as such
    except OverflowError:
        return NEVER
    return f"{text.rstrip('0')}Z" if "." in text else f"{text}Z"
