"""Signals to notifications, over a real database."""

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.alerting.engine.manager import AlertManager
from chainwatch.config import RouteSettings
from chainwatch.store.alerting import alert_groups, history, outbox
from chainwatch.store.alerting import alerts as stored
from chainwatch.support.bounds import ANNOTATION_MAX, LABEL_MAX, cut
from tests.unit.alerting.helpers import T0, ends, fires, queued_for, route

NOW = float(T0)


def _manager(*routes: RouteSettings, notify_since: int = 0, **send_resolved: bool) -> AlertManager:
    return AlertManager(routes or (route(),), send_resolved or {"ops": True}, notify_since)


def test_without_group_wait_an_alert_is_reported_in_the_transaction_of_its_signal(
    connection: sa.Connection,
) -> None:
    _manager().apply(connection, [fires()], NOW)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_a_group_waits_for_more_alerts_before_it_is_first_reported(connection: sa.Connection) -> None:
    manager = _manager(route(group_wait="5s"))
    assert manager.apply(connection, [fires("a")], NOW) == NOW + 5
    assert manager.apply(connection, [fires("b")], NOW + 3) == NOW + 5
    assert queued_for(connection) == []
    manager.flush(connection, NOW + 5)
    assert queued_for(connection) == [[("firing", "a"), ("firing", "b")]]


def test_later_changes_wait_for_the_group_interval_and_come_with_all_that_fires(
    connection: sa.Connection,
) -> None:
    manager = _manager()
    manager.apply(connection, [fires("a")], NOW)
    assert manager.apply(connection, [fires("b")], NOW + 2) == NOW + 15
    manager.apply(connection, [ends("a")], NOW + 3)
    manager.flush(connection, NOW + 15)
    assert queued_for(connection)[1:] == [[("firing", "b"), ("resolved", "a")]]


def test_a_chains_line_ends_in_what_chainwatch_says_become_no_lines(connection: sa.Connection) -> None:
    said = {"summary": "a\n P0  FIRING X", "description": "b\r\namount: 1", "note": "1\n2"}
    _manager().apply(connection, [msgspec.structs.replace(fires(), annotations=said)], NOW)
    (alert,) = stored.list_alerts(connection)
    assert alert.annotations == {
        "summary": r"a\n P0  FIRING X",
        "description": r"b\r\namount: 1",
        "note": "1\n2",
    }


def test_groups_are_reported_apart_by_their_labels(connection: sa.Connection) -> None:
    manager = _manager(route(group_by=["destination"]))
    signals = [fires("a", destination="x"), fires("b", destination="y"), fires("c", destination="x")]
    manager.apply(connection, signals, NOW)
    assert sorted(queued_for(connection)) == [[("firing", "a"), ("firing", "c")], [("firing", "b")]]


def test_what_still_fires_is_reported_again_after_the_repeat_interval(connection: sa.Connection) -> None:
    manager = _manager(route(repeat_interval="60s"))
    assert manager.apply(connection, [fires()], NOW) == NOW + 60
    assert manager.flush(connection, NOW + 60) == NOW + 120
    assert queued_for(connection) == [[("firing", "0x01")]] * 2


def test_an_alert_that_ends_before_its_group_is_reported_is_reported_to_nobody(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_wait="5s"))
    manager.apply(connection, [fires()], NOW)
    manager.apply(connection, [ends()], NOW + 1)
    manager.flush(connection, NOW + 5)
    assert queued_for(connection) == []
    (alert,) = stored.list_alerts(connection)
    said = [one for one in history.of(connection, alert) if one.kind == "not notified"]
    assert [(one.cause, one.receiver) for one in said] == [("over before its group was looked at", "ops")]


def test_of_an_alert_that_comes_and_goes_beside_others_the_end_is_reported_as_alertmanager_does(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_interval="15s"))
    manager.apply(connection, [fires("a")], NOW)
    manager.apply(connection, [fires("b")], NOW + 1)
    manager.apply(connection, [ends("b")], NOW + 2)
    manager.flush(connection, NOW + 15)
    assert queued_for(connection)[1:] == [[("firing", "a"), ("resolved", "b")]]
    manager.apply(connection, [fires("b", at=T0 + 16)], NOW + 16)
    manager.apply(connection, [ends("b", at=T0 + 16, until=T0 + 17)], NOW + 17)
    manager.flush(connection, NOW + 30)
    assert len(queued_for(connection)) == 2, "what comes and goes again is no news"
    manager.apply(connection, [fires("c")], NOW + 31)
    manager.flush(connection, NOW + 45)
    assert queued_for(connection)[2:] == [[("firing", "c"), ("firing", "a")]]


def test_of_an_alert_that_comes_and_goes_within_the_group_wait_the_end_is_reported_beside_others(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_wait="5s"))
    manager.apply(connection, [fires("a"), fires("b")], NOW)
    manager.apply(connection, [ends("b")], NOW + 1)
    manager.flush(connection, NOW + 5)
    assert queued_for(connection) == [[("firing", "a"), ("resolved", "b")]]


def test_of_what_comes_and_goes_alone_or_fires_again_nothing_is_reported(connection: sa.Connection) -> None:
    manager = _manager(route(group_interval="15s"), route("pager"), ops=True, pager=True)
    manager.apply(connection, [fires("a")], NOW)
    manager.apply(connection, [ends("a")], NOW + 1)
    manager.flush(connection, NOW + 15)
    manager.apply(connection, [fires("b", at=T0 + 16)], NOW + 16)
    manager.apply(connection, [ends("b", at=T0 + 16, until=T0 + 17)], NOW + 17)
    manager.flush(connection, NOW + 30)
    assert queued_for(connection)[1:] == [[("resolved", "a")]]
    manager.apply(connection, [fires("c", at=T0 + 31)], NOW + 31)
    manager.apply(connection, [ends("c", at=T0 + 31, until=T0 + 32)], NOW + 32)
    manager.apply(connection, [fires("c", at=T0 + 33)], NOW + 33)
    manager.flush(connection, NOW + 60)
    assert queued_for(connection)[2:] == [[("firing", "c")]]


def test_a_receiver_that_hears_of_no_ends_hears_nothing_of_what_comes_and_goes(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_interval="15s"), ops=False)
    manager.apply(connection, [fires("a")], NOW)
    manager.apply(connection, [fires("b")], NOW + 1)
    manager.apply(connection, [ends("b")], NOW + 2)
    manager.flush(connection, NOW + 15)
    assert queued_for(connection) == [[("firing", "a")]]


def test_a_group_that_fires_again_soon_keeps_its_ticks(connection: sa.Connection) -> None:
    manager = _manager(route(group_wait="1s", group_interval="10s"))
    manager.apply(connection, [fires()], NOW)
    manager.apply(connection, [ends()], NOW + 0.5)
    manager.flush(connection, NOW + 1)
    assert manager.apply(connection, [fires(at=T0 + 2)], NOW + 2) == NOW + 11
    manager.flush(connection, NOW + 11)
    assert queued_for(connection) == [[("firing", "0x01")]]


@pytest.mark.parametrize("sends_ends", [True, False])
def test_a_group_keeps_its_ticks_whether_its_receiver_hears_of_ends_or_not(
    connection: sa.Connection, sends_ends: bool
) -> None:
    manager = _manager(route(group_wait="1s", group_interval="10s"), ops=sends_ends)
    manager.apply(connection, [fires("a")], NOW)
    manager.flush(connection, NOW + 1)
    manager.apply(connection, [ends("a")], NOW + 2)
    manager.flush(connection, NOW + 11)
    assert manager.apply(connection, [fires("b", at=T0 + 13)], NOW + 13) == NOW + 21


@pytest.mark.parametrize("at_once", [True, False])
def test_an_alert_that_came_and_went_unseen_is_reported_if_it_would_have_been_s2(
    connection: sa.Connection, at_once: bool
) -> None:
    """In one batch of the blocks that were missed, or in two."""
    manager = _manager(route(group_wait="5s"))
    later = NOW + 100
    if at_once:
        manager.apply(connection, [ends("long", until=T0 + 60), ends("short", until=T0 + 4)], later)
    else:
        manager.apply(connection, [fires("long"), fires("short")], later)
        manager.apply(connection, [ends("long", until=T0 + 60), ends("short", until=T0 + 4)], later + 1)
    manager.flush(connection, later + 5)
    assert queued_for(connection) == [[("firing", "long"), ("resolved", "long")]]


def test_one_batch_may_end_an_episode_and_begin_the_next(connection: sa.Connection) -> None:
    manager = _manager()
    manager.apply(connection, [fires()], NOW)
    manager.apply(connection, [ends(), fires(at=T0 + 90)], NOW + 1)
    manager.flush(connection, NOW + 15)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01"), ("firing", "0x01")]]
    assert [a.state for a in stored.list_alerts(connection)] == ["firing", "resolved"]


def test_what_ended_before_the_watching_began_is_recorded_and_reported_to_nobody(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_wait="5s"), notify_since=T0)
    manager.apply(connection, [ends("a", at=T0 - 90, until=T0), fires("b", at=T0 - 90)], NOW)
    manager.apply(connection, [ends("b", at=T0 - 90, until=T0 - 9)], NOW + 1)
    manager.flush(connection, NOW + 5)
    assert queued_for(connection) == []
    assert {a.audience for a in stored.list_alerts(connection)} == {"quiet"}


def test_whoever_was_reported_firing_is_reported_resolved_though_it_ended_before_the_watching_began(
    connection: sa.Connection,
) -> None:
    manager = _manager(notify_since=T0)
    manager.apply(connection, [fires(at=T0 - 90)], NOW)
    manager.apply(connection, [ends(at=T0 - 90, until=T0 - 9)], NOW + 20)
    manager.flush(connection, NOW + 30)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]


def test_replayed_signals_report_nobody_anything_new_s3(connection: sa.Connection) -> None:
    manager = _manager()
    for _ in range(3):
        manager.apply(connection, [fires(), fires()], NOW)
    for _ in range(3):
        manager.apply(connection, [ends(), ends()], NOW + 20)
    manager.flush(connection, NOW + 1000)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]


def test_an_alert_without_a_route_is_stored_and_counted(connection: sa.Connection) -> None:
    _manager(route(match={"severity": "P0"})).apply(connection, [fires()], NOW)
    assert stored.counts(connection) == [stored.Count("firing", "P1", "unrouted", 1)]
    assert queued_for(connection) == []


def test_a_watchdog_without_a_route_is_no_fault(connection: sa.Connection) -> None:
    _manager().apply(connection, [fires(name="Watchdog")], NOW)
    assert stored.counts(connection) == [stored.Count("firing", "P1", "quiet", 1)]


def test_a_receiver_may_hear_of_no_ends(connection: sa.Connection) -> None:
    manager = _manager(route("ops", "pager"), ops=True, pager=False)
    manager.apply(connection, [fires()], NOW)
    manager.apply(connection, [ends()], NOW + 1)
    manager.flush(connection, NOW + 15)
    assert queued_for(connection, "ops") == [[("firing", "0x01")], [("resolved", "0x01")]]
    assert queued_for(connection, "pager") == [[("firing", "0x01")]]


def test_a_route_may_say_otherwise_than_its_receiver_about_ends(connection: sa.Connection) -> None:
    manager = _manager(route(send_resolved=False))
    manager.apply(connection, [fires()], NOW)
    manager.apply(connection, [ends()], NOW + 1)
    manager.flush(connection, NOW + 15)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_nothing_stays_of_a_group_when_all_is_reported(connection: sa.Connection) -> None:
    manager = _manager()
    manager.apply(connection, [fires()], NOW)
    manager.apply(connection, [ends()], NOW + 1)
    assert manager.flush(connection, NOW + 15) == NOW + 45
    assert manager.flush(connection, NOW + 45) is None
    for table in ("alert_groups", "alert_members"):
        assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_after_a_change_of_routes_firing_alerts_reach_their_new_receivers(connection: sa.Connection) -> None:
    _manager(route("old", match={"severity": "P1"})).apply(connection, [fires()], NOW)
    changed = _manager(route("new"))
    changed.reroute(connection, NOW + 1)
    changed.apply(connection, [ends()], NOW + 20)
    changed.flush(connection, NOW + 1000)
    for receiver in ("old", "new"):
        assert queued_for(connection, receiver) == [[("firing", "0x01")], [("resolved", "0x01")]]


@pytest.mark.parametrize("group_by", [["alertname"], ["..."]])
def test_a_route_that_changes_its_match_reports_its_receiver_nothing_twice(
    connection: sa.Connection, group_by: list[str]
) -> None:
    first = _manager(route(match={"severity": "P1"}, group_interval="10s", repeat_interval="60s"))
    first.apply(connection, [fires("0x01"), fires("0x02")], NOW)
    changed = _manager(route(group_by=group_by, group_interval="10s", repeat_interval="60s"))
    changed.reroute(connection, NOW + 1)
    for tick in range(10, 60, 10):
        changed.flush(connection, NOW + tick)
    assert queued_for(connection) == [[("firing", "0x01"), ("firing", "0x02")]]
    changed.flush(connection, NOW + 60)  # the repeat counts from what was sent
    repeats = [alert for message in queued_for(connection)[1:] for alert in message]
    assert repeats == [("firing", "0x01"), ("firing", "0x02")]
    changed.apply(connection, [ends("0x01"), ends("0x02")], NOW + 61)
    changed.flush(connection, NOW + 80)
    over = [alert for message in queued_for(connection) for alert in message if alert[0] == "resolved"]
    assert over == [("resolved", "0x01"), ("resolved", "0x02")]
    changed.flush(connection, NOW + 1000)
    assert alert_groups.next_flush(connection) is None


def test_what_waits_for_its_group_while_the_match_changes_is_reported_once_and_in_time(
    connection: sa.Connection,
) -> None:
    _manager(route(match={"severity": "P1"}, group_wait="10s")).apply(connection, [fires()], NOW)
    changed = _manager(route(group_wait="10s"))
    changed.reroute(connection, NOW + 8)
    changed.flush(connection, NOW + 9)
    assert queued_for(connection) == []
    changed.flush(connection, NOW + 10)
    changed.flush(connection, NOW + 1000)
    assert queued_for(connection) == [[("firing", "0x01")]]


@pytest.mark.parametrize(
    ("interval", "repeat", "every"), [(0.2, 0.001, 0.2), (0.3, 0.9, 0.9), (0.7, 4.9, 4.9), (0.7, 1.0, 1.4)]
)
def test_repeats_come_on_the_first_tick_after_their_time_however_short(
    connection: sa.Connection, interval: float, repeat: float, every: float
) -> None:
    m = _manager(route(group_interval=f"{interval * 1000:.0f}ms", repeat_interval=f"{repeat * 1000:.0f}ms"))
    now = NOW + 0.123
    due = m.apply(connection, [fires()], now)
    while due is not None and due < now + 5 * every - interval / 2:
        due = m.flush(connection, due)
    assert len(queued_for(connection)) == 5


def test_a_receiver_that_a_route_names_no_more_hears_of_the_end_of_what_it_was_reported_and_of_nothing_else(
    connection: sa.Connection,
) -> None:
    settings = {"group_wait": "5s", "group_interval": "10s", "repeat_interval": "60s"}
    first = _manager(route("ops", "pager", **settings), ops=True, pager=True)
    first.apply(connection, [fires("a")], NOW)
    first.flush(connection, NOW + 5)
    first.apply(connection, [fires("b"), fires("c", name="Other")], NOW + 6)
    changed = _manager(route("ops", **settings), ops=True, pager=True)
    changed.reroute(connection, NOW + 7, reloaded=True)
    for second in range(8, 400):
        changed.flush(connection, NOW + second)
    assert queued_for(connection, "pager") == [[("firing", "a")]]
    assert len(queued_for(connection, "ops")) > 5
    changed.apply(connection, [ends("a"), ends("b")], NOW + 400)
    changed.flush(connection, NOW + 1000)
    assert queued_for(connection, "pager") == [[("firing", "a")], [("resolved", "a")]]


def test_a_route_that_is_gone_repeats_nothing(connection: sa.Connection) -> None:
    _manager(route(match={"severity": "P1"}, repeat_interval="60s")).apply(connection, [fires()], NOW)
    _manager(route("new")).flush(connection, NOW + 100_000)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_alerts_that_had_no_route_are_reported_once_they_have_one(connection: sa.Connection) -> None:
    _manager(route(match={"severity": "P0"})).apply(connection, [fires()], NOW)
    _manager().reroute(connection, NOW + 1)
    assert queued_for(connection) == [[("firing", "0x01")]]
    assert stored.counts(connection) == [stored.Count("firing", "P1", "routed", 1)]


def test_an_alert_about_a_receiver_that_is_gone_ends(connection: sa.Connection) -> None:
    failing = fires(name="ReceiverFailing", receiver="gone")
    _manager().apply(connection, [failing], NOW)
    _manager().reroute(connection, NOW + 1)
    (alert,) = stored.list_alerts(connection)
    assert (alert.state, alert.reason) == ("resolved", "receiver removed")


def test_rerouting_changes_nothing_when_the_routes_are_the_same(connection: sa.Connection) -> None:
    manager = _manager()
    manager.apply(connection, [fires()], NOW)
    manager.reroute(connection, NOW + 100)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_a_storm_of_ten_thousand_is_one_notification_and_a_few_statements(connection: sa.Connection) -> None:
    statements = []
    sa.event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
    _manager().apply(connection, [fires(f"{n:#x}") for n in range(10_000)], NOW)
    assert len(statements) < 50
    (queued,) = outbox.list_notifications(connection)
    assert len(queued.payload.firing) == 10_000
    assert len(msgspec.msgpack.encode(queued.payload)) < 50_000


def test_labels_that_cannot_be_routed_are_an_error_that_changes_nothing(connection: sa.Connection) -> None:
    with pytest.raises(ValueError, match="severity"):
        _manager().apply(connection, [fires(), fires(severity="urgent")], NOW)
    assert stored.list_alerts(connection) == []


def test_an_alert_about_a_key_of_any_size_ends_as_it_began(connection: sa.Connection) -> None:
    manager = _manager(route(match={"transfer": "=~(k+)+1.*"}, group_by=["..."]))
    key = "k" * 99_000 + "1"
    manager.apply(connection, [fires(key), fires("k" * 99_000 + "2")], NOW)
    manager.apply(connection, [ends(key)], NOW + 60)
    (ended,) = [a for a in stored.list_alerts(connection) if a.state == "resolved"]
    assert ended.labels["transfer"] == cut(key, LABEL_MAX)
    assert ended.annotations["transfer_whole"] == cut(key, ANNOTATION_MAX)
    assert len(stored.list_alerts(connection, state="firing")) == 1
