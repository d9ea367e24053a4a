"""What a click in a channel does: the same as the commands, once, for those who may, and to what the message shows."""

from __future__ import annotations

import pytest

from chainwatch.alerting.providers.actions import Action, ActionKind, Answer, button, parse_button
from chainwatch.operations import alert_actions, alert_details, channel_actions, silencing
from chainwatch.operations.context import Access
from chainwatch.operations.views import Changed
from chainwatch.store.alerting import acknowledgements, alerts, outbox, past_notifications, receipts
from chainwatch.store.alerting.outbox import QueuedNotification
from tests.support.operating import end_alert, flush, raise_alert
from tests.unit.alerting.helpers import notification
from tests.unit.operations.conftest import T0, Clock


def deliver(access: Access, receiver: str = "ops") -> QueuedNotification:
    """The newest notification of a receiver, after the channel has taken all of its."""
    flush(access)
    with access.database.transaction() as connection:
        waiting = outbox.list_notifications(connection, receiver=receiver, status="pending")
        outbox.mark_delivered(connection, [(one.id, access.clock()) for one in waiting])
        receipts.save(connection, receiver, [(one.key, {"message": "1"}) for one in waiting], access.clock())
        return outbox.list_notifications(connection, receiver=receiver)[0]


def click(
    access: Access,
    clicked: QueuedNotification,
    kind: ActionKind = "acknowledge",
    *receivers: str,
    actor: str = "ann",
) -> Answer:
    action = Action(kind, clicked.idempotency_key, frozenset(receivers or ("ops",)), actor, "Slack, user U1")
    return access.write(channel_actions.perform_action, action)


def waiting(access: Access, receiver: str = "ops") -> list[QueuedNotification]:
    with access.database.reading() as connection:
        return outbox.list_notifications(connection, receiver=receiver, status="pending")


def acknowledged(access: Access) -> list[tuple[str, str]]:
    """The name of each firing alert and who has acknowledged it."""
    with access.database.reading() as connection:
        names = {one.id: one.name for one in alerts.firing(connection)}
        return [(names[i], one.actor) for i, one in acknowledgements.of(connection, list(names)).items()]


def test_an_acknowledgement_is_the_persons_and_says_where_it_came_from(access: Access) -> None:
    raise_alert(access, "Other")
    raise_alert(access)
    clicked = deliver(access)

    assert click(access, clicked) == Answer("1 alert acknowledged.")

    assert acknowledged(access) == [("Late", "ann")]
    (last,) = [
        one
        for one in access.read(alert_details.list_history, clicked.payload.firing[0]).rows
        if one.kind == "acknowledged"
    ]
    assert (last.actor, last.note) == ("ann", "Slack, user U1")


def test_a_second_click_changes_nothing(access: Access, clock: Clock) -> None:
    raise_alert(access)
    clicked = deliver(access)
    click(access, clicked)
    queued = len(waiting(access))
    clock.now += 5

    assert click(access, clicked, actor="eve") == Answer("Acknowledged already, by ann.")

    assert acknowledged(access) == [("Late", "ann")]
    assert len(waiting(access)) == queued


def test_the_message_that_stands_in_the_channel_is_updated(access: Access) -> None:
    raise_alert(access)
    clicked = deliver(access)

    click(access, clicked)

    (update,) = waiting(access)
    assert (update.key, update.payload.kind) == (clicked.key, "update")
    assert update.payload.firing == clicked.payload.firing
    assert update.idempotency_key != clicked.idempotency_key


def test_an_acknowledgement_by_command_updates_it_too(access: Access) -> None:
    raise_alert(access)
    clicked = deliver(access)
    access.write(alert_actions.acknowledge, list(clicked.payload.firing), "ben")
    assert [one.payload.kind for one in waiting(access)] == ["update"]


def test_without_a_confirmed_message_there_is_nothing_to_update(access: Access) -> None:
    raise_alert(access)
    flush(access)
    with access.database.transaction() as connection:
        (one,) = outbox.list_notifications(connection, receiver="ops")
        outbox.mark_delivered(connection, [(one.id, T0)])
    click(access, one)
    assert waiting(access) == []


def test_a_group_whose_next_notification_waits_is_updated_after_it(access: Access) -> None:
    raise_alert(access)
    deliver(access)
    raise_alert(access, network="other")
    with access.database.transaction() as connection:
        access.context.engine.flush(connection, access.clock() + 3600)
    (pending,) = waiting(access)
    click(access, pending)
    update, before = waiting(access)
    assert before == pending
    assert update.payload.kind == "update"


def test_a_silence_hides_what_the_message_shows_and_nothing_beside(access: Access, clock: Clock) -> None:
    for destination in ("base", "optimism"):
        raise_alert(access, severity="P2", network="ethereum", destination=destination)
    clock.now += 30
    clicked = deliver(access)

    answer = click(access, clicked, "silence")

    assert answer == Answer("2 alerts silenced until 2026-01-05 11:00:30 UTC (silence 1).")
    (silence,) = access.read(silencing.list_silences).rows
    assert (silence.author, silence.comment, silence.hides) == ("ann", "Slack, user U1", 2)
    assert silence.matchers == '{alertname="Late",network="ethereum",severity="P2"}'
    assert silence.ends_at - clock.now == 3600
    (update,) = waiting(access)
    assert update.payload.note == "Silenced until 2026-01-05 11:00:30 UTC by ann."
    clock.now += 60
    again = click(access, clicked, "silence", actor="eve")
    assert again == Answer("Silenced already, until 2026-01-05 11:00:30 UTC, by ann.")
    assert len(access.read(silencing.list_silences).rows) == 1


@pytest.mark.parametrize("hostile", ["=~.*", "!=x", "!~.", "=", "=~(", '"},{alertname=~".*"'])
def test_a_label_that_looks_like_a_pattern_silences_no_other_alert(access: Access, hostile: str) -> None:
    raise_alert(access, token=hostile)
    clicked = deliver(access)
    click(access, clicked, "silence")
    raise_alert(access, token="another")
    (silence,) = access.read(silencing.list_silences).rows
    assert silence.hides == 1


def test_what_is_over_cannot_be_acknowledged_or_silenced(access: Access) -> None:
    raise_alert(access)
    clicked = deliver(access)
    end_alert(access)
    for kind in ("acknowledge", "silence"):
        assert click(access, clicked, kind) == channel_actions.NOTHING_FIRES
    assert access.read(silencing.list_silences).rows == []


def test_a_click_that_is_not_about_ones_own_message_is_refused(access: Access) -> None:
    raise_alert(access)
    clicked = deliver(access)
    assert click(access, clicked, "acknowledge", "phone") == channel_actions.NOT_ALLOWED
    unknown = Action("acknowledge", "f" * 32, frozenset({"ops"}), "ann", "Slack")
    assert access.write(channel_actions.perform_action, unknown) == channel_actions.OUT_OF_DATE
    assert acknowledged(access) == []


def test_a_later_message_has_its_own_buttons_and_the_earlier_ones_still_work(access: Access) -> None:
    raise_alert(access)
    first = deliver(access)
    raise_alert(access, network="other")
    with access.database.transaction() as connection:
        access.context.engine.flush(connection, access.clock() + 3600)
    second = deliver(access)
    assert click(access, first) == Answer("1 alert acknowledged.")
    assert click(access, second) == Answer("1 alert acknowledged.")
    assert len(acknowledged(access)) == 2


def test_updates_are_no_notifications(access: Access) -> None:
    raise_alert(access)
    clicked = deliver(access)
    click(access, clicked)
    with access.database.reading() as connection:
        assert [one.id for one in past_notifications.between(connection, 0.0)] == [clicked.id]
    done = access.write(alert_actions.unacknowledge, list(clicked.payload.firing), "ann")
    assert done == Changed(list(clicked.payload.firing), [], [])


@pytest.mark.parametrize("kind", ["acknowledge", "silence"])
def test_a_button_is_short_and_is_read_back(kind: ActionKind) -> None:
    made = button(kind, notification(idempotency_key="0123456789abcdef" * 2))
    assert len(made.encode()) <= 64
    assert parse_button(made) == (kind, "0123456789abcdef" * 2)


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        "",
        "acknowledge:",
        "resolve:" + "0" * 32,
        "acknowledge:" + "G" * 32,
        "silence:" + "0" * 33,
        [],
        {},
    ],
)
def test_anything_else_is_no_button(data: object) -> None:
    assert parse_button(data) is None
