"""Incidents as rows: their alerts, what was done about them, and to which severity alerts were raised.

All functions work inside the caller's transaction. Times are Unix seconds of this machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Entry, Incident, Unacknowledged
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import acknowledgements, alerts
from chainwatch.store.alerting.alerts import in_chunks
from chainwatch.store.alerting.escalation_tables import (
    alert_returns,
    alert_rises,
    incident_alerts,
    incident_entries,
    incidents,
)

FIRING = alerts.c.state == sa.literal_column("'firing'")
"""As a literal, or the partial index would not be used."""
_OPEN_AND_QUIET = """
 AND incidents.ended_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM alerts JOIN incident_alerts AS member ON member.alert_id = alerts.id
    WHERE member.incident_id = incidents.id AND alerts.state = 'firing'
)"""


def open_with(connection: sa.Connection, keys: Sequence[str]) -> dict[str, Incident]:
    """Return the open incidents with these keys."""
    columns = ("id", "key", "route", "labels", "opened_at", "ended_at")
    rows = bulk.select_in(connection, incidents, columns, "key", keys, " AND ended_at IS NULL")
    return {row.key: _incident(row) for row in rows}


def get(connection: sa.Connection, incident_id: int) -> Incident | None:
    """Return one incident, or None where there is none with this id."""
    row = connection.execute(sa.select(incidents).where(incidents.c.id == incident_id)).first()
    return None if row is None else _incident(row)


def list_incidents(
    connection: sa.Connection,
    *,
    is_open: bool,
    since: float | None,
    until: float | None,
    limit: int,
    before_id: int | None = None,
) -> list[Incident]:
    """Return incidents, newest first; ``since`` and ``until`` bound when they were opened; ``is_open``: no ended ones.

    ``before_id`` is the last id of the page before.
    """
    query = sa.select(incidents).order_by(incidents.c.id.desc()).limit(limit)
    if is_open:
        query = query.where(incidents.c.ended_at.is_(None))
    if since is not None:
        query = query.where(incidents.c.opened_at >= since)
    if until is not None:
        query = query.where(incidents.c.opened_at < until)
    if before_id is not None:
        query = query.where(incidents.c.id < before_id)
    return [_incident(row) for row in connection.execute(query)]


def next_id(connection: sa.Connection) -> int:
    """Return the id for the next new incident."""
    return (bulk.scalar(connection, "SELECT max(id) FROM incidents") or 0) + 1


def insert(connection: sa.Connection, new: Sequence[Incident]) -> None:
    """Store new incidents, which carry their ids."""
    rows = [(i.id, i.key, i.route, _json(i.labels), i.opened_at) for i in new]
    bulk.insert(connection, incidents, ("id", "key", "route", "labels", "opened_at"), rows)


def add_alerts(connection: sa.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Make alerts part of incidents, as (incident id, alert id)."""
    bulk.insert(connection, incident_alerts, ("incident_id", "alert_id"), pairs)


def alert_ids(connection: sa.Connection, incident_id: int) -> list[int]:
    """Return the alerts of an incident, oldest first."""
    query = sa.select(incident_alerts.c.alert_id).where(incident_alerts.c.incident_id == incident_id)
    return sorted(connection.execute(query).scalars())


class Size(NamedTuple):
    """How many alerts of an incident have, or count as, a severity, and how many of these fire."""

    severity: str
    number: int
    firing: int


def sizes(connection: sa.Connection, ids: Sequence[int]) -> dict[int, list[Size]]:
    """Return the numbers of the alerts of incidents, by incident."""
    found: dict[int, list[Size]] = {}
    severity = sa.func.coalesce(alert_rises.c.escalated_to, alerts.c.severity)
    fires = sa.func.sum(sa.case((FIRING, 1), else_=0))
    for some in in_chunks(ids):
        query = (
            sa.select(incident_alerts.c.incident_id, severity, sa.func.count(), fires)
            .join(alerts, alerts.c.id == incident_alerts.c.alert_id)
            .outerjoin(alert_rises, alert_rises.c.alert_id == alerts.c.id)
            .where(incident_alerts.c.incident_id.in_(some))
            .group_by(incident_alerts.c.incident_id, severity)
        )
        for incident_id, name, number, firing in connection.execute(query):
            found.setdefault(incident_id, []).append(Size(name, number, int(firing)))
    return found


def urgent_alert_ids(connection: sa.Connection, incident_id: int, limit: int) -> list[int]:
    """Return up to ``limit`` alerts of an incident: first those that fire, then the newest."""
    query = (
        sa.select(alerts.c.id)
        .join(incident_alerts, incident_alerts.c.alert_id == alerts.c.id)
        .where(incident_alerts.c.incident_id == incident_id)
        .order_by(~FIRING, alerts.c.id.desc())
    )
    return list(connection.execute(query.limit(limit)).scalars())


def end(connection: sa.Connection, ended_alerts: Sequence[int], now: float) -> None:
    """End the incidents of these resolved alerts in which nothing fires any more, and their escalations."""
    finished = _finished(connection, ended_alerts)
    bulk.change(
        connection, "UPDATE incidents SET ended_at = ? WHERE id = ?", [(now, one) for one in finished]
    )
    bulk.change_in(connection, "DELETE FROM escalations WHERE incident_id IN ?", finished)


def _finished(connection: sa.Connection, ended_alerts: Sequence[int]) -> list[int]:
    """Return the open incidents of these alerts in which nothing fires any more."""
    table = "incidents JOIN incident_alerts ON incident_id = incidents.id"
    rows = bulk.select_in(connection, table, ("incidents.id",), "alert_id", ended_alerts, _OPEN_AND_QUIET)
    return sorted({row.id for row in rows})


def unacknowledged(connection: sa.Connection, incident_id: int) -> list[Unacknowledged]:
    """Return the firing alerts of an incident that nobody has acknowledged, oldest first."""
    query = (
        sa.select(alerts.c.id, alerts.c.labels, alert_rises.c.escalated_to)
        .join(incident_alerts, incident_alerts.c.alert_id == alerts.c.id)
        .outerjoin(alert_rises, alert_rises.c.alert_id == alerts.c.id)
        .where(incident_alerts.c.incident_id == incident_id, FIRING)
        .where(~sa.exists().where(acknowledgements.c.alert_id == alerts.c.id))
        .order_by(alerts.c.id)
    )
    found = []
    for alert_id, text, escalated_to in connection.execute(query):
        labels = _from_json(text)
        found.append(
            Unacknowledged(alert_id, labels | {"severity": escalated_to} if escalated_to else labels)
        )
    return found


def add_entries(connection: sa.Connection, entries: Sequence[Entry]) -> None:
    """Add entries to the history of incidents."""
    if entries:
        connection.execute(sa.insert(incident_entries), [msgspec.structs.asdict(entry) for entry in entries])


def entries(connection: sa.Connection, incident_id: int) -> list[Entry]:
    """Return the history of an incident, in order."""
    columns = [incident_entries.c[name] for name in Entry.__struct_fields__]
    query = sa.select(*columns).where(incident_entries.c.incident_id == incident_id)
    return [Entry(*row) for row in connection.execute(query.order_by(incident_entries.c.id))]


def steps_about(connection: sa.Connection, alert_id: int) -> list[Entry]:
    """Return the steps of escalations that notified a receiver of the incident of an alert, in order."""
    columns = [incident_entries.c[name] for name in Entry.__struct_fields__]
    query = (
        sa.select(*columns)
        .join(incident_alerts, incident_alerts.c.incident_id == incident_entries.c.incident_id)
        .where(incident_alerts.c.alert_id == alert_id, incident_entries.c.receiver.is_not(None))
    )
    return [Entry(*row) for row in connection.execute(query.order_by(incident_entries.c.id))]


def escalation_about(connection: sa.Connection, alert_id: int, since: float) -> list[Entry]:
    """Return the entries of the escalation of an alert's incident from ``since`` on, in order: steps taken and skipped."""
    columns = [incident_entries.c[name] for name in Entry.__struct_fields__]
    query = (
        sa.select(*columns)
        .join(incident_alerts, incident_alerts.c.incident_id == incident_entries.c.incident_id)
        .where(incident_alerts.c.alert_id == alert_id, incident_entries.c.kind != "note")
        .where(incident_entries.c.at >= since)
    )
    return [Entry(*row) for row in connection.execute(query.order_by(incident_entries.c.id))]


# --- raised severities ------------------------------------------------------------------------------------


def note_returns(connection: sa.Connection, alert_ids: Sequence[int], now: float, since: float) -> None:
    """Store that the conditions of these firing alerts, which flap, began again ``now``; delete those up to ``since``."""
    for some in in_chunks(alert_ids):
        old = alert_returns.c.alert_id.in_(some) & (alert_returns.c.at <= since)
        connection.execute(sa.delete(alert_returns).where(old))
    bulk.insert(connection, alert_returns, ("alert_id", "at"), [(i, now) for i in alert_ids])


def open_of(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[str, Incident]:
    """Return the open incidents of these alerts, by key."""
    found: dict[str, Incident] = {}
    for some in in_chunks(alert_ids):
        query = (
            sa.select(incidents)
            .join(incident_alerts, incident_alerts.c.incident_id == incidents.c.id)
            .where(incident_alerts.c.alert_id.in_(some), incidents.c.ended_at.is_(None))
        )
        found |= {row.key: _incident(row) for row in connection.execute(query)}
    return found


def newest_of(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[int, int]:
    """Return the newest incident of each of these alerts that has one: alert → incident."""
    found: dict[int, int] = {}
    for some in in_chunks(alert_ids):
        newest = sa.func.max(incident_alerts.c.incident_id)
        query = sa.select(incident_alerts.c.alert_id, newest).where(incident_alerts.c.alert_id.in_(some))
        found |= {row[0]: row[1] for row in connection.execute(query.group_by(incident_alerts.c.alert_id))}
    return found


def occurrences(connection: sa.Connection, keys: Sequence[str], since: float) -> dict[tuple[str, str], int]:
    """Return how often since ``since`` alerts of each (incident key, severity) were raised, or began again when flapping."""
    found: Counter[tuple[str, str]] = Counter()
    inside = sa.join(incidents, incident_alerts, incident_alerts.c.incident_id == incidents.c.id)
    inside = inside.join(alerts, alerts.c.id == incident_alerts.c.alert_id)
    returned = inside.join(alert_returns, alert_returns.c.alert_id == alerts.c.id)
    for some in in_chunks(keys):
        for source, at in ((inside, alerts.c.raised_at), (returned, alert_returns.c.at)):
            query = (
                sa.select(incidents.c.key, alerts.c.severity, sa.func.count())
                .select_from(source)
                .where(incidents.c.key.in_(some), at > since)
                .group_by(incidents.c.key, alerts.c.severity)
            )
            for key, severity, number in connection.execute(query):
                found[key, severity] += number
    return found


def firing_as_labelled(connection: sa.Connection, incident_id: int, severity: str) -> list[int]:
    """Return the firing alerts of an incident with this severity in their labels whose severity was not raised yet."""
    query = (
        sa.select(alerts.c.id)
        .join(incident_alerts, incident_alerts.c.alert_id == alerts.c.id)
        .where(incident_alerts.c.incident_id == incident_id, FIRING, alerts.c.severity == severity)
        .where(~sa.exists().where(alert_rises.c.alert_id == alerts.c.id))
        .order_by(alerts.c.id)
    )
    return list(connection.execute(query).scalars())


def raise_to(
    connection: sa.Connection, alert_ids: Sequence[int], escalated_to: str, number: int, now: float
) -> None:
    """Raise the severity of alerts to ``escalated_to``, as there were ``number`` of their kind."""
    columns = ("alert_id", "escalated_to", "at", "occurrences")
    bulk.insert(connection, alert_rises, columns, [(i, escalated_to, now, number) for i in alert_ids])


def rises(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[int, str]:
    """Return the severity to which alerts were raised, by alert id, for those that were."""
    columns = ("alert_id", "escalated_to")
    return dict(bulk.select_in(connection, alert_rises, columns, "alert_id", alert_ids))


# --- pruning ----------------------------------------------------------------------------------------------


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` incidents ended before ``before`` with everything about them; return how many.

    The newest stays, as its id must not be given twice.
    """
    if limit <= 0:
        return 0
    newest = connection.execute(sa.select(sa.func.max(incidents.c.id))).scalar()
    query = sa.select(incidents.c.id).where(incidents.c.ended_at < before, incidents.c.id != newest)
    outdated = connection.execute(query.order_by(incidents.c.ended_at).limit(limit)).scalars().all()
    for some in in_chunks(outdated):
        inside = sa.select(incident_alerts.c.alert_id).where(incident_alerts.c.incident_id.in_(some))
        for column in (alert_rises.c.alert_id, alert_returns.c.alert_id):
            connection.execute(sa.delete(column.table).where(column.in_(inside)))
        for table in (incident_alerts, incident_entries):
            connection.execute(sa.delete(table).where(table.c.incident_id.in_(some)))
        connection.execute(sa.delete(incidents).where(incidents.c.id.in_(some)))
    return len(outdated)


def by_id(connection: sa.Connection, ids: Iterable[int]) -> dict[int, Incident]:
    """Return the incidents with these ids."""
    found: dict[int, Incident] = {}
    for some in in_chunks(sorted(set(ids))):
        for row in connection.execute(sa.select(incidents).where(incidents.c.id.in_(some))):
            found[row.id] = _incident(row)
    return found


def _incident(row: Any) -> Incident:
    return Incident(row.id, row.key, row.route, _from_json(row.labels), row.opened_at, row.ended_at)


def _json(pairs: Mapping[str, str]) -> str:
    return msgspec.json.encode(pairs).decode()


_from_json = msgspec.json.Decoder(dict[str, str]).decode
