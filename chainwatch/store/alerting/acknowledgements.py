"""Acknowledgements as rows. All functions work inside the caller's transaction; times are Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.alert_model import Acknowledgement
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import acknowledgements
from chainwatch.store.alerting.alerts import in_chunks

_COLUMNS = ("alert_id", "actor", "at", "note", "until", "severity", "reminded_at")


def save(connection: sa.Connection, new: Sequence[Acknowledgement]) -> None:
    """Store acknowledgements; one of an alert replaces the one before."""
    rows = [tuple(getattr(one, name) for name in _COLUMNS) for one in new]
    bulk.upsert(connection, acknowledgements, _COLUMNS, rows)


def of(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[int, Acknowledgement]:
    """Return the acknowledgements of these alerts."""
    found = {}
    for some in in_chunks(alert_ids):
        for row in connection.execute(
            sa.select(acknowledgements).where(acknowledgements.c.alert_id.in_(some))
        ):
            found[row.alert_id] = _acknowledgement(row)
    return found


def every(connection: sa.Connection) -> list[Acknowledgement]:
    """Return all acknowledgements, by alert."""
    statement = f"SELECT {', '.join(_COLUMNS)} FROM acknowledgements ORDER BY alert_id"  # noqa: S608
    return [_acknowledgement(row) for row in bulk.select(connection, statement)]


def remove(connection: sa.Connection, alert_ids: Sequence[int]) -> None:
    """Delete the acknowledgements of these alerts."""
    bulk.change_in(connection, "DELETE FROM acknowledgements WHERE alert_id IN ?", alert_ids)


def set_reminded(connection: sa.Connection, alert_ids: Sequence[int], now: float) -> None:
    """Store that the people who acknowledged these alerts are reminded at ``now``."""
    for some in in_chunks(alert_ids):
        connection.execute(
            sa.update(acknowledgements).where(acknowledgements.c.alert_id.in_(some)).values(reminded_at=now)
        )


def _acknowledgement(row: Any) -> Acknowledgement:
    return Acknowledgement(**{name: getattr(row, name) for name in _COLUMNS})
