"""The history of alerts, how often they were raised again, and their timers, as rows.

All functions work inside the caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert, Timer, Transition
from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import alert_repeats, alert_timers, alert_transitions, alerts
from chainwatch.store.alerting.alerts import in_chunks, milliseconds, seconds

_TRANSITION = Transition.__struct_fields__
_TIMER = Timer.__struct_fields__


def record(connection: sa.Connection, happened: Sequence[Transition]) -> None:
    """Add entries to the history."""
    if happened:
        connection.execute(sa.insert(alert_transitions), [msgspec.structs.asdict(one) for one in happened])


def of(connection: sa.Connection, alert: Alert) -> list[Transition]:
    """Return the whole history of ``alert`` with its start and its end, oldest first."""
    rows = connection.execute(
        sa.select(*(alert_transitions.c[name] for name in _TRANSITION))
        .where(alert_transitions.c.alert_id == alert.id)
        .order_by(alert_transitions.c.id)
    )
    happened = [Transition(*row) for row in rows]
    notified = {one.kind for one in happened}
    if not notified & {"pending", "firing"}:
        happened.insert(0, Transition(alert.id, alert.raised_at, "firing", "the condition holds"))
    if alert.state == "resolved" and "resolved" not in notified:
        happened.append(Transition(alert.id, alert.resolved_at or 0.0, "resolved", alert.reason))
    return sorted(happened, key=lambda one: one.at)


def acknowledged_last(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[int, Transition]:
    """Return the last acknowledgement in the history of each of these alerts that is still acknowledged."""
    tail = " AND kind IN ('acknowledged', 'unacknowledged') ORDER BY id"
    rows = bulk.select_in(connection, alert_transitions, _TRANSITION, "alert_id", alert_ids, tail)
    last = {one.alert_id: one for one in (Transition(*row) for row in rows)}
    return {alert_id: one for alert_id, one in last.items() if one.kind == "acknowledged"}


def count_repeats(connection: sa.Connection, numbers: Mapping[int, int], now: float) -> None:
    """Count that alerts were raised again so many times more (alert id → number)."""
    if not numbers:
        return
    known = repeats(connection, list(numbers))
    rows = [(alert_id, known.get(alert_id, 0) + number, now) for alert_id, number in numbers.items()]
    bulk.upsert(connection, alert_repeats, ("alert_id", "number", "last_at"), rows)


def repeats(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[int, int]:
    """Return how often these alerts were raised again while they fired."""
    found: dict[int, int] = {}
    for some in in_chunks(alert_ids):
        query = sa.select(alert_repeats.c.alert_id, alert_repeats.c.number)
        rows = connection.execute(query.where(alert_repeats.c.alert_id.in_(some)))
        found |= {row.alert_id: row.number for row in rows}
    return found


def changes_since(connection: sa.Connection, fingerprints: Sequence[str], since: float) -> dict[str, int]:
    """Return how often the condition of each fingerprint began or ended since ``since``."""
    found: dict[str, int] = {}
    at = repr(
        float(since)
    )  # a literal: a statement that SQLAlchemy has to build takes a multiple of the time
    tail = f" AND (raised_at >= {at} OR resolved_at >= {at})"
    columns = ("fingerprint", "raised_at", "resolved_at")
    for fingerprint, *times in bulk.select_in(connection, alerts, columns, "fingerprint", fingerprints, tail):
        changes = sum(time is not None and time >= since for time in times)
        found[fingerprint] = found.get(fingerprint, 0) + changes
    return found


def set_timers(connection: sa.Connection, timers: Sequence[Timer]) -> None:
    """Store timers; a timer of an alert replaces the one before."""
    bulk.upsert(connection, alert_timers, _TIMER, [_timer_row(one) for one in timers])


def stop_timers(connection: sa.Connection, alert_ids: Sequence[int]) -> None:
    """Delete the timers of these alerts."""
    bulk.change_in(connection, "DELETE FROM alert_timers WHERE alert_id IN ?", alert_ids)


def timers_of(connection: sa.Connection, alert_ids: Sequence[int]) -> dict[int, Timer]:
    """Return the timers of these alerts."""
    rows = bulk.select_in(connection, alert_timers, _TIMER, "alert_id", alert_ids)
    return {row.alert_id: _timer(row) for row in rows}


def due_timers(connection: sa.Connection, now: float, limit: int) -> list[Timer]:
    """Return up to ``limit`` timers that are due, the longest due first."""
    query = (
        sa.select(*(alert_timers.c[name] for name in _TIMER))
        .where(alert_timers.c.due_at <= now)
        .order_by(alert_timers.c.due_at, alert_timers.c.alert_id)
        .limit(limit)
    )
    return [_timer(row) for row in connection.execute(query)]


def next_timer(connection: sa.Connection) -> float | None:
    """Return when the next timer is due; None without timers."""
    return connection.execute(sa.select(sa.func.min(alert_timers.c.due_at))).scalar()


def _timer_row(timer: Timer) -> tuple[Any, ...]:
    """Return the values in the order of the columns."""
    ends_at = None if timer.ends_at is None else milliseconds(timer.ends_at)
    return msgspec.structs.astuple(msgspec.structs.replace(timer, ends_at=ends_at))


def _timer(row: Any) -> Timer:
    timer = Timer(*row)
    ends_at = None if timer.ends_at is None else seconds(int(timer.ends_at))
    return msgspec.structs.replace(timer, ends_at=ends_at)
