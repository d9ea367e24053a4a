"""Who was told of an alert, who was not, and why: from what is recorded, and from what the policies say now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Transition
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy import rate_limits
from chainwatch.alerting.policy.muting import Candidate, suppression_of
from chainwatch.alerting.policy.routing import (
    Route,
    build_routes,
    destinations,
    group_key,
    is_watchdog,
    matching_routes,
)
from chainwatch.config import Settings, format_duration
from chainwatch.grammar import matchers
from chainwatch.operations.alert_context import AlertLook, alert_view
from chainwatch.store.alerting import acknowledgements, alert_groups, alerts, history, incidents, outbox


def show(look: AlertLook, alert_id: int) -> dict[str, Any] | None:
    """One alert with its repeats and whose it is; None where there is none with this id."""
    with look.database.reading() as connection:
        alert = alerts.by_id(connection, [alert_id]).get(alert_id)
        if alert is None:
            return None
        taken = acknowledgements.of(connection, [alert_id]).get(alert_id)
        repeats = history.repeats(connection, [alert_id]).get(alert_id, 0)
    whose = None
    if taken is not None:
        until = None if taken.until is None else int(taken.until)
        whose = {"by": taken.actor, "at": int(taken.at), "note": taken.note, "until": until}
    return {**alert_view(alert), "repeats": repeats, "acknowledged": whose}


def history_of(look: AlertLook, alert_id: int) -> list[dict[str, Any]] | None:
    """Everything that happened to an alert, oldest first; None where there is none with this id."""
    with look.database.reading() as connection:
        alert = alerts.by_id(connection, [alert_id]).get(alert_id)
        return None if alert is None else _happened(connection, alert)


def explain(look: AlertLook, alert_id: int) -> dict[str, Any] | None:
    """For every receiver: whether it was told of the alert, and why or why not; None where there is no such alert."""
    manager = look.manager
    with look.database.reading() as connection:
        alert = alerts.by_id(connection, [alert_id]).get(alert_id)
        if alert is None:
            return None
        taking = destinations(matching_routes(manager.routes, alert.labels), alert.failing_receiver)
        sent = outbox.about(connection, [alert_id], alert.raised_at, None)
        notified = [
            _notified(
                connection, manager, alert, place, [n for n in sent if n.receiver == place[1]], look.now
            )
            for place in taking
        ]
        happened = _happened(connection, alert)
        held_by = _holds(history.of(connection, alert), sent, alert)
        escalation = incidents.escalation_about(connection, alert_id, alert.raised_at)
        steps = {step.receiver: step.text for step in incidents.steps_about(connection, alert_id)}
        counts_as = incidents.rises(connection, [alert_id]).get(alert_id)
    reached = {receiver for _, receiver in taking}
    others: list[dict[str, Any]] = []
    for name in look.receivers:
        by_escalation = [n for n in sent if n.receiver == name]
        if by_escalation and name not in reached:
            if name in steps:
                way = f"escalation, {steps[name]}"
            elif counts_as is not None:
                way = f"it counts as {counts_as}"
            else:
                way = "a route that led here before the configuration changed"
            others.append(_notified_otherwise(alert, name, way, by_escalation))
        elif name not in reached:
            why = _why_not_routed(alert, manager.routes, name)
            others.append({"receiver": name, "route": None, "notified": False, "why": why})
    return {
        "alert": alert_view(alert),
        "receivers": [
            _with_holds(row, held_by.get(row["receiver"], []), look.now) for row in (*notified, *others)
        ],
        "escalation": [
            {"at": int(one.at), "kind": one.kind, "text": one.text, "receiver": one.receiver}
            for one in escalation
        ],
        "history": happened,
    }


class _Hold(msgspec.Struct):
    """What held an alert back from a receiver; ``missed``: when that was over so was the alert."""

    why: str
    detail: str
    since: float
    until: float | None = None
    missed: bool = False

    def said(self, now: float) -> str:
        """In words, with how long."""
        lasted = max(0, round((now if self.until is None else self.until) - self.since))
        return f"{self.why}: {self.detail}, for {format_duration(lasted)}"


def _holds(
    happened: Sequence[Transition], sent: Sequence[outbox.QueuedNotification], alert: Alert
) -> dict[str, list[_Hold]]:
    """By receiver, what held ``alert`` back, in order. Over a rate limit it waits until the summary is queued."""
    found: dict[str, list[_Hold]] = {}
    for one in happened:
        if one.receiver is None or one.kind not in ("held", "released", "not notified"):
            continue
        holds = found.setdefault(one.receiver, [])
        last = holds[-1] if holds and holds[-1].until in (None, one.at) else None
        if one.kind == "not notified" and last is None:  # nothing but its group's wait
            last = _Hold(one.cause, one.note, alert.raised_at)
            holds.append(last)
        if last is not None:
            last.until, last.missed = one.at, one.kind == "not notified"
        if one.kind == "held":
            holds.append(_Hold(one.cause, one.note, one.at))
    for receiver, holds in found.items():
        if holds and holds[-1].until is None:
            queued = (n.created_at for n in sent if n.receiver == receiver)
            holds[-1].until = next((at for at in queued if at >= holds[-1].since), None)
    return found


def _with_holds(row: dict[str, Any], holds: Sequence[_Hold], now: float) -> dict[str, Any]:
    """``row`` with what held the alert back from its receiver, and for how long."""
    why = row["why"]
    before = [hold.said(now) for hold in holds if hold.until is not None and not hold.missed]
    if holds and holds[-1].missed and not row.get("notifications"):  # by none of the routes to the receiver
        why = f"it was over before it could be told: {holds[-1].said(now)}"
    elif holds and why == f"{holds[-1].why}: {holds[-1].detail}":
        why = f"{holds[-1].said(now)} by now"
    if before:
        why += f"; before that it was held back: {'; '.join(before)}"
    return {**row, "why": why, "held": [msgspec.structs.asdict(hold) for hold in holds]}


def _notified_otherwise(
    alert: Alert, receiver: str, way: str, sent: Sequence[outbox.QueuedNotification]
) -> dict[str, Any]:
    """A receiver that was told though no route of the alert's own names it."""
    return {
        "receiver": receiver,
        "route": None,
        "notified": any(n.status == "delivered" for n in sent),
        "why": f"{way}: {_delivery(sent[-1])}",
        "notifications": [_notification(n, alert.id) for n in sent],
    }


def routes(settings: Settings, labels: Mapping[str, str]) -> dict[str, Any]:
    """The configured tree of routes, which of them take an alert with ``labels``, and the receivers that it goes to."""
    tree = build_routes(settings.routes)
    taking = matching_routes(tree, labels) if labels else []
    failing = labels.get("receiver", "") if labels.get("alertname") == "ReceiverFailing" else ""
    return {
        "routes": list(_tree(tree, labels, {route.key for route in taking}, 0)),
        "receivers": list(dict.fromkeys(receiver for _, receiver in destinations(taking, failing))),
    }


def _tree(
    routes: Sequence[Route], labels: Mapping[str, str], taking: set[str], depth: int
) -> Iterator[dict[str, Any]]:
    for route in routes:
        yield {
            "depth": depth,
            "match": matchers.written(route.match),
            "receivers": list(route.receivers),
            "continue": route.continues,
            "matches": bool(labels) and matchers.takes(route.match, labels),
            "takes": route.key in taking,
            "group": group_key(route, route.group_labels(labels)) if route.key in taking else None,
        }
        yield from _tree(route.routes, labels, taking, depth + 1)


def _notified(
    connection: sa.Connection,
    manager: AlertEngine,
    alert: Alert,
    place: tuple[Route, str],
    sent: Sequence[outbox.QueuedNotification],
    now: float,
) -> dict[str, Any]:
    route, receiver = place
    key = group_key(route, route.group_labels(alert.labels))
    candidate = Candidate(alert.id, alert.labels, route, receiver)
    held = suppression_of(candidate, manager.group_manager.context_of(connection, [candidate], now))
    group = next((g for g in alert_groups.of_alerts(connection, [alert.id]) if g.receiver == receiver), None)
    row: dict[str, Any] = {
        "receiver": receiver,
        "route": route.key,
        "group": key if group is None else group.key,
        "notified": any(n.status == "delivered" for n in sent),
        "notifications": [_notification(n, alert.id) for n in sent],
        "next_look_at": None if group is None else int(group.flush_at),
    }
    if sent:
        row["why"] = _delivery(sent[-1])
    elif alert.state == "pending":
        row["why"] = "pending: the condition must hold for a while first"
    elif alert.audience == "quiet":
        row["why"] = "it was over before anybody could be told"
    elif held is not None and alert.state == "firing":
        row["why"] = f"{held.reason}: {held.detail}"
    elif group is not None:
        wait = format_duration(max(0.0, round(group.flush_at - now)))
        row["why"] = (
            f"rate limit: it is told in the summary in {wait}"
            if group.route == rate_limits.ROUTE
            else f"{'digest: ' if route.digest is not None else ''}its group is looked at in {wait}"
        )
    else:
        row["why"] = (
            "nothing was sent: it was over when this route came to take it, or what was sent is stored no more"
            if alert.state == "resolved"
            else "nothing was sent: see the history"
        )
    row["held_now"] = None if held is None else {"why": held.reason, "detail": held.detail}
    return row


def _delivery(last: outbox.QueuedNotification) -> str:
    if last.status == "pending" and last.attempts:
        return f"{last.attempts} attempts failed, it is tried again: {last.last_error}"
    words = {
        "pending": "it is in the queue",
        "delivered": "it was delivered",
        "dead": f"given up after {last.attempts} attempts: {last.last_error}",
        "dropped": "a person dropped the notification",
    }
    return words[last.status]


def _notification(queued: outbox.QueuedNotification, alert_id: int) -> dict[str, Any]:
    return {
        "id": queued.id,
        "says": " and ".join(_says(queued.payload, alert_id)),
        "status": queued.status,
        "created_at": int(queued.created_at),
        "finished_at": None if queued.finished_at is None else int(queued.finished_at),
        "attempts": queued.attempts,
        "last_error": queued.last_error,
        "kind": queued.payload.kind,
        "note": queued.payload.note,
    }


def _says(payload: outbox.Payload, alert_id: int) -> Iterator[str]:
    if alert_id in payload.firing:
        yield "firing"
    if alert_id in payload.resolved:
        yield "resolved"


def _why_not_routed(alert: Alert, routes: Sequence[Route], receiver: str) -> str:
    if is_watchdog(alert.labels):
        return "Watchdog goes only where a route names it"
    taking = matching_routes(routes, alert.labels)
    if any(receiver in route.receivers for route in taking):
        return "an alert about a receiver that fails is not sent to it"
    if not taking:
        return "no route takes it"
    return f"the route that takes it, {taking[0].key}, does not name this receiver"


def _happened(connection: sa.Connection, alert: Alert) -> list[dict[str, Any]]:
    return [
        {
            "at": int(one.at),
            "kind": one.kind,
            "cause": one.cause,
            "actor": one.actor,
            "note": one.note,
            "receiver": one.receiver,
        }
        for one in history.of(connection, alert)
    ]
