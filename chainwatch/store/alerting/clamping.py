"""Correct stored times that lie further ahead than they can: a wrong clock has left them, and nothing must wait for them.

All functions work inside the caller's transaction; times are Unix seconds.
"""

from __future__ import annotations

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
)
from chainwatch.store.alerting.escalation_tables import escalations
from chainwatch.store.tables import networks

SLACK = 60.0
"""Seconds by which a network may be seen ahead of the clock, which may itself be behind."""


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
