"""What people do by buttons in channels: the same operations as the commands', recorded with the channel and the person."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from chainwatch.alert_model import Alert, Transition
from chainwatch.alerting.actions import Perform
from chainwatch.alerting.delivery.updates import enqueue_updates
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.providers.actions import SILENCED_FOR, Action, Answer
from chainwatch.alerting.providers.text import when
from chainwatch.config import Settings
from chainwatch.operations.alert_actions import acknowledge
from chainwatch.operations.context import Context
from chainwatch.operations.errors import OperationError
from chainwatch.operations.silencing import add_silence
from chainwatch.store.alerting import acknowledgements, alerts, history, outbox, silences

OUT_OF_DATE = Answer("This button is out of date: use the one of the latest message.", done=False)
NOT_ALLOWED = Answer("You are not allowed to act on this message.", done=False)
NOTHING_FIRES = Answer("None of these alerts fires any more.", done=False)


def performer(settings: Settings) -> Perform:
    """Return what performs actions by this configuration, inside the caller's transaction."""

    def perform(connection: sa.Connection, engine: AlertEngine, now: float, action: Action) -> Answer:
        context = Context(settings, engine, tuple(settings.receivers))
        return perform_action(connection, context, now, action)

    return perform


def perform_action(connection: sa.Connection, context: Context, now: float, action: Action) -> Answer:
    """Do to the alerts of the clicked message, as far as they still fire, what ``action`` says.

    Performed again, it changes nothing. An action on a message that is unknown, or of a receiver that the person may not act
    for, is refused.
    """
    clicked = outbox.by_idempotency_key(connection, action.notification_key)
    if clicked is None:
        return OUT_OF_DATE
    if clicked.receiver not in action.receivers:
        return NOT_ALLOWED
    found = alerts.by_id(connection, clicked.payload.firing)
    firing = [alert for alert in found.values() if alert.state == "firing"]
    if not firing:
        return NOTHING_FIRES
    try:
        if action.kind == "acknowledge":
            return _acknowledge(connection, context, now, firing, action)
        return _silence(connection, context, now, firing, action)
    except OperationError as error:
        return Answer(str(error), done=False)


def _acknowledge(
    connection: sa.Connection, context: Context, now: float, firing: Sequence[Alert], action: Action
) -> Answer:
    before = acknowledgements.of(connection, [alert.id for alert in firing])
    new = [alert.id for alert in firing if alert.id not in before]
    if not new:
        people = ", ".join(sorted({one.actor for one in before.values()}))
        return Answer(f"Acknowledged already, by {people}.")
    acknowledge(connection, context, now, new, action.actor, action.via)
    return Answer(f"{_counted(len(new))} acknowledged.")


def _silence(
    connection: sa.Connection, context: Context, now: float, firing: Sequence[Alert], action: Action
) -> Answer:
    """Silence what has all the labels that the message's firing alerts share, so nothing beside them is hidden."""
    shared = set.intersection(*(set(alert.labels.items()) for alert in firing))
    match = {name: [f"={value}"] for name, value in sorted(shared) if value}
    if not match:
        return Answer("These alerts have no label in common: silence them by a command.", done=False)
    active = next((one for one in silences.active(connection, now) if one.match == match), None)
    if active is not None:
        return Answer(f"Silenced already, until {when(active.ends_at)}, by {active.author or 'a command'}.")
    added = add_silence(connection, context, now, match, action.actor, action.via, lasts=SILENCED_FOR)
    said = f"Silenced until {when(added.ends_at)} by {action.actor}."
    enqueue_updates(connection, [alert.id for alert in firing], now, said)
    history.record(
        connection,
        [
            Transition(alert.id, now, "silenced", f"silence {added.id}", action.actor, action.via)
            for alert in firing
        ],
    )
    return Answer(f"{_counted(len(firing))} silenced until {when(added.ends_at)} (silence {added.id}).")


def _counted(number: int) -> str:
    return "1 alert" if number == 1 else f"{number} alerts"
