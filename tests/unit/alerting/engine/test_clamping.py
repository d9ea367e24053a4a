"""Times stored by a clock that was an hour ahead delay nothing for longer than the configured wait."""

import pytest
import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement, Escalation, Expiry, Silence
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.policies import Lifecycle, Policies
from chainwatch.config import RouteSettings
from chainwatch.model import Checkpoint, Header
from chainwatch.store import blocks
from chainwatch.store.alerting import acknowledgements as stored_acknowledgements
from chainwatch.store.alerting import (
    alert_groups,
    clamping,
    escalations,
    expiries,
    limits,
    outbox,
    silences,
)
from tests.unit.alerting.helpers import T0, ends, fires, queued_for, route

NOW = float(T0)
WRONG = NOW + 3600


def _manager(*routes: RouteSettings, policies: Policies | None = None) -> AlertEngine:
    return AlertEngine(routes or (route(),), {"ops": True}, 0, policies)


def test_a_group_that_was_to_be_reported_in_an_hour_is_reported_in_its_time(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_wait="5s"))
    manager.apply(connection, [fires()], WRONG)
    assert manager.reroute(connection, NOW) == NOW + 5
    manager.flush(connection, NOW + 5)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_a_group_that_was_reported_later_than_now_reports_changes_after_its_interval(
    connection: sa.Connection,
) -> None:
    manager = _manager(route(group_interval="15s"))
    manager.apply(connection, [fires()], WRONG)
    manager.reroute(connection, NOW)
    manager.apply(connection, [ends(until=T0)], NOW + 1)
    manager.flush(connection, NOW + 16)
    assert queued_for(connection) == [[("firing", "0x01")], [("resolved", "0x01")]]


def test_a_rate_limit_that_began_later_than_now_ends_in_a_minute(connection: sa.Connection) -> None:
    policies = Policies(rate_limits={"ops": {"P1": 1}})
    manager = _manager(route(group_by=["..."]), policies=policies)
    manager.apply(connection, [fires("a"), fires("b")], WRONG)
    manager.reroute(connection, NOW)
    manager.flush(connection, NOW + 60)
    manager.apply(connection, [fires("c")], NOW + 61)
    assert [{t for _, t in message} for message in queued_for(connection)] == [{"a"}, {"b"}, {"c"}]


def test_an_attempt_in_an_hour_is_made_within_a_minute(connection: sa.Connection) -> None:
    manager = _manager()
    manager.apply(connection, [fires()], WRONG)
    (queued,) = outbox.list_notifications(connection)
    outbox.mark_failed(connection, queued, "down", WRONG + 10)
    manager.reroute(connection, NOW)
    (queued,) = outbox.list_notifications(connection)
    assert queued.next_attempt_at <= NOW + 60
    assert (queued.created_at, queued.queued_at) == (NOW, NOW)


def test_a_condition_fires_within_its_lifecycles(connection: sa.Connection) -> None:
    policies = Policies(lifecycles=(Lifecycle(fire_after=30.0),), flapping_within=40.0)
    manager = _manager(policies=policies)
    manager.apply(connection, [fires()], WRONG)
    manager.reroute(connection, NOW)
    manager.flush(connection, NOW + 40)
    assert queued_for(connection) == [[("firing", "0x01")]]


def test_an_escalation_goes_on_with_the_steps_that_it_had_before_it(connection: sa.Connection) -> None:
    escalations.save(
        connection,
        [
            Escalation(1, "{}", 0, 1, WRONG, WRONG + 300),
            Escalation(2, "{}", 0, 1, NOW - 100, WRONG + 30, stopped_at=WRONG),
            Escalation(3, "{}", 0, 1, NOW - 100, NOW + 7200),
        ],
    )
    _manager().reroute(connection, NOW)
    due = {e.incident_id: e.due_at for e in escalations.due(connection, NOW + 1e6, 10)}
    assert due == {1: NOW + 300, 2: NOW + 30, 3: NOW + 7200}


def test_a_reminder_counts_from_now_on(connection: sa.Connection) -> None:
    stored_acknowledgements.save(connection, [Acknowledgement(1, "anna", WRONG, "", None, "P1", WRONG)])
    clamping.past(connection, NOW)
    (one,) = stored_acknowledgements.every(connection)
    assert one.reminded_at == NOW


def test_a_digest_comes_when_its_calendar_says(connection: sa.Connection) -> None:
    manager = _manager(route(digest="daily 22:30 UTC"))
    manager.apply(connection, [fires()], WRONG)
    manager.reroute(connection, NOW)
    assert (alert_groups.next_flush(connection) or 0) <= NOW + 1000


@pytest.mark.parametrize(("seen_until", "after"), [(T0 + 3600, T0 - 30), (T0 + 20, T0 + 20)])
def test_a_network_was_not_seen_past_now(connection: sa.Connection, seen_until: int, after: int) -> None:
    header = Header(7, b"\x01" * 32, b"\x02" * 32, T0 - 30)
    blocks.add_network(connection, 1, 10, Checkpoint("net", header, 0, 0, seen_until))
    clamping.seen(connection, NOW)
    assert blocks.checkpoints(connection)["net"].seen_until == after


def test_a_clock_behind_the_blocks_takes_nothing_back(connection: sa.Connection) -> None:
    header = Header(7, b"\x01" * 32, b"\x02" * 32, T0 + 3600)
    blocks.add_network(connection, 1, 10, Checkpoint("net", header, 0, 0, T0 + 3700))
    clamping.seen(connection, NOW)
    assert blocks.checkpoints(connection)["net"].seen_until == T0 + 3700


OFF = [-3600.0, -600.0, -30.0, 30.0, 600.0, 3600.0]


def _set_right(connection: sa.Connection, manager: AlertEngine, error: float, now: float) -> None:
    """The clock was ahead by ``error`` seconds, and shows ``now`` from now on."""
    manager.follow_clock(connection, -error, now)
    manager.reroute(connection, now)


@pytest.mark.parametrize("error", OFF)
def test_a_clock_that_is_set_right_makes_no_group_wait_longer_or_shorter(
    connection: sa.Connection, error: float
) -> None:
    manager = _manager(route(group_wait="30s", group_interval="1m", repeat_interval="1h"))
    manager.apply(connection, [fires()], NOW + error)
    _set_right(connection, manager, error, NOW + 20)
    manager.flush(connection, NOW + 29)
    assert queued_for(connection) == []
    manager.flush(connection, NOW + 30)
    assert queued_for(connection) == [[("firing", "0x01")]]
    manager.flush(connection, NOW + 90)
    assert len(queued_for(connection)) == 1


@pytest.mark.parametrize("error", OFF)
def test_a_clock_that_is_set_right_changes_no_interval_and_repeats_nothing_early(
    connection: sa.Connection, error: float
) -> None:
    manager = _manager(route(group_interval="1m", repeat_interval="1h"))
    manager.apply(connection, [fires("a")], NOW + error)
    manager.apply(connection, [fires("b")], NOW + error + 10)
    _set_right(connection, manager, error, NOW + 20)
    manager.flush(connection, NOW + 59)
    assert len(queued_for(connection)) == 1, "nothing is sent twice"
    manager.flush(connection, NOW + 60)
    assert len(queued_for(connection)) == 2
    manager.flush(connection, NOW + 3600)
    assert len(queued_for(connection)) == 2
    manager.flush(connection, NOW + 3661)
    assert len(queued_for(connection)) == 3


@pytest.mark.parametrize("error", OFF)
@pytest.mark.parametrize("lifecycle", [Lifecycle(fire_after=60.0), Lifecycle(keep_firing_for=60.0)])
def test_a_clock_that_is_set_right_changes_no_lifecycle(
    connection: sa.Connection, error: float, lifecycle: Lifecycle
) -> None:
    manager = _manager(policies=Policies(lifecycles=(lifecycle,)))
    manager.apply(connection, [fires()], NOW + error)
    if lifecycle.keep_firing_for:
        manager.apply(connection, [ends()], NOW + error)
    before = len(queued_for(connection))
    _set_right(connection, manager, error, NOW + 20)
    manager.flush(connection, NOW + 59)
    assert len(queued_for(connection)) == before
    manager.flush(connection, NOW + 60)
    manager.flush(connection, NOW + 420)  # past the group's interval
    assert len(queued_for(connection)) == before + 1


@pytest.mark.parametrize("error", OFF)
def test_a_clock_that_is_set_right_changes_no_retry_nor_escalation_nor_cooldown(
    connection: sa.Connection, error: float
) -> None:
    manager = _manager()
    wrong = NOW + error
    manager.apply(connection, [fires()], wrong)
    (queued,) = outbox.list_notifications(connection)
    outbox.mark_failed(connection, queued, "down", wrong + 30)
    outbox.pause(connection, "ops", wrong + 30)
    escalations.save(connection, [Escalation(1, "{}", 0, 1, wrong, wrong + 300)])
    limits.record_notified(connection, [("ops", "condition")], wrong)
    _set_right(connection, manager, error, NOW + 20)
    (queued,) = outbox.list_notifications(connection)
    assert (queued.queued_at, queued.next_attempt_at) == (NOW, NOW + 30)
    assert outbox.next_attempts(connection, [queued]) == {queued.id: NOW + 30}
    (escalation,) = escalations.due(connection, NOW + 1e6, 10)
    assert (escalation.started_at, escalation.due_at) == (NOW, NOW + 300)
    assert limits.notified_at(connection, [("ops", "condition")]) == {("ops", "condition"): NOW}


@pytest.mark.parametrize("error", OFF)
def test_a_clock_that_is_set_right_changes_no_acknowledgement_nor_expiry(
    connection: sa.Connection, error: float
) -> None:
    wrong = NOW + error
    taken = Acknowledgement(1, "anna", wrong, "", wrong + 1800, "P1", wrong)
    stored_acknowledgements.save(connection, [taken])
    expiries.save(
        connection, [Expiry("sent", wrong + 300, timeout=True), Expiry("named", NOW + 900, timeout=False)]
    )
    _manager().follow_clock(connection, -error, NOW + 20)
    (one,) = stored_acknowledgements.every(connection)
    assert (one.at, one.reminded_at, one.until) == (NOW, NOW, NOW + 1800)
    found = expiries.find(connection, ["sent", "named"])
    assert (found["sent"].expires_at, found["named"].expires_at) == (NOW + 300, NOW + 900)


@pytest.mark.parametrize("error", [30.0, 600.0, 3600.0])
def test_a_silence_that_had_begun_goes_on_when_the_clock_is_set_back(
    connection: sa.Connection, error: float
) -> None:
    begun = Silence({"alertname": ["a"]}, NOW + error, NOW + error + 7200, "", "", NOW + error)
    planned = Silence({"alertname": ["a"]}, NOW + 86_400, NOW + 90_000, "", "", NOW + error)
    for silence in (begun, planned):
        silences.add(connection, silence)
    _manager().follow_clock(connection, -error, NOW + 5)
    (active,) = silences.active(connection, NOW + 5)
    assert (active.starts_at, active.ends_at) == (NOW, NOW + 7200)
    (later,) = silences.active(connection, NOW + 86_400)
    assert later.ends_at == NOW + 90_000


@pytest.mark.parametrize("error", OFF)
def test_a_digest_goes_by_the_clock_that_is_right(connection: sa.Connection, error: float) -> None:
    manager = _manager(route(digest="daily 22:30 UTC"))
    due = alert_groups_due(NOW)
    manager.apply(connection, [fires()], NOW + error)
    _set_right(connection, manager, error, NOW + 20)
    assert alert_groups.next_flush(connection) == due


def alert_groups_due(now: float) -> float:
    """The next 22:30 UTC."""
    day = now // 86_400 * 86_400
    return day + 22.5 * 3600
