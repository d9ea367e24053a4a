"""What must hold for a while, is kept firing or flaps, over a real database: what is sent when."""

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement
from chainwatch.alerting.delivery.notification import load
from chainwatch.model import Signal
from chainwatch.store.alerting import (
    acknowledgements,
    alerts,
    history,
    incidents,
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


def test_a_condition_must_hold_for_its_time_before_it_is_reported(connection: sa.Connection) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "TransferOverdue"}, "for": "60s"}])
    assert m.apply(connection, [fires()], NOW) == NOW + 60
    assert [a.state for a in alerts.list_alerts(connection)] == ["pending"]
    m.flush(connection, NOW + 60)
    assert queued_for(connection) == [[("firing", "0x01")]]
    assert kinds(connection) == ["pending", "firing"]


def test_a_condition_that_did_not_hold_for_its_time_is_reported_to_nobody(connection: sa.Connection) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "TransferOverdue"}, "for": "60s"}])
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends(until=T0 + 30)], NOW + 30)
    m.flush(connection, NOW + 100)
    assert queued_for(connection) == []
    assert [a.state for a in alerts.list_alerts(connection)] == ["resolved"]


def test_an_alert_is_kept_firing_until_its_condition_has_been_gone_for_a_while(
    connection: sa.Connection,
) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "TransferOverdue"}, "keep_firing_for": "60s"}])
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends(until=T0 + 30)], NOW + 30)
    m.apply(connection, [fires()], NOW + 40)
    m.apply(connection, [ends(until=T0 + 50)], NOW + 50)
    m.flush(connection, NOW + 109)
    assert queued_for(connection) == [[("firing", "0x01")]]
    m.flush(connection, NOW + 110)
    m.flush(connection, NOW + 125)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]
    (alert,) = alerts.list_alerts(connection)
    assert (alert.ends_at, alert.reason) == (T0 + 50, "late")
    assert history.repeats(connection, [alert.id]) == {alert.id: 1}


def test_an_alert_that_was_kept_firing_has_fired_since_its_first_start(connection: sa.Connection) -> None:
    m = manager(lifecycle=[{"match": {"alertname": "DiskFull"}, "keep_firing_for": "60s"}])
    one = {"alertname": "DiskFull", "severity": "P1"}
    m.apply(connection, [Signal(one, T0)], NOW)
    m.apply(connection, [Signal(one, T0, {}, T0 + 30, "gone")], NOW + 30)
    m.apply(connection, [Signal(one, T0 + 40)], NOW + 40)
    (alert,) = alerts.list_alerts(connection)
    assert (alert.state, alert.starts_at) == ("firing", T0)


def test_an_alert_that_flaps_is_held_as_firing_until_it_is_steady(connection: sa.Connection) -> None:
    m = manager(alerts={"flapping_changes": 4, "flapping_within": "10m"})
    one = {"alertname": "DiskFull", "severity": "P1"}
    for turn in range(4):
        m.apply(connection, [Signal(one, T0 + 20 * turn)], NOW + 20 * turn)
        m.apply(
            connection, [Signal(one, T0 + 20 * turn, {}, T0 + 20 * turn + 10, "gone")], NOW + 20 * turn + 10
        )
    newest, first = alerts.list_alerts(connection)
    assert (first.state, newest.state) == ("resolved", "firing")
    assert "4 changes within 10m" in newest.annotations["flapping"]
    m.flush(connection, NOW + 70 + 600)
    assert alerts.list_alerts(connection)[0].reason == "steady again"


def test_the_end_by_a_reorg_of_an_alert_that_flaps_is_not_held(connection: sa.Connection) -> None:
    m = manager(alerts={"flapping_changes": 4, "flapping_within": "10m"})
    one = {"alertname": "InvariantViolated", "severity": "P0"}
    states = []
    for turn, reason in enumerate(["reorg", "reorg", "reorg", "holds again", "reorg"]):
        at = 20 * turn
        m.apply(connection, [Signal(one, T0 + at)], NOW + at)
        m.apply(connection, [Signal(one, T0 + at, {}, T0 + at + 10, reason)], NOW + at + 10)
        states.append(alerts.list_alerts(connection)[0].state)
    assert states == ["resolved"] * 3 + ["firing", "resolved"]


def test_who_was_reported_of_an_alert_hears_once_that_it_flaps(connection: sa.Connection) -> None:
    m = manager(alerts={"flapping_changes": 4, "flapping_within": "10m"})
    one = {"alertname": "DiskFull", "severity": "P1"}
    for at in range(0, 300, 60):
        m.apply(connection, [Signal(one, T0 + at)], NOW + at)
        m.flush(connection, NOW + at + TICK)
        m.apply(connection, [Signal(one, T0 + at, {}, T0 + at + 30, "gone")], NOW + at + 30)
        m.flush(connection, NOW + at + 30 + TICK)
    fires_, ends_ = ("firing", "P1"), ("resolved", "P1")
    assert severities(connection) == [fires_, ends_, fires_, fires_], "the last says that it flaps"
    assert alerts.list_alerts(connection)[0].annotations["flapping"]
    m.flush(connection, NOW + 300 + 600)
    m.flush(connection, NOW + 300 + 600 + TICK)
    assert severities(connection)[4:] == [ends_]


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_condition_that_comes_and_goes_is_counted_on_while_it_flaps(
    connection: sa.Connection, acknowledged: bool
) -> None:
    m = manager(
        route(match={"severity": "P3"}, digest="daily 09:00 UTC"),
        route("pager", match={"severity": "P2"}, group_interval="1s"),
        escalate_after={"within": "15m", "occurrences": {"P3": 5}},
    )
    one = {"alertname": "Noise", "severity": "P3"}
    for turn in range(5):
        at = 60 * turn
        if turn == 4:
            assert outbox.list_notifications(connection, receiver="pager") == []
            (alert, *_) = alerts.firing(connection)
            assert "flapping" in alert.annotations
            if acknowledged:
                save = Acknowledgement(alert.id, "ann", NOW + at, "", None, "P3", NOW + at)
                acknowledgements.save(connection, [save])
        m.apply(connection, [Signal(one, T0 + at)], NOW + at)
        m.flush(connection, NOW + at + 1)
        m.flush(connection, NOW + at + 3)
        if turn < 4:
            m.apply(connection, [Signal(one, T0 + at, {}, T0 + at + 30, "gone")], NOW + at + 30)
    assert incidents.rises(connection, [alert.id]) == {alert.id: "P2"}
    assert acknowledgements.every(connection) == [], "at a higher severity it is nobody's"
    queued = outbox.list_notifications(connection, receiver="pager")
    (received,) = load(connection, queued[0]).alerts
    assert (received.status, received.annotations["escalated_to"]) == ("firing", "P2")


def test_what_is_sent_again_while_it_fires_is_not_counted(connection: sa.Connection) -> None:
    m = manager(
        route(match={"severity": "P3"}),
        route("pager", match={"severity": "P2"}),
        escalate_after={"within": "15m", "occurrences": {"P3": 5}},
    )
    one = {"alertname": "Noise", "severity": "P3"}
    for turn in range(20):
        m.apply(connection, [Signal(one, T0, {"turn": str(turn)})], NOW + turn)
    assert outbox.list_notifications(connection, receiver="pager") == []
