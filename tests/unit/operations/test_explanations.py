"""Why each receiver was notified of an alert, or was not."""

from __future__ import annotations

import pytest

from chainwatch.operations import alert_actions, explanations, notifications, routing, silencing
from chainwatch.operations.context import Access
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.operations.explanations import ReceiverView
from chainwatch.store.alerting import outbox
from tests.support.operating import end_alert, flush, raise_alert
from tests.unit.operations.conftest import T0, Clock


def receivers(access: Access, alert_id: int = 1) -> dict[str, ReceiverView]:
    return {row.receiver: row for row in access.read(explanations.explain, alert_id).receivers}


def settle(access: Access, status: str) -> None:
    """The newest notification becomes dead, delivered or failed once."""
    with access.database.transaction() as connection:
        newest = outbox.list_notifications(connection)[0]
        if status == "delivered":
            outbox.mark_delivered(connection, [(newest.id, T0 + 1)])
        elif status == "dead":
            outbox.mark_dead(connection, newest, "refused", T0 + 1)
        else:
            outbox.mark_failed(connection, newest, "refused", T0 + 60)


def test_a_receiver_that_no_route_names_is_told_apart_from_one_that_waits(access: Access) -> None:
    raise_alert(access)
    rows = receivers(access)
    assert (rows["ops"].why, rows["ops"].notified) == ("it is in the queue", False)
    assert [(one.says, one.status) for one in rows["ops"].notifications] == [("firing", "pending")]
    assert "does not name this receiver" in rows["phone"].why
    assert (rows["phone"].route, rows["phone"].notifications) == (None, [])


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("delivered", "it was delivered"),
        ("dead", "given up after 1 attempts: refused"),
        ("failed", "1 attempts failed, it is retried: refused"),
    ],
)
def test_the_last_attempt_is_the_reason(access: Access, status: str, why: str) -> None:
    raise_alert(access)
    settle(access, status)
    assert receivers(access)["ops"].why == why
    assert receivers(access)["ops"].notified == (status == "delivered")


def test_a_dropped_notification_is_reported_as_dropped(access: Access) -> None:
    raise_alert(access)
    access.write(notifications.drop, [1])
    assert receivers(access)["ops"].why == "a person dropped the notification"


def test_a_group_that_waits_says_when_it_is_flushed(access: Access) -> None:
    raise_alert(access, severity="P2")
    ops = receivers(access)["ops"]
    assert (ops.why, ops.next_look_at) == ("its group is flushed in 30s", T0 + 30)


def test_a_silence_is_named_with_how_long_it_held_the_alert_back(access: Access, clock: Clock) -> None:
    access.write(silencing.add_silence, {"alertname": "Late"}, "anna", "upgrade")
    raise_alert(access)
    clock.now += 600
    ops = receivers(access)["ops"]
    assert ops.why == "silenced: by silence 1 of anna: upgrade, for 10m by now"
    assert ops.held_now is not None
    assert (ops.held_now.why, ops.held[0].since, ops.held[0].until) == ("silenced", T0, None)

    access.write(silencing.expire_silences, [1])
    flush(access)
    ops = receivers(access)["ops"]
    assert ops.why.startswith("it is in the queue; before that it was held back: silenced: by silence 1")
    assert (ops.held[0].until, ops.held_now) == (T0 + 600, None)


def test_an_alert_resolved_while_it_was_silenced_was_never_sent(access: Access, clock: Clock) -> None:
    access.write(silencing.add_silence, {"alertname": "Late"})
    raise_alert(access)
    clock.now += 60
    end_alert(access)
    clock.now += 300
    flush(access)
    ops = receivers(access)["ops"]
    assert ops.why.startswith("it was resolved before it could be sent: silenced: by silence 1")
    assert ops.held[0].missed


def test_an_escalation_notifies_and_is_listed_until_somebody_acknowledges(
    access: Access, clock: Clock
) -> None:
    raise_alert(access)
    clock.now += 300
    flush(access)
    found = access.read(explanations.explain, 1)
    assert receivers(access)["phone"].why.startswith("escalation, step 1: oncall:primary (anna): ")
    assert [one.kind for one in found.escalation][:2] == ["started", "step"]

    access.write(alert_actions.acknowledge, [1], "anna")
    assert [one.kind for one in access.read(explanations.explain, 1).history][-1] == "acknowledged"


def test_an_alert_that_no_route_matches_goes_nowhere(access: Access) -> None:
    raise_alert(access, severity="P3")
    assert {row.why for row in receivers(access).values()} == {"no route matches it"}


def test_an_alert_that_is_not_there_cannot_be_explained(access: Access) -> None:
    with pytest.raises(NotFound, match="no alert has the ID 7"):
        access.read(explanations.explain, 7)


def trace_routes_are_tested_with_the_labels_that_an_alert_needs(access: Access) -> None:
    settings = access.context.settings
    assert routing.trace_routes(settings, {"severity": "high"}).receivers == ["ops"]
    taken = [route.takes for route in routing.trace_routes(settings, {"team": "x"}).routes]
    assert taken == [False, True]
    assert not any(route.takes for route in routing.trace_routes(settings, {}).routes)
    with pytest.raises(Invalid, match="severity"):
        routing.trace_routes(settings, {"severity": "P9"})
