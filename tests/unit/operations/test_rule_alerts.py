"""Alerts as the calls at the root have them, and their statistics by type."""

from __future__ import annotations

import pytest

from chainwatch.model import SENT_SEVERITY
from chainwatch.operations import alert_stats, rule_alerts, rules
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from tests.support.operating import end_alert, raise_alert
from tests.unit.operations.conftest import T0, Clock
from tests.unit.operations.test_created import RULE, Operating


def test_active_alerts_are_listed_in_pages_with_milliseconds(access: Access, clock: Clock) -> None:
    for number in range(3):
        clock.now = T0 + number + 0.25
        raise_alert(access, f"A{number}", network="one")
    end_alert(access, "A1", network="one")
    first = access.read(rule_alerts.list_active, limit=1)
    (newest,) = first.alerts
    assert (newest.rule, newest.state, newest.value) == ("A2", "firing", None)
    assert newest.started_at == int((T0 + 2.25) * 1000)
    assert newest.labels == {"alertname": "A2", "severity": "P1", "network": "one"}
    assert newest.annotations["summary"] == "A2"
    rest = access.read(rule_alerts.list_active, after=first.next)
    assert ([alert.rule for alert in rest.alerts], rest.next) == (["A0"], None)


@pytest.mark.parametrize(("text", "value"), [("0.25", 0.25), ("1e3", 1000.0), ("nan", None), ("12 %", None)])
def test_the_value_is_a_number_or_none(text: str, value: float | None) -> None:
    assert rule_alerts._number(text) == value


@pytest.mark.parametrize("sent", ["page", ""])
def test_labels_are_as_they_were_sent(access: Access, sent: str) -> None:
    raise_alert(access, "Foreign", "P2", **{SENT_SEVERITY: sent})
    (alert,) = access.read(rule_alerts.list_active).alerts
    assert alert.severity == "P2"
    assert alert.labels == {"alertname": "Foreign", **({"severity": sent} if sent else {})}


def test_history_has_what_ended_and_takes_seconds_and_milliseconds(access: Access, clock: Clock) -> None:
    raise_alert(access, "Old")
    clock.now = T0 + 60
    end_alert(access, "Old")
    raise_alert(access, "New")
    whole = access.read(rule_alerts.list_history)
    assert [(a.rule, a.state, a.ended_at, a.reason) for a in whole.alerts] == [
        ("New", "firing", None, ""),
        ("Old", "resolved", int((T0 + 60) * 1000), "over"),
    ]
    for since in (int(T0) + 30, (int(T0) + 30) * 1000):
        assert [a.rule for a in access.read(rule_alerts.list_history, since=since).alerts] == ["New"]
    assert [a.rule for a in access.read(rule_alerts.list_history, limit=1).alerts] == ["New"]
    with pytest.raises(Invalid, match="since"):
        access.read(rule_alerts.list_history, since=10**18)


def test_an_alert_is_resolved_once(access: Access) -> None:
    raise_alert(access)
    (alert,) = access.read(rule_alerts.list_active).alerts
    resolved = access.write(rule_alerts.resolve_alert, alert.id, "anna", "seen")
    assert (resolved.state, resolved.reason) == ("resolved", "by hand: seen")
    with pytest.raises(Conflict, match="resolved already"):
        access.write(rule_alerts.resolve_alert, alert.id, "anna")
    with pytest.raises(NotFound, match="999"):
        access.write(rule_alerts.resolve_alert, 999, "anna")


def test_statistics_count_by_the_types_of_rules(access: Access, clock: Clock) -> None:
    run = Operating(access)
    for name in ("One", "Two"):
        run(rules.add_rule, **{**RULE, "name": name}, type="errors", author="anna")
        raise_alert(access, name)
    raise_alert(access, "Three", "P3")
    clock.now = T0 + 30
    end_alert(access, "One")
    clock.now = T0 + 90
    end_alert(access, "Two")
    found = run(alert_stats.window_statistics, window="1h")
    assert [
        (k.type, k.severity, k.number, k.firing, k.mean_time_to_resolve) for k in found.by_type_and_severity
    ] == [
        ("Three", "P3", 1, 1, None),
        ("errors", "P1", 2, 0, 60.0),
    ]
    assert (found.number, found.resolved, found.mean_time_to_resolve) == (3, 2, 60.0)
    clock.now = T0 + 7200
    assert run(alert_stats.window_statistics, window="1h").number == 0
    for wrong in ("1 day", "0s"):
        with pytest.raises(Invalid, match="window"):
            run(alert_stats.window_statistics, window=wrong)
