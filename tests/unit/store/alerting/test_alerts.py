"""Alerts and their groups as rows, on both databases."""

from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Group
from chainwatch.store.alerting import alert_groups, alerts, outbox
from tests.support.storing import transaction_on


@pytest.fixture
def connection(database_url: str) -> Iterator[sa.Connection]:
    with transaction_on(database_url) as connection:
        yield connection


def _alert(alert_id: int, *, fingerprint: str = "", ended: int | None = None, at: int = 100) -> Alert:
    return Alert(
        id=alert_id,
        fingerprint=fingerprint or f"f{alert_id}",
        labels={"alertname": "X", "severity": "P1", "transfer": 'ü"0x'},
        annotations={"summary": "why"},
        starts_at=at,
        raised_at=100.25,
        state="firing" if ended is None else "resolved",
        ends_at=ended,
        reason="" if ended is None else "late",
        resolved_at=None if ended is None else ended + 0.5,
    )


def _group(group_id: int, *, flush_at: float = 105.5) -> Group:
    return Group(group_id, f"key{group_id}", "ops", "{}", {"alertname": "X"}, flush_at)


def test_an_alert_comes_back_as_it_was_stored(connection: sa.Connection) -> None:
    stored = [_alert(1), _alert(2, ended=160)]
    alerts.insert(connection, stored)
    assert alerts.by_id(connection, [1, 2, 3]) == {1: stored[0], 2: stored[1]}
    assert alerts.next_id(connection) == 3


def test_the_newest_episode_of_each_fingerprint_is_found(connection: sa.Connection) -> None:
    assert alerts.next_id(connection) == 1
    episodes = [_alert(1, fingerprint="a", ended=150), _alert(2, fingerprint="a"), _alert(3, fingerprint="b")]
    alerts.insert(connection, episodes)
    found = alerts.newest(connection, ["a", "b", "c"])
    assert {key: alert.id for key, alert in found.items()} == {"a": 2, "b": 3}


def test_a_fingerprint_fires_once_at_a_time(connection: sa.Connection) -> None:
    alerts.insert(connection, [_alert(1, fingerprint="a")])
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        alerts.insert(connection, [_alert(2, fingerprint="a")])


def test_an_update_changes_what_may_change(connection: sa.Connection) -> None:
    alerts.insert(connection, [_alert(1), _alert(2)])
    ended = msgspec.structs.replace(_alert(1, ended=160), audience="quiet", annotations={"summary": "new"})
    alerts.update(connection, [ended])
    assert alerts.by_id(connection, [1, 2]) == {1: ended, 2: _alert(2)}


def test_alerts_are_listed_newest_first_by_what_is_asked(connection: sa.Connection) -> None:
    alerts.insert(connection, [_alert(1, at=100), _alert(2, at=300, ended=400), _alert(3, at=200)])

    def listed(**asked: object) -> list[int]:
        return [alert.id for alert in alerts.list_alerts(connection, **asked)]  # type: ignore[arg-type]  # as given

    assert listed() == [2, 3, 1]
    assert listed(state="firing") == [3, 1]
    assert listed(since=200, until=300) == [2, 3]
    assert listed(name="Y") == listed(severities=["P0"]) == []
    assert listed(limit=1) == [2]


def test_all_firing_alerts_are_read_page_by_page(
    connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "IN_LIST_MAX", 2)
    alerts.insert(connection, [_alert(n) for n in range(1, 6)] + [_alert(6, ended=150)])
    assert [alert.id for alert in alerts.firing(connection)] == [1, 2, 3, 4, 5]


def test_counts_are_by_state_severity_and_audience(connection: sa.Connection) -> None:
    alerts.insert(connection, [_alert(1), _alert(2), _alert(3, ended=150)])
    alerts.set_audience(connection, "unrouted", [2])
    assert {(c.state, c.severity, c.audience, c.number) for c in alerts.counts(connection)} == {
        ("firing", "P1", "routed", 1),
        ("firing", "P1", "unrouted", 1),
        ("resolved", "P1", "routed", 1),
    }


def test_old_alerts_are_forgotten_in_steps_but_for_those_still_needed(connection: sa.Connection) -> None:
    alerts.insert(
        connection, [*(_alert(n, ended=100 + n) for n in range(1, 6)), _alert(6), _alert(7, ended=101)]
    )
    alert_groups.insert(connection, [_group(1)])
    alert_groups.join(connection, [(1, 2)])
    assert alerts.prune(connection, before=104.6, limit=2) == 2
    assert alerts.prune(connection, before=104.6, limit=2) == 1
    assert alerts.prune(connection, before=104.6, limit=2) == 0
    assert sorted(alerts.by_id(connection, range(1, 8))) == [2, 5, 6, 7]


def test_alerts_are_kept_while_a_notification_is_not_finished(connection: sa.Connection) -> None:
    alerts.insert(connection, [_alert(1, ended=100), _alert(2)])
    outbox.enqueue(connection, [("ops", "key", outbox.Payload({}, (), (1,)))], now=200.0)
    assert alerts.prune(connection, before=1e9) == 0
    outbox.drop(connection, 201.0, receiver="ops")
    assert alerts.prune(connection, before=1e9) == 1


def test_groups_are_found_by_key_and_by_alert_and_by_time(connection: sa.Connection) -> None:
    groups = [_group(1, flush_at=30.0), _group(2, flush_at=10.0), _group(3, flush_at=20.0)]
    alert_groups.insert(connection, groups)
    alert_groups.join(connection, [(1, 7), (1, 7), (2, 7), (3, 8)])
    assert alert_groups.find(connection, ["key1", "nope"]) == {("key1", "ops"): groups[0]}
    assert [g.id for g in alert_groups.of_alerts(connection, [7])] == [1, 2]
    assert [g.id for g in alert_groups.due(connection, 20.0, 5)] == [2, 3]
    assert alert_groups.next_flush(connection) == 10.0
    assert alert_groups.next_id(connection) == 4


def test_a_group_keeps_its_times_and_goes_when_it_is_over(connection: sa.Connection) -> None:
    alert_groups.insert(connection, [_group(1)])
    after = msgspec.structs.replace(_group(1), flush_at=9.5, flushed_at=8.5, sent_at=7.5)
    alert_groups.update(connection, [after])
    assert alert_groups.find(connection, ["key1"])["key1", "ops"] == after
    alert_groups.delete(connection, [1])
    assert alert_groups.next_flush(connection) is None


def test_members_that_ended_leave_when_reported_and_the_others_count_as_reported(
    connection: sa.Connection,
) -> None:
    alerts.insert(connection, [_alert(1), _alert(2, ended=150), _alert(3)])
    alert_groups.insert(connection, [_group(1), _group(2)])
    alert_groups.join(connection, [(1, 1), (1, 2), (2, 3)])
    assert _notified(connection, [1]) == {1: [(1, "f1", "firing", False), (2, "f2", "resolved", False)]}
    alert_groups.mark_notified(connection, [1])
    assert _notified(connection, [1, 2]) == {1: [(1, "f1", "firing", True)], 2: [(3, "f3", "firing", False)]}


def _notified(connection: sa.Connection, ids: list[int]) -> dict[int, list[tuple[int, str, str, bool]]]:
    found = alert_groups.members(connection, ids)
    return {
        i: [(m.alert_id, m.fingerprint, m.state, m.notified) for m in inside] for i, inside in found.items()
    }
