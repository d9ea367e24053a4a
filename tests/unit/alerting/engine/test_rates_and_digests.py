"""Cooldowns, rate limits and digests, over a real database: what is sent when, and what is recorded."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from chainwatch.alerting.delivery.notification import load
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Policies
from chainwatch.store.alerting import (
    alerts,
    outbox,
)
from chainwatch.store.alerting.alert_tables import rate_windows
from tests.unit.alerting.helpers import NOW, T0, ends, fires, manager, queued_for, route


def test_within_its_cooldown_a_condition_is_recorded_and_not_reported_again(
    connection: sa.Connection,
) -> None:
    m = manager(cooldowns=[{"match": {"alertname": "TransferOverdue"}, "within": "10m"}])
    m.apply(connection, [fires()], NOW)
    m.apply(connection, [ends(until=T0 + 30)], NOW + 30)
    m.apply(connection, [fires(at=T0 + 60)], NOW + 60)
    m.apply(connection, [ends(at=T0 + 60, until=T0 + 90)], NOW + 90)
    m.apply(connection, [fires(at=T0 + 500)], NOW + 500)
    m.flush(connection, NOW + 620)
    assert len(alerts.list_alerts(connection)) == 3
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")], [("firing", "0x01")]]


def test_rate_limits_keep_no_more_sources_than_there_were_in_the_last_minute_s10(
    connection: sa.Connection,
) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 2}})
    for n in range(5):
        m.apply(connection, [fires(f"{n}", flow=f"f{n}")], NOW + 40 * n)
    assert len(queued_for(connection)) == 5
    sources = connection.execute(sa.select(rate_windows.c.source)).scalars()
    assert sorted(sources) == ["f3", "f4"]


def test_what_is_over_the_rate_limit_comes_as_one_summary_and_its_ends_too(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 2}})
    m.apply(connection, [fires(f"{n}", flow="f") for n in range(6)], NOW)
    assert len(queued_for(connection)) == 2
    m.flush(connection, NOW + 60)
    assert len(queued_for(connection)) == 3
    assert len(queued_for(connection)[2]) == 4
    newest = outbox.list_notifications(connection)[0]
    assert newest.payload.kind == "limited"
    m.apply(connection, [ends(f"{n}", flow="f") for n in range(6)], NOW + 100)
    m.flush(connection, NOW + 200)
    assert sorted(len(one) for one in queued_for(connection)[3:]) == [1, 1, 4]


def test_a_summary_of_what_is_over_already_is_one_that_says_both(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 1}})
    m.apply(connection, [fires(f"{n}", flow="f") for n in range(4)], NOW)
    m.apply(connection, [ends("2", until=T0 + 20, flow="f"), ends("3", until=T0 + 20, flow="f")], NOW + 20)
    m.flush(connection, NOW + 60)
    assert queued_for(connection) == [
        [("firing", "0")],
        [("firing", "1"), ("firing", "2"), ("resolved", "2"), ("firing", "3"), ("resolved", "3")],
    ]
    summary = load(connection, outbox.list_notifications(connection)[0])
    assert (summary.kind, summary.status) == ("limited", "firing")
    assert [alert.is_over for alert in summary.alerts] == [False, True, False, True, False]


def test_a_summary_of_a_condition_that_came_twice_is_one_too(connection: sa.Connection) -> None:
    m = manager(route(group_by=["..."]), receiver={"rate_limit": {"P1": 1}})
    m.apply(connection, [fires("0", flow="f"), fires("1", flow="f")], NOW)
    m.apply(connection, [ends("1", until=T0 + 20, flow="f")], NOW + 20)
    m.apply(connection, [fires("1", at=T0 + 30, flow="f")], NOW + 30)
    m.flush(connection, NOW + 60)
    assert queued_for(connection) == [
        [("firing", "0")],
        [("firing", "1"), ("resolved", "1"), ("firing", "1")],
    ]


def test_a_digest_reports_everything_once_a_day(connection: sa.Connection) -> None:
    midnight = T0 - T0 % 86_400
    m = manager(route(digest="daily 09:00 UTC"))
    assert m.apply(connection, [fires("a"), fires("b", name="Other")], midnight) == midnight + 9 * 3600
    m.apply(connection, [ends("b", name="Other")], midnight + 60)
    m.flush(connection, midnight + 9 * 3600)
    assert queued_for(connection) == [[("firing", "a"), ("firing", "b"), ("resolved", "b")]]
    digest = load(connection, outbox.list_notifications(connection)[0])
    assert [(a.labels["transfer"], a.is_over) for a in digest.alerts] == [
        ("a", False),
        ("b", True),
        ("b", False),
    ]
    m.flush(connection, midnight + 33 * 3600)
    assert queued_for(connection)[1:] == [[("firing", "a")]]


@pytest.mark.parametrize(
    ("noon", "nights"),
    [
        ("2026-03-28T12:00:00+01:00", ["03-29T03:00+02:00", "03-30T02:30+02:00", "03-31T02:30+02:00"]),
        ("2026-10-24T12:00:00+02:00", ["10-25T02:30+02:00", "10-26T02:30+01:00", "10-27T02:30+01:00"]),
    ],
    ids=["spring skips its time", "autumn shows it twice"],
)
def test_a_digest_comes_once_in_each_night_though_the_clocks_change(
    connection: sa.Connection, noon: str, nights: list[str]
) -> None:
    start = datetime.fromisoformat(noon).timestamp()
    m = manager(route(digest="daily 02:30 Europe/Berlin"))
    due = m.apply(connection, [fires(at=int(start))], start)
    while due is not None and due < start + 2.7 * 86_400:
        due = m.flush(connection, due)
    zone = ZoneInfo("Europe/Berlin")
    sent = [q.created_at for q in reversed(outbox.list_notifications(connection))]
    assert [datetime.fromtimestamp(at, zone).isoformat(timespec="minutes")[5:] for at in sent] == nights


def test_a_digest_is_sent_empty_when_that_is_asked_for(connection: sa.Connection) -> None:
    midnight = T0 - T0 % 86_400
    m = manager(route(digest="daily 09:00 UTC", digest_empty=True))
    assert m.reroute(connection, midnight) == midnight + 9 * 3600
    m.flush(connection, midnight + 9 * 3600)
    assert queued_for(connection) == [[]]
    assert outbox.list_notifications(connection)[0].payload.kind == "digest"


def test_what_waits_for_the_summary_of_a_rate_limit_is_reported_once_after_a_restart(
    connection: sa.Connection,
) -> None:
    policies = Policies(rate_limits={"ops": {"P1": 1}})
    manager = AlertEngine([route(group_by=["..."])], {"ops": True}, 0, policies)
    manager.apply(connection, [fires("a"), fires("b")], NOW)
    manager.reroute(connection, NOW + 1)
    manager.flush(connection, NOW + 60)
    assert [{t for _, t in message} for message in queued_for(connection)] == [{"a"}, {"b"}]
