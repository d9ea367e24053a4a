"""Counts and durations of alerts and deliveries in a window of time.

All functions work inside the caller's transaction. Times are Unix seconds of this machine: an alert belongs to the window
in which this process noticed that it fires, a notification to the one in which it was queued.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.store.alerting.alert_tables import alert_transitions, alerts, notifications
from chainwatch.store.alerting.alerts import by_id, in_chunks
from chainwatch.store.bulk import IN_LIST_MAX

ACKNOWLEDGED = "acknowledged"
"""The kind of transition that an acknowledgement is."""


class Delivery(msgspec.Struct, frozen=True):
    """The delivery of one notification: ``finished_at`` is when it was delivered, given up or dropped."""

    receiver: str
    status: str
    attempts: int
    created_at: float
    finished_at: float | None


class Kind(msgspec.Struct, frozen=True):
    """The alerts of one name and severity: how many, and the seconds from their starts on, summed up."""

    name: str
    severity: str
    number: int
    firing: int
    acknowledged: int
    to_acknowledge: float
    resolved: int
    to_resolve: float


def kinds(connection: sa.Connection, since: float | None = None, until: float | None = None) -> list[Kind]:
    """Return the alerts raised from ``since`` until just before ``until``, by name and severity; by default all."""
    taken_at = (
        sa.select(sa.func.min(alert_transitions.c.at))
        .where(
            alert_transitions.c.alert_id == alerts.c.id,
            alert_transitions.c.kind == sa.literal_column(f"'{ACKNOWLEDGED}'"),  # as the index has it
        )
        .scalar_subquery()
    )
    columns = (alerts.c.name, alerts.c.severity, alerts.c.state, alerts.c.starts_at, alerts.c.ends_at)
    chosen = sa.select(*columns, taken_at.label("taken_at"))
    if since is not None:
        chosen = chosen.where(alerts.c.raised_at >= since)
    if until is not None:
        chosen = chosen.where(alerts.c.raised_at < until)
    one = chosen.subquery().c
    waited = one.taken_at - one.starts_at / 1000.0
    lasted = (one.ends_at - one.starts_at) / 1000.0  # SQLite refuses sums of integers that are too large
    query = (
        sa.select(
            one.name,
            one.severity,
            sa.func.count(),
            sa.func.sum(sa.case((one.state == "firing", 1), else_=0)),
            sa.func.count(one.taken_at),
            sa.func.coalesce(sa.func.sum(sa.case((waited > 0, waited), else_=0.0)), 0.0),
            sa.func.count(one.ends_at),
            sa.func.coalesce(sa.func.sum(lasted), 0.0),
        )
        .group_by(one.name, one.severity)
        .order_by(one.name, one.severity)
    )
    return [
        Kind(name, severity, number, int(firing), taken, float(waited), ended, float(lasted))
        for name, severity, number, firing, taken, waited, ended, lasted in connection.execute(query)
    ]


def raised(connection: sa.Connection, since: float, until: float) -> Iterator[Alert]:
    """Yield the alerts raised from ``since`` until just before ``until``, in the order of their ids, read in pages."""
    after = 0
    while True:
        query = (
            sa.select(alerts.c.id)
            .where(alerts.c.raised_at >= since, alerts.c.raised_at < until, alerts.c.id > after)
            .order_by(alerts.c.id)
            .limit(IN_LIST_MAX)
        )
        ids = connection.execute(query).scalars().all()
        found = by_id(connection, ids)
        yield from (found[i] for i in ids)
        if len(ids) < IN_LIST_MAX:
            return
        after = ids[-1]


def count_raised(connection: sa.Connection, since: float, until: float) -> dict[str, int]:
    """Return how many alerts of each severity were raised in the window."""
    query = (
        sa.select(alerts.c.severity, sa.func.count().label("number"))
        .where(alerts.c.raised_at >= since, alerts.c.raised_at < until)
        .group_by(alerts.c.severity)
    )
    return {row.severity: row.number for row in connection.execute(query)}


def acknowledged_at(connection: sa.Connection, alert_ids: list[int]) -> dict[int, float]:
    """Return when each of these alerts was first acknowledged, for those that were."""
    found: dict[int, float] = {}
    for some in in_chunks(alert_ids):
        query = (
            sa.select(alert_transitions.c.alert_id, sa.func.min(alert_transitions.c.at).label("first_at"))
            .where(alert_transitions.c.alert_id.in_(some), alert_transitions.c.kind == ACKNOWLEDGED)
            .group_by(alert_transitions.c.alert_id)
        )
        found |= {row.alert_id: row.first_at for row in connection.execute(query)}
    return found


def deliveries(connection: sa.Connection, since: float, until: float) -> Iterator[Delivery]:
    """Yield the notifications queued in the window."""
    columns = [notifications.c[name] for name in Delivery.__struct_fields__]
    query = sa.select(*columns).where(notifications.c.created_at >= since, notifications.c.created_at < until)
    return (Delivery(*row) for row in connection.execute(query))
