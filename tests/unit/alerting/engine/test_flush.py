"""One flush of groups, over a real database: what is queued, what is suppressed, and when the next flush is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Alert, Group
from chainwatch.alerting.engine.flush import flush
from chainwatch.alerting.engine.group_manager import GroupManager
from chainwatch.alerting.policy import rate_limits
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.policy.routing import build_routes
from chainwatch.store.alerting import acknowledgements, alert_groups, alerts, outbox, suppressions
from tests.unit.alerting.helpers import T0, route

NOW = float(T0)
INTERVAL = 15.0


def group_manager(policies: Policies | None = None, **settings: Any) -> GroupManager:
    return GroupManager(build_routes([route(**settings)]), {"ops": True}, policies or Policies())


def store(connection: sa.Connection, *states: str, notified: Sequence[int] = (), **fields: Any) -> Group:
    """A group of alerts in these states, with ids from 1."""
    group = Group(1, "key", "ops", "{}", {}, NOW, **fields)
    alert_groups.insert(connection, [group])
    for number, state in enumerate(states, 1):
        labels = {"alertname": "DiskFull", "severity": "P1", "host": str(number)}
        ends_at = T0 + 5 if state == "resolved" else None
        alert = Alert(
            number,
            fingerprint(labels),
            labels,
            {},
            T0,
            NOW,
            state=state,  # type: ignore[arg-type]  # of those there are
            ends_at=ends_at,
            resolved_at=ends_at,
        )
        alerts.insert(connection, [alert])
        alert_groups.join(connection, [(1, number)])
    alert_groups.set_notified(connection, [(1, number) for number in notified])
    return group


def queued(connection: sa.Connection) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The (firing, resolved) alerts of each notification, in the order of the queue."""
    found = reversed(outbox.list_notifications(connection, receiver="ops"))
    return [(one.payload.firing, one.payload.resolved) for one in found]


def members(connection: sa.Connection) -> dict[int, bool]:
    """The alerts in the group, and whether its receiver was notified of each."""
    return {one.alert_id: one.notified for one in alert_groups.members(connection, [1]).get(1, [])}


def kept(connection: sa.Connection) -> Group | None:
    return alert_groups.find(connection, ["key"]).get(("key", "ops"))


def test_firing_alerts_are_queued_and_count_as_notified(connection: sa.Connection) -> None:
    flush(group_manager(), connection, [store(connection, "firing", "firing")], NOW)
    assert queued(connection) == [((1, 2), ())]
    assert members(connection) == {1: True, 2: True}


def test_a_resolution_is_queued_and_its_alert_leaves_the_group(connection: sa.Connection) -> None:
    flush(group_manager(), connection, [store(connection, "resolved", "firing", notified=[1, 2])], NOW)
    assert queued(connection) == [((2,), (1,))]
    assert members(connection) == {2: True}


def test_a_route_without_resolutions_queues_none(connection: sa.Connection) -> None:
    manager = group_manager(send_resolved=False)
    flush(manager, connection, [store(connection, "resolved", notified=[1])], NOW)
    assert queued(connection) == []
    assert members(connection) == {}


def test_nothing_is_queued_when_nothing_changed_before_the_repeat_interval(connection: sa.Connection) -> None:
    manager = group_manager(repeat_interval="1h")
    group = store(connection, "firing", notified=[1], flushed_at=NOW - INTERVAL, sent_at=NOW - 3599)
    flush(manager, connection, [group], NOW)
    assert queued(connection) == []
    after = kept(connection)
    assert after is not None
    assert after.flush_at == NOW + INTERVAL
    flush(manager, connection, [after], after.flush_at)
    assert queued(connection) == [((1,), ())]


def test_an_alert_that_ended_before_its_groups_flush_is_not_queued_by_itself(
    connection: sa.Connection,
) -> None:
    flush(group_manager(), connection, [store(connection, "resolved")], NOW)
    assert queued(connection) == []
    assert members(connection) == {}


def test_an_alert_that_ended_before_its_groups_flush_is_listed_beside_others(
    connection: sa.Connection,
) -> None:
    flush(group_manager(), connection, [store(connection, "resolved", "firing")], NOW)
    assert queued(connection) == [((2,), (1,))]


def test_an_acknowledged_alert_is_suppressed_until_the_acknowledgement_is_gone(
    connection: sa.Connection,
) -> None:
    group = store(connection, "firing")
    taken = Acknowledgement(1, "ann", NOW, "", None, "P1", NOW)
    acknowledgements.save(connection, [taken])
    flush(group_manager(), connection, [group], NOW)
    assert queued(connection) == []
    assert {key: one.reason for key, one in suppressions.of_groups(connection, [1]).items()} == {
        (1, 1): "acknowledged"
    }
    after = kept(connection)
    assert after is not None
    assert after.flush_at == NOW + INTERVAL, "a group with suppressed members is flushed on every tick"
    acknowledgements.remove(connection, [1])
    flush(group_manager(), connection, [after], NOW + INTERVAL)
    assert queued(connection) == [((1,), ())]
    assert suppressions.of_groups(connection, [1]) == {}


def test_alerts_over_the_rate_limit_move_into_the_summary_of_the_minute(connection: sa.Connection) -> None:
    manager = group_manager(Policies(rate_limits={"ops": {"P1": 1}}))
    first = store(connection, "firing", "firing")
    flush(manager, connection, [first], NOW)
    labels = {"alertname": "DiskFull", "severity": "P1", "host": "3"}
    alerts.insert(connection, [Alert(3, fingerprint(labels), labels, {}, T0, NOW)])
    alert_groups.join(connection, [(1, 3)])
    flush(manager, connection, [first], NOW + INTERVAL)
    assert queued(connection) == [((1, 2), ())]
    assert 3 not in members(connection)
    (summary,) = alert_groups.of_alerts(connection, [3])
    assert (summary.route, summary.flush_at) == (rate_limits.ROUTE, NOW + rate_limits.WINDOW)
    flush(manager, connection, [summary], summary.flush_at)
    assert queued(connection) == [((1, 2), ()), ((3,), ())]


def test_a_digest_lists_everything_once_at_its_time(connection: sa.Connection) -> None:
    manager = group_manager(digest="daily 12:00 UTC")
    group = store(connection, "firing", "resolved")
    flush(manager, connection, [group], NOW)
    assert queued(connection) == [((1, 2), (2,))]
    after = kept(connection)
    assert after is not None
    assert NOW < after.flush_at <= NOW + 86_400


@pytest.mark.parametrize("states", [("resolved",), ()])
def test_a_group_in_which_nothing_is_left_is_deleted_in_the_end(
    connection: sa.Connection, states: tuple[str, ...]
) -> None:
    group: Group | None = store(connection, *states, notified=[1] if states else [])
    now = NOW
    while group is not None:
        flush(group_manager(), connection, [group], now)
        group = kept(connection)
        now = now if group is None else group.flush_at
    assert now <= NOW + 60


def test_several_groups_are_flushed_together(connection: sa.Connection) -> None:
    first = store(connection, "firing")
    second = Group(2, "other", "ops", "{}", {}, NOW)
    alert_groups.insert(connection, [second])
    alert_groups.join(connection, [(2, 1)])
    flush(group_manager(), connection, [first, second], NOW)
    assert queued(connection) == [((1,), ()), ((1,), ())]
