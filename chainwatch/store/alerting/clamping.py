"""Correcting stored times that a wrong clock has left: no wait may last longer than it was meant to.

``shift`` moves them by as much as the clock was set while this process ran. The others are for a start, when nobody knows
by how much the clock that wrote them was off: they limit what lies further ahead than it can. All functions work inside the
caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from chainwatch.store.alerting.alert_tables import (
    acknowledgements,
    alert_expiries,
    alert_groups,
    alert_timers,
    last_notified,
    notifications,
    rate_windows,
    receiver_pauses,
    silences,
)
from chainwatch.store.alerting.escalation_tables import escalations
from chainwatch.store.tables import networks

SLACK = 60.0
"""Seconds by which a network may be seen ahead of the clock, which may itself be behind."""


def shift(connection: sa.Connection, by: float, now: float, by_calendar: Collection[str]) -> None:
    """Move waits after the clock was set by ``by`` seconds to ``now``: each goes on for as long as it had to.

    Times of the calendar stay: ends that people or senders named, and the groups of the routes ``by_calendar``. But a
    silence that had begun, and has not by the clock as it is now, begins now and keeps its length.
    """
    is_pending = notifications.c.status == "pending"
    n, a, g, e = notifications.c, acknowledgements.c, alert_groups.c, escalations.c
    for columns, where in (
        ((n.created_at, n.queued_at, n.next_attempt_at), is_pending),
        ((receiver_pauses.c.until,), None),
        ((a.at, a.until, a.reminded_at), None),
        ((alert_timers.c.due_at,), None),
        ((alert_expiries.c.expires_at,), alert_expiries.c.timeout == 1),
        ((g.flush_at, g.flushed_at, g.sent_at), g.route.not_in(by_calendar)),
        ((last_notified.c.at,), None),
        ((rate_windows.c.started_at,), None),
        ((e.started_at, e.due_at, e.stopped_at), None),
        (
            (silences.c.starts_at, silences.c.ends_at),
            sa.and_(silences.c.starts_at > now, silences.c.starts_at <= now - by),
        ),
    ):
        moved = sa.update(columns[0].table).values({column.name: column + by for column in columns})
        connection.execute(moved if where is None else moved.where(where))


def past(connection: sa.Connection, now: float) -> None:
    """Move the times of past events that lie after ``now`` to ``now``, and what counts from them accordingly."""
    for column in (
        notifications.c.created_at,
        notifications.c.queued_at,
        acknowledgements.c.reminded_at,
        last_notified.c.at,
        rate_windows.c.started_at,
        alert_groups.c.sent_at,
    ):
        _at_most(connection, column, now)
    moved = {"due_at": escalations.c.due_at - (escalations.c.started_at - now), "started_at": now}
    connection.execute(sa.update(escalations).where(escalations.c.started_at > now).values(moved))


def attempts(connection: sa.Connection, latest: float) -> None:
    """Have pending notifications tried by ``latest``."""
    _at_most(connection, notifications.c.next_attempt_at, latest, notifications.c.status == "pending")


def timers(connection: sa.Connection, latest: float) -> None:
    """Have alerts that wait to fire or to end do so by ``latest``."""
    _at_most(connection, alert_timers.c.due_at, latest)


def stopped_escalations(connection: sa.Connection, latest: float) -> None:
    """Have stopped escalations checked by ``latest``."""
    _at_most(connection, escalations.c.due_at, latest, escalations.c.stopped_at.is_not(None))


def timeouts(connection: sa.Connection, latest: float) -> None:
    """Have alerts that are not sent again end by ``latest``, unless their sender named an end."""
    _at_most(connection, alert_expiries.c.expires_at, latest, alert_expiries.c.timeout == 1)


def groups(
    connection: sa.Connection, route: str, now: float, *, wait: float, interval: float, longest: float
) -> None:
    """Have the groups of a route flushed within ``wait`` seconds if they are new, else within ``longest`` seconds.

    A group whose last flush lies after ``now`` is flushed within ``interval`` seconds.
    """
    here, flush_at, flushed_at = (
        alert_groups.c.route == route,
        alert_groups.c.flush_at,
        alert_groups.c.flushed_at,
    )
    _at_most(connection, flush_at, now + wait, sa.and_(here, flushed_at.is_(None)))
    _at_most(connection, flush_at, now + interval, sa.and_(here, flushed_at > now))
    _at_most(connection, flush_at, now + longest, here)
    _at_most(connection, flushed_at, now, here)


def seen(connection: sa.Connection, now: float) -> None:
    """Correct networks that were seen past ``now`` (S5), unless the clock is behind their own blocks."""
    too_far = sa.and_(networks.c.seen_until > now + SLACK, networks.c.timestamp <= now)
    connection.execute(sa.update(networks).where(too_far).values(seen_until=networks.c.timestamp))


def _at_most(
    connection: sa.Connection, column: Any, latest: float, where: sa.ColumnElement[bool] | None = None
) -> None:
    too_far = column > latest if where is None else sa.and_(column > latest, where)
    connection.execute(sa.update(column.table).where(too_far).values({column.name: latest}))
