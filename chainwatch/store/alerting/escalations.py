"""Running escalations and on-call overrides as rows.

All functions work inside the caller's transaction. Times are Unix seconds of this machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Escalation, StoredOverride
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import alert_members
from chainwatch.store.alerting.escalation_tables import escalations, oncall_overrides

_COLUMNS = ("incident_id", "policy", "round", "step", "started_at", "due_at", "stopped_at")


def save(connection: sa.Connection, changed: Sequence[Escalation]) -> None:
    """Store new and changed escalations."""
    bulk.upsert(connection, escalations, _COLUMNS, [msgspec.structs.astuple(one) for one in changed])


def due(connection: sa.Connection, now: float, limit: int) -> list[Escalation]:
    """Return up to ``limit`` escalations whose step is due, the longest due first."""
    query = (
        sa.select(*(escalations.c[name] for name in _COLUMNS))
        .where(escalations.c.due_at <= now, escalations.c.due_at.is_not(None))
        .order_by(escalations.c.due_at, escalations.c.incident_id)
        .limit(limit)
    )
    return [Escalation(*row) for row in connection.execute(query)]


def of_incident(connection: sa.Connection, incident_id: int) -> Escalation | None:
    """Return the escalation of an incident that is open, if it has one."""
    query = sa.select(*(escalations.c[name] for name in _COLUMNS))
    row = connection.execute(query.where(escalations.c.incident_id == incident_id)).first()
    return None if row is None else Escalation(*row)


def next_due(connection: sa.Connection) -> float | None:
    """Return when the next step of any escalation is due."""
    query = sa.select(sa.func.min(escalations.c.due_at)).where(escalations.c.due_at.is_not(None))
    return connection.execute(query).scalar()


def mark_notified(connection: sa.Connection, group_id: int, alert_ids: Sequence[int]) -> None:
    """Mark these alerts as notified in a group whose receiver a step has notified, so that it gets their resolutions."""
    rows = [(group_id, alert_id, 1) for alert_id in alert_ids]
    bulk.upsert(connection, alert_members, ("group_id", "alert_id", "notified"), rows)


# --- overrides --------------------------------------------------------------------------------------------


def add_override(
    connection: sa.Connection,
    schedule: str,
    person: str,
    starts_at: int,
    ends_at: int,
    author: str,
    now: float,
) -> int:
    """Store that ``person`` is on call for a time (Unix seconds); return the override's id."""
    values = {
        "schedule": schedule,
        "person": person,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "author": author,
        "created_at": now,
    }
    inserted = connection.execute(sa.insert(oncall_overrides).values(values)).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def remove_override(connection: sa.Connection, override_id: int) -> bool:
    """Delete an override; return whether there was one."""
    deleting = sa.delete(oncall_overrides).where(oncall_overrides.c.id == override_id)
    return connection.execute(deleting).rowcount > 0


def overrides(
    connection: sa.Connection, since: float, schedule: str | None = None
) -> dict[str, list[StoredOverride]]:
    """Return the overrides that end after ``since``, by schedule, oldest first."""
    columns = [oncall_overrides.c[name] for name in StoredOverride.__struct_fields__]
    query = sa.select(*columns).where(oncall_overrides.c.ends_at > since).order_by(oncall_overrides.c.id)
    if schedule is not None:
        query = query.where(oncall_overrides.c.schedule == schedule)
    found: dict[str, list[StoredOverride]] = {}
    for row in connection.execute(query):
        found.setdefault(row.schedule, []).append(StoredOverride(*row))
    return found
