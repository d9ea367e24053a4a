"""Who has acknowledged an alert, over a real database: what receivers are notified of it, and what is recorded."""

from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Transition
from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine import upkeep
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.store.alerting import (
    acknowledgements,
    alerts,
    history,
    outbox,
)
from tests.unit.alerting.helpers import (
    NOW,
    T0,
    TICK,
    ends,
    fires,
    kinds,
    manager,
    queued_for,
    route,
    severities,
)


def acknowledge(connection: sa.Connection, at: float, until: float | None = None) -> None:
    (alert,) = alerts.list_alerts(connection)
    taken = Acknowledgement(alert.id, "ann", at, "mine", until, alert.severity, at)
    acknowledgements.save(connection, [taken])


def test_an_acknowledged_alert_is_not_repeated_until_the_acknowledgement_lapses(
    connection: sa.Connection,
) -> None:
    m = manager(route(repeat_interval="60s"))
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1, until=NOW + 100)
    m.flush(connection, NOW + 60)
    assert len(queued_for(connection)) == 1
    m.flush(connection, NOW + 120)
    assert queued_for(connection) == [[("firing", "0x01")]] * 2
    assert "unacknowledged" in kinds(connection)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("severity", "is_notified"), [("P0", True), ("P2", False)])
def test_an_acknowledgement_holds_for_the_condition_unless_its_severity_rises(
    connection: sa.Connection, severity: str, is_notified: bool, together: bool
) -> None:
    m = manager(route(group_by=["..."]))
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1)
    changed = fires(severity=severity, at=T0 + 10)
    if together:
        m.apply(connection, [ends(), changed], NOW + 10)
    else:
        m.apply(connection, [changed], NOW + 10)
        m.apply(connection, [ends()], NOW + 11)
    m.flush(connection, NOW + TICK)
    assert (("firing", severity) in severities(connection)) is is_notified
    m.apply(connection, [fires("0x02", severity=severity)], NOW + 20)
    assert ("firing", severity) in severities(connection), "another condition is nobody's"


def test_a_severity_that_falls_and_comes_back_is_still_somebody_s(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]))
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1)
    m.apply(connection, [ends(), fires(severity="P3", at=T0 + 10)], NOW + 10)
    m.apply(connection, [ends(severity="P3", at=T0 + 10), fires(at=T0 + 20)], NOW + 20)
    m.flush(connection, NOW + 2 * TICK)
    assert severities(connection) == [("firing", "P1"), ("resolved", "P1")]
    m.apply(connection, [ends(at=T0 + 20)], NOW + 40)
    m.apply(connection, [fires(at=T0 + 50)], NOW + 50)
    m.flush(connection, NOW + 4 * TICK)
    assert severities(connection)[2:] == [("firing", "P1")], "what began anew is nobody's"


def note(connection: sa.Connection) -> str:
    """What stands before the alerts of the newest message, as it is rendered now."""
    return load(connection, outbox.list_notifications(connection)[0]).note


def taken(connection: sa.Connection, transfer: str, at: float, actor: str = "ann", why: str = "mine") -> int:
    """Let ``actor`` acknowledge the firing alert of ``transfer``."""
    (alert,) = [a for a in alerts.firing(connection) if a.labels["transfer"] == transfer]
    acknowledgements.save(connection, [Acknowledgement(alert.id, actor, at, why, None, alert.severity, at)])
    history.record(connection, [Transition(alert.id, at, "acknowledged", "by hand", actor, why)])
    return alert.id


def given_back(connection: sa.Connection, m: AlertEngine, alert_id: int, at: float) -> None:
    upkeep.drop_acknowledgements(connection, m.group_manager, {alert_id: "by hand"}, "ann", at)


def test_who_was_reported_learns_with_the_next_message_who_has_taken_it(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01")], NOW)
    taken(connection, "0x01", NOW + 1)
    m.flush(connection, NOW + TICK)
    assert len(queued_for(connection)) == 1, "it is no message of its own"
    m.apply(connection, [fires("0x02")], NOW + 20)
    m.flush(connection, NOW + 2 * TICK)
    assert queued_for(connection)[1:] == [[("firing", "0x02")]]
    assert note(connection) == "Left out, as acknowledged by ann: TransferOverdue transfer=0x01 (mine)."


def test_what_is_taken_on_while_its_message_waits_is_shown_as_that(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    assert note(connection) == ""
    first = taken(connection, "0x01", NOW + 1)
    assert note(connection) == (
        "Acknowledged by ann: TransferOverdue transfer=0x01 (mine). "
        "Not acknowledged: TransferOverdue transfer=0x02."
    )
    shown = load(connection, outbox.list_notifications(connection)[0]).alerts
    assert [a.annotations.get("acknowledged_by") for a in shown] == ["ann", None]
    second = taken(connection, "0x02", NOW + 2, "ben", "")
    assert note(connection) == (
        "Acknowledged by ann: TransferOverdue transfer=0x01 (mine). "
        "Acknowledged by ben: TransferOverdue transfer=0x02."
    )
    given_back(connection, m, first, NOW + 3)
    given_back(connection, m, second, NOW + 3)
    assert note(connection) == ""


def test_nobody_is_named_above_an_alert_that_was_given_back(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01")], NOW)
    given_back(connection, m, taken(connection, "0x01", NOW + 1), NOW + 2)
    m.flush(connection, NOW + TICK)
    assert queued_for(connection) == [[("firing", "0x01")]] * 2
    assert note(connection) == ""


def test_nobody_is_named_above_an_alert_whose_acknowledgement_has_lapsed(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01")], NOW)
    alert_id = taken(connection, "0x01", NOW + 1)
    acknowledge(connection, NOW + 1, until=NOW + 5)
    m.flush(connection, NOW + TICK)
    m.flush(connection, NOW + 2 * TICK)
    assert alert_id not in acknowledgements.of(connection, [alert_id])
    assert queued_for(connection) == [[("firing", "0x01")]] * 2
    assert note(connection) == ""


def test_nobody_is_named_above_an_alert_that_became_more_severe(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires(severity="P2")], NOW)
    taken(connection, "0x01", NOW + 1)
    m.apply(connection, [ends(severity="P2"), fires(severity="P1", at=T0 + 5)], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert severities(connection)[1:] == [("firing", "P1"), ("resolved", "P2")]
    assert note(connection) == ""


def test_many_that_are_somebody_s_are_counted(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires(str(n)) for n in range(5)], NOW)
    for n in range(4):
        taken(connection, str(n), NOW + 1, why="")
    assert note(connection) == "Acknowledged by ann: 4 alerts. Not acknowledged: TransferOverdue transfer=4."


def test_who_had_it_is_reported_with_its_end(connection: sa.Connection) -> None:
    m = manager()
    m.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    taken(connection, "0x01", NOW + 1)
    given_back(connection, m, taken(connection, "0x02", NOW + 1, "ben"), NOW + 2)
    m.apply(connection, [ends("0x01"), ends("0x02")], NOW + 5)
    m.flush(connection, NOW + TICK)
    assert note(connection) == "Was acknowledged by ann: TransferOverdue transfer=0x01 (mine)."


def test_a_reminder_says_which_of_a_group_nobody_has(connection: sa.Connection) -> None:
    m = manager(alerts={"remind_after": "10m"})
    m.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    taken(connection, "0x01", NOW + 1)
    m.flush(connection, NOW + 601)
    m.flush(connection, NOW + 601 + TICK)
    assert queued_for(connection)[1:] == [[("firing", "0x01"), ("firing", "0x02")]]
    assert note(connection) == (
        "Reminder: acknowledged by ann, and still firing: TransferOverdue transfer=0x01. "
        "Not acknowledged: TransferOverdue transfer=0x02."
    )
    given_back(connection, m, 1, NOW + 650)
    assert note(connection) == ""


def test_people_are_reminded_of_what_they_acknowledged_and_still_fires(connection: sa.Connection) -> None:
    m = manager(route(repeat_interval="60s"), alerts={"remind_after": "10m"})
    m.apply(connection, [fires()], NOW)
    acknowledge(connection, NOW + 1)
    m.flush(connection, NOW + 599)
    assert len(queued_for(connection)) == 1
    m.flush(connection, NOW + 601)
    m.flush(connection, NOW + 601 + TICK)
    m.flush(connection, NOW + 900)
    assert len(queued_for(connection)) == 2
    assert note(connection) == "Reminder: acknowledged by ann, and still firing."


def test_what_is_somebody_s_by_configuration_wakes_nobody(connection: sa.Connection) -> None:
    m = manager(acknowledge=[{"match": {"alertname": "TransferOverdue"}, "by": "bob", "lasts": "20s"}])
    m.apply(connection, [fires()], NOW)
    assert queued_for(connection) == []
    m.flush(connection, NOW + 20)
    m.flush(connection, NOW + 2 * TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]


MAINTENANCE: dict[str, Any] = {
    "intervals": {"early": {"times": ["00:00-02:00"]}, "late": {"times": ["02:00-03:00"]}},
    "acknowledge": [{"match": {"transfer": "0x01"}, "by": "bob", "during": ["early", "late"]}],
}
MIDNIGHT = float(T0 - T0 % 86_400)
HOUR = 3600.0


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_somebody_s_during_an_interval_is_nobody_s_after_it(
    connection: sa.Connection, restarted: bool
) -> None:
    m = manager(**MAINTENANCE)
    at = MIDNIGHT + HOUR
    m.apply(connection, [fires("0x01", severity="P0", at=int(at))], at)
    end = MIDNIGHT + 3 * HOUR
    m.flush(connection, end - 1)
    assert queued_for(connection) == [], "one interval ends as the next begins"
    m = manager(**MAINTENANCE) if restarted else m
    due = m.flush(connection, end)
    assert due is not None
    m.flush(connection, due)
    assert queued_for(connection) == [[("firing", "0x01")]]
    assert note(connection) == ""
    assert [k for k in kinds(connection) if "acknowledged" in k] == ["acknowledged", "unacknowledged"]


def test_a_shorter_time_ends_what_is_somebody_s_during_an_interval(connection: sa.Connection) -> None:
    rule = {**MAINTENANCE["acknowledge"][0], "lasts": "10m"}
    m = manager(**MAINTENANCE | {"acknowledge": [rule]})
    m.apply(connection, [fires("0x01")], MIDNIGHT)
    m.flush(connection, MIDNIGHT + 600)
    m.flush(connection, MIDNIGHT + 600 + TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_what_is_somebody_s_by_configuration_follows_a_change_of_it(connection: sa.Connection) -> None:
    m = manager(**MAINTENANCE)
    m.apply(connection, [fires("0x01")], MIDNIGHT)
    same = manager(**MAINTENANCE)
    same.reroute(connection, MIDNIGHT + 60, reloaded=True)
    assert queued_for(connection) == []
    intervals = {"early": {"times": ["00:00-01:00"]}, "late": {"times": ["02:00-03:00"]}}
    shorter = manager(**MAINTENANCE | {"intervals": intervals})
    shorter.reroute(connection, MIDNIGHT + 120, reloaded=True)
    shorter.flush(connection, MIDNIGHT + HOUR)
    shorter.flush(connection, MIDNIGHT + HOUR + TICK)
    assert queued_for(connection) == [[("firing", "0x01")]]
    m.apply(connection, [fires("0x01", severity="P0")], MIDNIGHT + HOUR + 60)
    gone = manager()
    gone.reroute(connection, MIDNIGHT + HOUR + 61, reloaded=True)
    gone.flush(connection, MIDNIGHT + HOUR + 61 + TICK)
    assert ("firing", "P0") in severities(connection)
