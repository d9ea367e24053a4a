"""Which receivers were notified of an alert, which were not, and why: from the records, and from the present policies."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Suppression
from chainwatch.alerting.policy import rate_limits
from chainwatch.alerting.policy.muting import Candidate, suppression_of
from chainwatch.alerting.policy.routing import Route, destinations, group_key, is_watchdog, matching_routes
from chainwatch.config import format_duration
from chainwatch.operations.alert_details import TransitionView, get, transition_view
from chainwatch.operations.context import Context
from chainwatch.operations.held_periods import HeldPeriod, held_periods, worded
from chainwatch.operations.views import AlertView, alert_views
from chainwatch.store.alerting import alert_groups, history, incidents, past_notifications
from chainwatch.store.alerting.outbox import QueuedNotification


class SentView(msgspec.Struct, frozen=True):
    """A notification about the alert. ``says``: the alert was ``firing`` or ``resolved`` in it, or both."""

    id: int
    says: str
    status: str
    created_at: float
    finished_at: float | None
    attempts: int
    last_error: str | None
    kind: str
    note: str


class HeldNow(msgspec.Struct, frozen=True):
    """What mutes the alert now, and by what."""

    why: str
    detail: str


class ReceiverView(msgspec.Struct, frozen=True):
    """Whether one receiver was notified of the alert, and why or why not.

    ``route``: the alert's own route to it, None without one. ``next_look_at``: when the group is flushed next.
    """

    receiver: str
    route: str | None
    notified: bool
    why: str
    group: str | None = None
    notifications: list[SentView] = []
    next_look_at: float | None = None
    held_now: HeldNow | None = None
    held: list[HeldPeriod] = []


class EscalationView(msgspec.Struct, frozen=True):
    """What the escalation of the alert's incident did, or why it did not."""

    at: float
    kind: str
    text: str
    receiver: str | None


class Explanation(msgspec.Struct, frozen=True):
    """Every receiver with its reason, the escalation and the history of one alert."""

    alert: AlertView
    receivers: list[ReceiverView]
    escalation: list[EscalationView]
    history: list[TransitionView]


def explain(connection: sa.Connection, context: Context, now: float, alert_id: int) -> Explanation:
    """Return for every receiver whether it was notified of the alert, and why or why not. Raises ``NotFound``."""
    alert = get(connection, alert_id)
    sent = past_notifications.about(connection, [alert_id], alert.raised_at, None)
    by_receiver: dict[str, list[QueuedNotification]] = {name: [] for name in context.receivers}
    for one in sent:
        by_receiver.setdefault(one.receiver, []).append(one)

    taking = destinations(matching_routes(context.engine.routes, alert.labels), alert.failing_receiver)
    routed = [
        _routed(connection, context, alert, route, receiver, by_receiver.get(receiver, []), now)
        for route, receiver in taking
    ]
    reached = {receiver for _, receiver in taking}
    others = [
        _notified_otherwise(connection, context, alert, name, by_receiver[name])
        if by_receiver[name]
        else ReceiverView(name, None, False, _why_not_routed(alert, context.engine.routes, name))
        for name in context.receivers
        if name not in reached
    ]

    happened = history.of(connection, alert)
    held = held_periods(happened, sent, alert)
    return Explanation(
        alert=alert_views([alert], context.presenter, connection)[0],
        receivers=[_with_held(row, held.get(row.receiver, []), now) for row in (*routed, *others)],
        escalation=[
            EscalationView(one.at, one.kind, one.text, one.receiver)
            for one in incidents.escalation_about(connection, alert_id, alert.raised_at)
        ],
        history=list(map(transition_view, happened)),
    )


def _routed(
    connection: sa.Connection,
    context: Context,
    alert: Alert,
    route: Route,
    receiver: str,
    sent: Sequence[QueuedNotification],
    now: float,
) -> ReceiverView:
    """Return a receiver that the alert's own ``route`` names."""
    candidate = Candidate(alert.id, alert.labels, route, receiver)
    held = suppression_of(candidate, context.engine.group_manager.context_of(connection, [candidate], now))
    groups = alert_groups.of_alerts(connection, [alert.id])
    group = next((one for one in groups if one.receiver == receiver), None)
    if sent:
        why = _delivery(sent[-1])
    elif group is None:
        why = _why_not_sent(alert, held)
    else:
        wait = format_duration(max(0.0, round(group.flush_at - now)))
        is_limited = group.route == rate_limits.ROUTE
        waits = f"rate limit: it is summarized in {wait}" if is_limited else f"its group is flushed in {wait}"
        is_digest = route.digest is not None and not is_limited
        why = _why_not_sent(alert, held, f"digest: {waits}" if is_digest else waits)
    return ReceiverView(
        receiver=receiver,
        route=route.key,
        group=group_key(route, route.group_labels(alert.labels)) if group is None else group.key,
        notified=_is_notified(sent),
        why=why,
        notifications=[_sent_view(one, alert.id) for one in sent],
        next_look_at=None if group is None else group.flush_at,
        held_now=None if held is None else HeldNow(held.reason, held.detail),
    )


def _why_not_sent(alert: Alert, held: Suppression | None, waits: str | None = None) -> str:
    """Return why nothing was sent through a route; ``waits``: until when its group does."""
    if alert.state == "pending":
        return "pending: the condition must hold for a while first"
    if alert.audience == "quiet":
        return "it was resolved before any notification"
    if held is not None and alert.state == "firing":
        return f"{held.reason}: {held.detail}"
    if waits is not None:
        return waits
    if alert.state == "resolved":
        return "nothing was sent: it was resolved before this route matched it, or the record was pruned"
    return "nothing was sent: see the history"


def _notified_otherwise(
    connection: sa.Connection,
    context: Context,
    alert: Alert,
    receiver: str,
    sent: Sequence[QueuedNotification],
) -> ReceiverView:
    """Return a receiver that was notified though no route of the alert's own names it."""
    steps = {step.receiver: step.text for step in incidents.steps_about(connection, alert.id)}
    counts_as = incidents.rises(connection, [alert.id]).get(alert.id)
    if receiver in steps:
        way = f"escalation, {steps[receiver]}"
    elif counts_as is not None:
        way = f"it counts as {counts_as}"
    else:
        way = "a route that led here before the configuration changed"
    return ReceiverView(
        receiver=receiver,
        route=None,
        notified=_is_notified(sent),
        why=f"{way}: {_delivery(sent[-1])}",
        notifications=[_sent_view(one, alert.id) for one in sent],
    )


def _with_held(row: ReceiverView, held: list[HeldPeriod], now: float) -> ReceiverView:
    """Return ``row`` with what muted the alert for its receiver, and for how long."""
    why = row.why
    before = [worded(one, now) for one in held if one.until is not None and not one.missed]
    if held and held[-1].missed and not row.notifications:  # by none of the routes to the receiver
        why = f"it was resolved before it could be sent: {worded(held[-1], now)}"
    elif held and why == f"{held[-1].why}: {held[-1].detail}":
        why = f"{worded(held[-1], now)} by now"
    if before:
        why += f"; before that it was held back: {'; '.join(before)}"
    return msgspec.structs.replace(row, why=why, held=held)


def _why_not_routed(alert: Alert, routes: Sequence[Route], receiver: str) -> str:
    if is_watchdog(alert.labels):
        return "Watchdog is sent only where a route names it"
    taking = matching_routes(routes, alert.labels)
    if any(receiver in route.receivers for route in taking):
        return "an alert about a failing receiver is not sent to that receiver"
    if not taking:
        return "no route matches it"
    return f"the route that matches it, {taking[0].key}, does not name this receiver"


def _is_notified(sent: Sequence[QueuedNotification]) -> bool:
    return any(one.status == "delivered" for one in sent)


def _delivery(last: QueuedNotification) -> str:
    if last.status == "pending" and last.attempts:
        return f"{last.attempts} attempts failed, it is retried: {last.last_error}"
    words = {
        "pending": "it is in the queue",
        "delivered": "it was delivered",
        "dead": f"given up after {last.attempts} attempts: {last.last_error}",
        "dropped": "a person dropped the notification",
    }
    return words[last.status]


def _sent_view(queued: QueuedNotification, alert_id: int) -> SentView:
    payload = queued.payload
    said = (("firing", payload.firing), ("resolved", payload.resolved))
    return SentView(
        id=queued.id,
        says=" and ".join(word for word, ids in said if alert_id in ids),
        status=queued.status,
        created_at=queued.created_at,
        finished_at=queued.finished_at,
        attempts=queued.attempts,
        last_error=queued.last_error,
        kind=payload.kind,
        note=payload.note,
    )
