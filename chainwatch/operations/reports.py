"""What people look back on: incidents with their timelines, and statistics over a window of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import Alert, Entry, Incident
from chainwatch.alerting.policy.rate_limits import counted_as
from chainwatch.model import SEVERITIES
from chainwatch.operations.alert_context import AlertLook
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import history, incidents, outbox, statistics
from chainwatch.store.alerting.outbox import QueuedNotification
from chainwatch.store.alerting.statistics import Delivery

NOISE_WITHIN = 60.0
"""Seconds: an alert that ended sooner and was nobody's is noise."""
NOTIFIED_WITHIN = 86_400.0
"""Seconds after the end of an incident in which notifications are looked for."""
PERCENTILES = (50, 90, 99)


class NoIncident(LookupError):
    """There is no incident with this id."""


# --- incidents --------------------------------------------------------------------------------------------


def list_incidents(
    look: AlertLook, *, is_open: bool, since: int | None, until: int | None, limit: int
) -> list[dict[str, Any]]:
    """Incidents, newest first, each with its number of alerts and worst severity."""
    with look.database.reading() as connection:
        found = incidents.list_incidents(connection, is_open=is_open, since=since, until=until, limit=limit)
        return [_summary(connection, incident) for incident in found]


def incident(look: AlertLook, incident_id: int) -> dict[str, Any]:
    """One incident with its alerts and its timeline, oldest first. Raises ``NoIncident``."""
    with look.database.reading() as connection:
        found = incidents.get(connection, incident_id)
        if found is None:
            raise NoIncident(f"there is no incident {incident_id}; `chainwatch incidents` lists them")
        alerts = _alerts(connection, found)
        until = None if found.ended_at is None else found.ended_at + NOTIFIED_WITHIN
        notified = outbox.about(connection, [alert.id for alert in alerts], found.opened_at, until)
        happened = [one for alert in alerts for one in _of_alert(connection, alert)]
        happened += [_of_entry(entry) for entry in incidents.entries(connection, found.id)]
        happened += [line for one in notified for line in _of_notification(one)]
        return {
            **_summary(connection, found),
            "alerts": [
                {
                    "id": alert.id,
                    "labels": dict(alert.labels),
                    "summary": alert.annotations.get("summary", ""),
                    "state": alert.state,
                    "starts_at": alert.starts_at,
                    "ends_at": alert.ends_at,
                    "reason": alert.reason,
                }
                for alert in alerts
            ],
            "timeline": sorted(happened, key=lambda line: line["at"]),
        }


def add_note(look: AlertLook, incident_id: int, author: str, text: str) -> None:
    """Put a person's note into an incident's timeline. Raises ``NoIncident``."""
    with look.database.transaction() as connection:
        if incidents.get(connection, incident_id) is None:
            raise NoIncident(f"there is no incident {incident_id}; `chainwatch incidents` lists them")
        incidents.add_entries(connection, [Entry(incident_id, look.now, "note", author, text)])


def _alerts(connection: sa.Connection, incident: Incident) -> list[Alert]:
    found = stored_alerts.by_id(connection, incidents.alert_ids(connection, incident.id))
    return [found[alert_id] for alert_id in sorted(found)]


def _summary(connection: sa.Connection, incident: Incident) -> dict[str, Any]:
    alerts = _alerts(connection, incident)
    rises = incidents.rises(connection, [alert.id for alert in alerts])
    severities = [rises.get(alert.id, alert.severity) for alert in alerts]
    return {
        "id": incident.id,
        "group": incident.key,
        "labels": dict(incident.labels),
        "severity": min(severities, key=SEVERITIES.index, default=None),
        "alert_count": len(alerts),
        "firing": sum(alert.state == "firing" for alert in alerts),
        "opened_at": incident.opened_at,
        "ended_at": incident.ended_at,
    }


def _line(at: float, kind: str, text: str, **more: Any) -> dict[str, Any]:
    return {"at": at, "kind": kind, "text": text, **more}


def _of_alert(connection: sa.Connection, alert: Alert) -> Iterable[dict[str, Any]]:
    about = alert.annotations.get("summary") or alert.name
    yield _line(alert.starts_at, "event", f"{about} (chain time)", alert=alert.id)
    for one in history.of(connection, alert):
        words = [word for word in (one.cause, one.note, one.receiver and f"receiver {one.receiver}") if word]
        text = f"{alert.name} {one.kind}" + (f": {', '.join(words)}" if words else "")
        yield _line(one.at, one.kind, text, alert=alert.id, actor=one.actor)


def _of_entry(entry: Entry) -> dict[str, Any]:
    text = entry.text + (
        f" → {entry.receiver}" if entry.receiver and entry.receiver not in entry.text else ""
    )
    kind = "note" if entry.kind == "note" else "escalation"
    return _line(entry.at, kind, text if kind == "note" else f"{entry.kind}: {text}", actor=entry.actor)


def _of_notification(one: QueuedNotification) -> Iterable[dict[str, Any]]:
    counted = [
        f"{len(ids)} {word}"
        for word, ids in (("firing", one.payload.firing), ("resolved", one.payload.resolved))
        if ids
    ]
    about = f"notification {one.id} to {one.receiver} ({', '.join(counted) or 'nothing firing'})"
    yield _line(one.created_at, "queued", about, receiver=one.receiver)
    if one.finished_at is not None:
        took = f" after {one.finished_at - one.created_at:.1f} s, attempt {one.attempts}"
        yield _line(one.finished_at, one.status, f"{about} {one.status}{took}", receiver=one.receiver)


# --- statistics -------------------------------------------------------------------------------------------


def statistics_of(look: AlertLook, since: float, until: float) -> dict[str, Any]:
    """Numbers about the window from ``since`` until just before ``until``, and about the one of equal length before it.

    Durations are in seconds and count from the start of an alert.
    """
    with look.database.reading() as connection:
        alerts = list(statistics.raised(connection, since, until))
        acknowledged = statistics.acknowledged_at(connection, [alert.id for alert in alerts])
        before = statistics.count_raised(connection, since - (until - since), since)
        firing = dict.fromkeys(SEVERITIES, 0)
        for count in stored_alerts.counts(connection):
            if count.state == "firing":
                firing[count.severity] += count.number
        delivered = _deliveries(statistics.deliveries(connection, since, until))
    noise = sum(_is_noise(alert, acknowledged) for alert in alerts)
    to_acknowledge = [max(0.0, acknowledged[a.id] - a.starts_at) for a in alerts if a.id in acknowledged]
    to_resolve = [a.ends_at - a.starts_at for a in alerts if a.ends_at is not None]
    return {
        "since": int(since),
        "until": int(until),
        "alerts": len(alerts),
        "by_severity": {s: sum(alert.severity == s for alert in alerts) for s in SEVERITIES},
        "by_name": _counted(alert.name for alert in alerts),
        "by_source": _counted(counted_as(alert.source, alert.labels) for alert in alerts),
        "active": firing,
        "acknowledged": len(to_acknowledge),
        "mean_time_to_acknowledge": _mean(to_acknowledge),
        "resolved": len(to_resolve),
        "mean_time_to_resolve": _mean(to_resolve),
        "noise": noise,
        "receivers": delivered,
        "before": {"alerts": sum(before.values()), "by_severity": {s: before.get(s, 0) for s in SEVERITIES}},
    }


def alerts_kept(look: AlertLook) -> dict[str, Any]:
    """How many alerts are kept, by type and severity, and their mean times; how many notifications have which status.

    Times are in seconds from the start of an alert until somebody acknowledged it, and until it ended.
    """
    with look.database.reading() as connection:
        counts = stored_alerts.counts(connection)
        kinds = statistics.kinds(connection)
        depths = outbox.depths(connection)
    return {
        "total": sum(count.number for count in counts),
        "by_state": _sums((count.state, count.number) for count in counts),
        "by_severity": _sums((count.severity, count.number) for count in counts),
        "by_type": _sums((kind.name, kind.number) for kind in kinds),
        "by_type_and_severity": [
            {"type": kind.name, "severity": kind.severity, "firing": kind.firing, **_times([kind])}
            for kind in kinds
        ],
        **{name: value for name, value in _times(kinds).items() if name != "number"},
        "notifications": _sums((depth.status, depth.number) for depth in depths),
    }


def _times(kinds: Sequence[statistics.Kind]) -> dict[str, Any]:
    acknowledged = sum(kind.acknowledged for kind in kinds)
    resolved = sum(kind.resolved for kind in kinds)
    return {
        "number": sum(kind.number for kind in kinds),
        "acknowledged": acknowledged,
        "mean_time_to_acknowledge": _share(sum(kind.to_acknowledge for kind in kinds), acknowledged),
        "resolved": resolved,
        "mean_time_to_resolve": _share(sum(kind.to_resolve for kind in kinds), resolved),
    }


def _share(seconds: float, number: int) -> float | None:
    return round(seconds / number, 3) if number else None


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, number in pairs:
        sums[key] = sums.get(key, 0) + number
    return sums


def _is_noise(alert: Alert, acknowledged: Mapping[int, float]) -> bool:
    ended = alert.ends_at is not None and alert.ends_at - alert.starts_at <= NOISE_WITHIN
    return ended and alert.id not in acknowledged


def _counted(names: Iterable[str]) -> dict[str, int]:
    """How often each name comes, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))


def _mean(seconds: Sequence[float]) -> float | None:
    return _share(sum(seconds), len(seconds))


def _deliveries(found: Iterable[Delivery]) -> list[dict[str, Any]]:
    by_receiver: dict[str, list[Delivery]] = {}
    for one in found:
        by_receiver.setdefault(one.receiver, []).append(one)
    return [_receiver(name, by_receiver[name]) for name in sorted(by_receiver)]


def _receiver(name: str, found: Sequence[Delivery]) -> dict[str, Any]:
    status = Counter(one.status for one in found)
    took = sorted(
        one.finished_at - one.created_at
        for one in found
        if one.status == "delivered" and one.finished_at is not None
    )
    failed = sum(one.attempts - (one.status == "delivered") for one in found)
    latency = {f"p{percent}": _percentile(took, percent) for percent in PERCENTILES}
    return {
        "receiver": name,
        "notifications": len(found),
        **{s: status[s] for s in ("delivered", "pending", "dead", "dropped")},
        "failed_attempts": failed,
        "latency": {**latency, "max": round(took[-1], 3) if took else None},
    }


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest-rank percentile of ascending values."""
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 3) if ordered else None
