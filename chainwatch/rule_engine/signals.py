"""The alerts of rules as signals for alerting. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from chainwatch.alerting.policy.severities import Severities
from chainwatch.model import RULE, SENT_SEVERITY, Signal
from chainwatch.operations.rule_states import RULE_FAILING
from chainwatch.promql.numbers import format_float
from chainwatch.rules.evaluation import Alert
from chainwatch.support.bounds import LABEL_MAX, cut

GONE = "rule removed or changed"
EVALUATED = "evaluated"
ENDED = "recovered"

_MINE = (RULE, SENT_SEVERITY)


class RuleOf(NamedTuple):
    """The rule of an alert: its key, its group's name, its own name, and its query."""

    key: str
    group: str
    name: str
    query: str


def signal_labels(alert: Alert, rule: RuleOf, severities: Severities) -> dict[str, str]:
    """Return the labels of the alert in chainwatch: a severity of chainwatch, the rule's own beside it, and the group."""
    given = {
        name: _storable(value)
        for name, value in alert.labels.items()
        if "\0" not in name and name not in _MINE
    }
    return severities.stored_labels(given) | {RULE: cut(_storable(rule.group), LABEL_MAX)}


def annotations_of(alert: Alert, rule: RuleOf, external_url: str) -> dict[str, str]:
    """Return the rule's annotations, with the value, the query and a link to it where the rule has none of that name."""
    own = {"value": format_float(alert.value), "query": _storable(rule.query)}
    if external_url:
        own["query_url"] = f"{external_url.rstrip('/')}/ui/rules?name={quote(rule.name[:500], safe='')}"
    texts = {name: _storable(text) for name, text in alert.annotations.items() if name and "\0" not in name}
    return {**own, **texts}


def firing(labels: Mapping[str, str], annotations: Mapping[str, str], fired_at: int) -> Signal:
    """Return the signal that an alert fires since ``fired_at`` (Unix ms)."""
    return Signal(labels, _seconds(fired_at), annotations, source="rule")


def ended(labels: Mapping[str, str], fired_at: int, at: int, reason: str = ENDED) -> Signal:
    """Return the signal that an alert which fired since ``fired_at`` has ended ``at`` (Unix ms)."""
    return Signal(labels, _seconds(fired_at), {}, _seconds(max(fired_at, at)), reason, "rule")


def failing(rule: RuleOf, error: str, at: int) -> Signal:
    """Return the condition that a rule cannot be evaluated."""
    return Signal(
        {
            "alertname": RULE_FAILING,
            "rule": cut(_storable(rule.name), LABEL_MAX),
            "group": cut(_storable(rule.group), LABEL_MAX),
            "severity": "P2",
        },
        at // 1000,
        {
            "summary": f"the rule {_storable(rule.name)} cannot be evaluated",
            "description": f"{_storable(error)[:1000]}. Its alerts stay as they were; other rules are evaluated as before.",
            "query": _storable(rule.query),
        },
        source="rule",
    )


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000 if milliseconds % 1000 else milliseconds // 1000


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
