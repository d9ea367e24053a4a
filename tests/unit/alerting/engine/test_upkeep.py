"""What time, operators and the configuration change about alerts, function by function, over a real database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Alert, Group, Silence, Suppression, Timer
from chainwatch.alerting.engine import upkeep
from chainwatch.alerting.engine.group_manager import GroupManager
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.policy.policies import AutoAcknowledgement, Policies
from chainwatch.alerting.policy.routing import build_routes
from chainwatch.grammar import matchers
from chainwatch.store.alerting import (
    acknowledgements,
    alert_groups,
    alerts,
    history,
    silences,
    suppressions,
)
from tests.unit.alerting.helpers import T0, route

NOW = float(T0)
ROUTE = route(group_interval="15s")
KEY = "{}"


@pytest.fixture
def groups() -> GroupManager:
    return GroupManager(build_routes([ROUTE]), {"ops": True}, Policies())


def fire(connection: sa.Connection, alert_id: int = 1, name: str = "DiskFull", **fields: Any) -> Alert:
    """Store an alert, firing unless told otherwise, of which the receiver has been notified."""
    labels = {"alertname": name, "severity": fields.pop("severity", "P2"), "host": "a"}
    alert = msgspec.structs.replace(Alert(alert_id, fingerprint(labels), labels, {}, T0, NOW), **fields)
    alerts.insert(connection, [alert])
    if not alert_groups.find(connection, [f"key {alert_id}"]):
        group = Group(alert_id, f"key {alert_id}", "ops", KEY, {}, NOW + 1000, NOW, NOW)
        alert_groups.insert(connection, [group])
    alert_groups.join(connection, [(alert_id, alert_id)])
    alert_groups.set_notified(connection, [(alert_id, alert_id)])
    return alert


def acknowledge(connection: sa.Connection, alert_id: int = 1, **fields: Any) -> None:
    given = Acknowledgement(alert_id, "ann", NOW, "on it", None, "P2", NOW)
    acknowledgements.save(connection, [msgspec.structs.replace(given, **fields)])


def actors(connection: sa.Connection) -> dict[int, str]:
    return {one.alert_id: one.actor for one in acknowledgements.every(connection)}


def flush_at(connection: sa.Connection, alert_id: int = 1) -> float:
    (group,) = alert_groups.of_alerts(connection, [alert_id])
    return group.flush_at


def is_renotified(connection: sa.Connection, alert_id: int = 1) -> bool:
    (member,) = alert_groups.members(connection, [alert_id])[alert_id]
    return member.renotify


def kinds(connection: sa.Connection, alert_id: int = 1) -> list[tuple[str, str]]:
    alert = alerts.by_id(connection, [alert_id])[alert_id]
    return [(one.kind, one.cause) for one in history.of(connection, alert)]


# --- timers ---------------------------------------------------------------------------------------------


def test_a_timer_fires_a_pending_alert_and_ends_a_firing_one(connection: sa.Connection) -> None:
    fire(connection, 1, "A", state="pending")
    fire(connection, 2, "B")
    timers = [Timer(1, "fire", NOW), Timer(2, "end", NOW, NOW - 5, "recovered")]
    history.set_timers(connection, timers)
    first, second = upkeep.after_timers(connection, timers, NOW)
    assert (first.id, first.state) == (1, "firing")
    assert (second.id, second.state, second.ends_at, second.reason, second.resolved_at) == (
        2,
        "resolved",
        NOW - 5,
        "recovered",
        NOW,
    )
    assert history.timers_of(connection, [1, 2]) == {}


def test_a_timer_of_an_alert_that_has_changed_or_gone_does_nothing(connection: sa.Connection) -> None:
    fire(connection, 1, "A", state="resolved", ends_at=T0)
    fire(connection, 2, "B")
    timers = [Timer(1, "end", NOW, NOW), Timer(2, "fire", NOW), Timer(3, "fire", NOW)]
    assert upkeep.after_timers(connection, timers, NOW) == []


# --- resolving by hand ----------------------------------------------------------------------------------


def test_an_alert_that_is_resolved_by_hand_loses_its_timer_and_acknowledgement_and_its_group_is_flushed(
    connection: sa.Connection, groups: GroupManager
) -> None:
    alert = fire(connection)
    acknowledge(connection)
    history.set_timers(connection, [Timer(1, "end", NOW + 60, NOW)])
    upkeep.resolve_now(connection, groups, [alert], "by hand", NOW + 4.0004)
    after = alerts.by_id(connection, [1])[1]
    assert (after.state, after.ends_at, after.reason) == ("resolved", NOW + 4, "by hand")
    assert history.timers_of(connection, [1]) == {}
    assert actors(connection) == {}
    assert flush_at(connection) == NOW + 15


def test_a_pending_alert_that_is_resolved_by_hand_is_not_notified(
    connection: sa.Connection, groups: GroupManager
) -> None:
    upkeep.resolve_now(connection, groups, [fire(connection, state="pending")], "by hand", NOW)
    assert alerts.by_id(connection, [1])[1].audience == "quiet"


# --- acknowledgements -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "carried"), [("P3", True), ("P1", False)])
def test_an_acknowledgement_is_carried_to_the_same_condition_unless_it_is_more_severe(
    connection: sa.Connection, severity: str, carried: bool
) -> None:
    fire(connection, 1)
    acknowledge(connection)
    new = fire(connection, 2, severity=severity)
    upkeep.carry_acknowledgements(connection, [new], NOW)
    assert (new.id in actors(connection)) is carried


def test_an_acknowledgement_is_not_carried_to_another_condition(connection: sa.Connection) -> None:
    fire(connection, 1)
    acknowledge(connection)
    upkeep.carry_acknowledgements(connection, [fire(connection, 2, "DiskBroken")], NOW)
    assert actors(connection) == {1: "ann"}


def test_the_configuration_acknowledges_what_it_matches_until_its_time_is_over(
    connection: sa.Connection,
) -> None:
    by_night = AutoAcknowledgement(matchers.build({"alertname": ["DiskFull"]}), "night shift", (), 600.0)
    policies = Policies(auto_acknowledgements=(by_night,))
    new = [fire(connection, 1), fire(connection, 2, "Other"), fire(connection, 3, "DiskFull", severity="P3")]
    pending = msgspec.structs.replace(new[2], state="pending")
    upkeep.acknowledge_automatically(connection, policies, [*new[:2], pending], NOW)
    (taken,) = acknowledgements.every(connection)
    assert (taken.alert_id, taken.actor, taken.until) == (1, "night shift", NOW + 600)
    assert kinds(connection) == [("firing", "the condition holds"), ("acknowledged", upkeep.BY_CONFIGURATION)]


def test_acknowledgements_by_configuration_follow_the_configuration_and_those_of_people_stay(
    connection: sa.Connection, groups: GroupManager
) -> None:
    def policies(name: str) -> Policies:
        match = matchers.build({"alertname": [name]})
        return Policies(auto_acknowledgements=(AutoAcknowledgement(match, "night shift", (), None),))

    first, second = fire(connection, 1, "A"), fire(connection, 2, "B")
    upkeep.acknowledge_automatically(connection, policies("A"), [first], NOW)
    acknowledge(connection, second.id)
    upkeep.review_automatic(connection, groups, policies("A"), NOW + 1)
    assert actors(connection) == {1: "night shift", 2: "ann"}
    upkeep.review_automatic(connection, groups, policies("B"), NOW + 2)
    assert actors(connection) == {2: "ann"}
    assert is_renotified(connection, 1)


def test_an_acknowledgement_lapses_after_its_time_and_its_receivers_are_notified_again(
    connection: sa.Connection, groups: GroupManager
) -> None:
    fire(connection)
    acknowledge(connection, until=NOW + 60)
    upkeep.expire_acknowledgements(connection, groups, Policies(), NOW + 59)
    assert actors(connection) == {1: "ann"}
    upkeep.expire_acknowledgements(connection, groups, Policies(), NOW + 60)
    assert actors(connection) == {}
    assert is_renotified(connection)
    assert flush_at(connection) == NOW + 60
    assert kinds(connection)[-1] == ("unacknowledged", "its time has passed")


def test_an_old_acknowledgement_is_reminded_of_once_in_a_while(
    connection: sa.Connection, groups: GroupManager
) -> None:
    fire(connection)
    acknowledge(connection)
    policies = Policies(remind_after=100.0)
    upkeep.expire_acknowledgements(connection, groups, policies, NOW + 99)
    assert not is_renotified(connection)
    upkeep.expire_acknowledgements(connection, groups, policies, NOW + 100)
    assert is_renotified(connection)
    assert [one.reminded_at for one in acknowledgements.every(connection)] == [NOW + 100]


# --- silences -------------------------------------------------------------------------------------------


def _silence(connection: sa.Connection, **fields: Any) -> int:
    silence = Silence({"alertname": ["DiskFull"]}, NOW, NOW + 1000, "ann", "", NOW, warn_before=100.0)
    return silences.add(connection, msgspec.structs.replace(silence, **fields))


def test_a_silence_that_expires_soon_and_suppresses_an_alert_is_warned_of(connection: sa.Connection) -> None:
    idle, busy = _silence(connection), _silence(connection)
    suppressions.save(connection, {(1, 1): Suppression("silenced", "", busy)}, NOW)
    assert upkeep.silence_warnings(connection, NOW + 899) == []
    (warning,) = upkeep.silence_warnings(connection, NOW + 900)
    assert (warning.labels["silence"], warning.source, warning.ends_at) == (str(busy), "silence", None)
    assert idle != busy


@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_a_silence_is_warned_of_once_and_the_warning_ends_with_it(
    connection: sa.Connection, state: str
) -> None:
    silence = _silence(connection)
    suppressions.save(connection, {(1, 1): Suppression("silenced", "", silence)}, NOW)
    (warning,) = upkeep.silence_warnings(connection, NOW + 900)
    known = Alert(1, fingerprint(warning.labels), warning.labels, {}, T0, NOW, state=state)  # type: ignore[arg-type]
    alerts.insert(connection, [known])
    assert upkeep.silence_warnings(connection, NOW + 950) == []
    ended = upkeep.silence_warnings(connection, NOW + 1001)
    assert [(one.labels, one.ends_at) for one in ended] == (
        [(warning.labels, NOW + 1000)] if state == "firing" else []
    )


# --- when something is due ------------------------------------------------------------------------------


def test_the_next_time_is_the_earliest_of_timers_lapses_reminders_and_warnings(
    connection: sa.Connection,
) -> None:
    policies = Policies(remind_after=500.0)
    assert upkeep.next_due(connection, policies, NOW) is None
    _silence(connection)
    assert upkeep.next_due(connection, policies, NOW) == NOW + 900
    acknowledge(connection, until=NOW + 600)
    assert upkeep.next_due(connection, policies, NOW) == NOW + 500
    history.set_timers(connection, [Timer(1, "fire", NOW + 30)])
    assert upkeep.next_due(connection, policies, NOW) == NOW + 30
    assert upkeep.next_due(connection, policies, NOW + 31) == NOW + 500
