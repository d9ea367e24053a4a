"""Incidents: alerts of one group from the first start to the last resolution, each with its timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Entry, Incident
from chainwatch.alerting.policy.escalation import EscalationPolicy
from chainwatch.model import SEVERITIES
from chainwatch.operations.checks import ID_MAX, check_moments
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import escalations, history, incidents, past_notifications
from chainwatch.store.alerting.incidents import Size
from chainwatch.store.alerting.outbox import QueuedNotification

NOTIFIED_WITHIN = 86_400.0
"""Seconds after the end of an incident within which notifications belong to its timeline."""
CURSORS = Cursors("incidents", 1)


class IncidentSummary(msgspec.Struct, frozen=True):
    """One incident. ``severity``: the worst that its alerts have or count as; ``firing``: how many of them fire."""

    id: int
    group: str
    labels: Mapping[str, str]
    severity: str | None
    alert_count: int
    firing: int
    opened_at: float
    ended_at: float | None


class IncidentAlert(msgspec.Struct, frozen=True):
    """An alert of an incident. Times are chain time."""

    id: int
    labels: Mapping[str, str]
    summary: str
    state: str
    starts_at: float
    ends_at: float | None
    reason: str


class TimelineEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened: to the alert with the ID ``alert``, by ``actor``, for ``receiver``, where it has them."""

    at: float
    kind: str
    text: str
    alert: int | None = None
    actor: str | None = None
    receiver: str | None = None


class EscalationProgress(msgspec.Struct, frozen=True):
    """How far the escalation ``policy`` of an open incident has come. ``step`` and ``steps`` count from 1.

    ``due_at``: when ``step`` is taken, and ``notify`` whom it notifies; None and nobody once all are done.
    ``stopped_at``: since when it waits, as every alert is acknowledged, muted or over.
    """

    policy: str
    round: int
    rounds: int
    step: int
    steps: int
    notify: list[str]
    due_at: float | None
    stopped_at: float | None


class IncidentView(IncidentSummary, frozen=True):
    """One incident with its alerts, and its timeline, oldest first."""

    alerts: list[IncidentAlert]
    timeline: list[TimelineEntry]


def list_incidents(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    is_open: bool = False,
    since: float | None = None,
    until: float | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[IncidentSummary]:
    """Return incidents, newest first, opened from ``since`` until just before ``until``; ``is_open``: only those not ended.

    ``after``: a cursor. Raises ``Invalid``.
    """
    check_moments(since=since, until=until)
    (before_id,) = CURSORS.parse(after) or (None,)
    found = incidents.list_incidents(
        connection,
        is_open=is_open,
        since=since,
        until=until,
        limit=check_limit(limit) + 1,
        before_id=before_id,
    )
    sizes = incidents.sizes(connection, [one.id for one in found])
    return CURSORS.page(found, limit, lambda one: [one.id], lambda one: _summary(one, sizes.get(one.id, [])))


def show_incident(
    connection: sa.Connection, context: Context, now: float, incident_id: int, *, most: int | None = None
) -> IncidentView:
    """Return one incident. ``most``: of how many alerts, those that fire first; all by default. Raises ``NotFound``."""
    found = _get(connection, incident_id)
    alerts = _alerts(connection, found, most)
    until = None if found.ended_at is None else found.ended_at + NOTIFIED_WITHIN
    sent = past_notifications.about(connection, [alert.id for alert in alerts], found.opened_at, until)
    timeline = [line for alert in alerts for line in _of_alert(connection, alert)]
    timeline += [_of_entry(entry) for entry in incidents.entries(connection, found.id)]
    timeline += [line for one in sent for line in _of_notification(one)]
    return IncidentView(
        **msgspec.structs.asdict(_summary(found, incidents.sizes(connection, [found.id]).get(found.id, []))),
        alerts=[
            IncidentAlert(
                id=alert.id,
                labels=dict(alert.labels),
                summary=alert.annotations.get("summary", ""),
                state=alert.state,
                starts_at=alert.starts_at,
                ends_at=alert.ends_at,
                reason=alert.reason,
            )
            for alert in alerts
        ],
        timeline=sorted(timeline, key=lambda line: line.at),
    )


def unacknowledged_alerts(
    connection: sa.Connection, context: Context, now: float, incident_id: int
) -> list[int]:
    """Return the IDs of the firing alerts of an incident that nobody has acknowledged. Raises ``NotFound``."""
    found = _get(connection, incident_id)
    return [one.alert_id for one in incidents.unacknowledged(connection, found.id)]


def escalation_progress(
    connection: sa.Connection, context: Context, now: float, incident_id: int
) -> EscalationProgress | None:
    """Return how far the escalation of an incident has come; None for one that ended, or has none."""
    found = escalations.of_incident(connection, incident_id)
    if found is None:
        return None
    policy = msgspec.json.decode(found.policy, type=EscalationPolicy)
    step = min(found.step, len(policy.steps) - 1)
    is_done = found.due_at is None
    return EscalationProgress(
        policy=policy.name,
        round=found.round + 1,
        rounds=policy.repeat + 1,
        step=step + 1,
        steps=len(policy.steps),
        notify=[] if is_done else list(policy.steps[step].notify),
        due_at=None if found.stopped_at is not None else found.due_at,
        stopped_at=found.stopped_at,
    )


def add_note(
    connection: sa.Connection, context: Context, now: float, incident_id: int, actor: str, text: str
) -> TimelineEntry:
    """Add a person's note to an incident's timeline. Raises ``NotFound``, and ``Invalid`` for an empty note."""
    if not text.strip():
        raise Invalid("the note is empty: give it a text")
    entry = Entry(_get(connection, incident_id).id, now, "note", actor, text)
    incidents.add_entries(connection, [entry])
    return _of_entry(entry)


def _get(connection: sa.Connection, incident_id: int) -> Incident:
    found = incidents.get(connection, incident_id) if 0 < incident_id <= ID_MAX else None
    if found is None:
        raise NotFound(f"there is no incident {incident_id}; `chainwatch incidents` lists them")
    return found


def _alerts(connection: sa.Connection, incident: Incident, most: int | None) -> list[Alert]:
    if most is None:
        ids = incidents.alert_ids(connection, incident.id)
    else:
        ids = incidents.urgent_alert_ids(connection, incident.id, check_limit(most))
    found = stored_alerts.by_id(connection, ids)
    return [found[alert_id] for alert_id in ids if alert_id in found]


def _summary(incident: Incident, sizes: Sequence[Size]) -> IncidentSummary:
    return IncidentSummary(
        id=incident.id,
        group=incident.key,
        labels=dict(incident.labels),
        severity=min((size.severity for size in sizes), key=SEVERITIES.index, default=None),
        alert_count=sum(size.number for size in sizes),
        firing=sum(size.firing for size in sizes),
        opened_at=incident.opened_at,
        ended_at=incident.ended_at,
    )


def _of_alert(connection: sa.Connection, alert: Alert) -> Iterator[TimelineEntry]:
    about = alert.annotations.get("summary") or alert.name
    yield TimelineEntry(alert.starts_at, "event", f"{about} (chain time)", alert=alert.id)
    for one in history.of(connection, alert):
        words = [word for word in (one.cause, one.note, one.receiver and f"receiver {one.receiver}") if word]
        text = f"{alert.name} {one.kind}" + (f": {', '.join(words)}" if words else "")
        yield TimelineEntry(one.at, one.kind, text, alert=alert.id, actor=one.actor)


def _of_entry(entry: Entry) -> TimelineEntry:
    if entry.kind == "note":
        return TimelineEntry(entry.at, "note", entry.text, actor=entry.actor)
    is_named = entry.receiver is None or entry.receiver in entry.text
    text = entry.text if is_named else f"{entry.text} → {entry.receiver}"
    return TimelineEntry(entry.at, "escalation", f"{entry.kind}: {text}", actor=entry.actor)


def _of_notification(one: QueuedNotification) -> Iterator[TimelineEntry]:
    counted = [
        f"{len(ids)} {word}"
        for word, ids in (("firing", one.payload.firing), ("resolved", one.payload.resolved))
        if ids
    ]
    about = f"notification {one.id} to {one.receiver} ({', '.join(counted) or 'nothing firing'})"
    yield TimelineEntry(one.created_at, "queued", about, receiver=one.receiver)
    if one.finished_at is not None:
        took = f" after {one.finished_at - one.created_at:.1f} s, attempt {one.attempts}"
        yield TimelineEntry(one.finished_at, one.status, f"{about} {one.status}{took}", receiver=one.receiver)
