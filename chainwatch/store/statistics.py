"""What alerts and deliveries there were in a window of time, as numbers.

All functions work inside the caller's transaction. Times are Unix seconds of this machine: an alert belongs to the window
in which this process learnt that it fires, a notification to the one in which it was queued.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa

from chainwatch.store.alert_tables import alert_transitions, alerts, notifications
from chainwatch.store.alerts import Alert, by_id, in_chunks
from chainwatch.store.bulk import IN_LIST_MAX

ACKNOWLEDGED = "acknowledged"
"""The kind of transition that tells of an acknowledgement."""


class Delivery(msgspec.Struct, frozen=True):
    """A notification on its way: ``finished_at`` is when it was delivered, given up or dropped."""

    receiver: str
    status: str
    attempts: int
    created_at: float
    finished_at: float | None


def raised(connection: sa.Connection, since: float, until: float) -> Iterator[Alert]:
    """The alerts raised from ``since`` until just before ``until``, in the order of their ids, read in pages."""
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
    """How many alerts of each severity were raised in the window."""
    query = (
        sa.select(alerts.c.severity, sa.func.count().label("number"))
        .where(alerts.c.raised_at >= since, alerts.c.raised_at < until)
        .group_by(alerts.c.severity)
    )
    return {row.severity: row.number for row in connection.execute(query)}


def acknowledged_at(connection: sa.Connection, alert_ids: list[int]) -> dict[int, float]:
    """When each of these alerts was first acknowledged, for those that were."""
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
    """The notifications queued in the window."""
    columns = [notifications.c[name] for name in Delivery.__struct_fields__]
    query = sa.select(*columns).where(notifications.c.created_at >= since, notifications.c.created_at < until)
    return (Delivery(*row) for row in connection.execute(query))
