"""Which notifications were queued when, and about which alerts. Times are Unix seconds of this machine."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.store.alerting.alert_tables import notifications
from chainwatch.store.alerting.alerts import in_chunks
from chainwatch.store.alerting.outbox import QueuedNotification, queued_from

SEARCHED_MAX = 16
"""Of how many alerts at most notifications are searched by the bytes of their ids."""


def between(connection: sa.Connection, since: float, until: float | None = None) -> list[QueuedNotification]:
    """Return the notifications queued from ``since`` to ``until``, oldest first, without updates of messages."""
    query = sa.select(notifications).where(notifications.c.created_at >= since).order_by(notifications.c.id)
    if until is not None:
        query = query.where(notifications.c.created_at <= until)
    return [one for one in map(queued_from, connection.execute(query)) if one.payload.kind != "update"]


def about(
    connection: sa.Connection, alert_ids: Sequence[int], since: float, until: float | None
) -> list[QueuedNotification]:
    """Return the notifications with any of these alerts, queued from ``since`` to ``until``, oldest first.

    Without updates of messages.
    """
    wanted = set(alert_ids)
    query = sa.select(notifications.c.id, notifications.c.payload).where(notifications.c.created_at >= since)
    if until is not None:
        query = query.where(notifications.c.created_at <= until)
    if len(wanted) <= SEARCHED_MAX:
        query = query.where(sa.or_(*(_may_name(connection, alert_id) for alert_id in wanted)))
    found = [
        number
        for number, payload in connection.execute(query)
        if not wanted.isdisjoint((named := _ids_of(payload)).firing) or not wanted.isdisjoint(named.resolved)
    ]
    whole = [one for some in in_chunks(found) for one in _with_ids(connection, some)]
    return sorted((one for one in whole if one.payload.kind != "update"), key=lambda one: one.id)


def _may_name(connection: sa.Connection, alert_id: int) -> sa.ColumnElement[bool]:
    """Return whether a payload holds the bytes of ``alert_id``, as one that names it does."""
    part = sa.literal(msgspec.msgpack.encode(alert_id), sa.LargeBinary)
    payload = notifications.c.payload
    if connection.dialect.name == "postgresql":
        return sa.func.position(part.op("IN")(payload)) > 0
    return sa.func.instr(payload, part) > 0


def _with_ids(connection: sa.Connection, ids: Sequence[int]) -> list[QueuedNotification]:
    rows = connection.execute(sa.select(notifications).where(notifications.c.id.in_(ids)))
    return list(map(queued_from, rows))


class _Ids(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a ``Payload``, of which only the alerts' ids are read."""

    labels: msgspec.Raw
    firing: tuple[int, ...]
    resolved: tuple[int, ...]


_ids_of = msgspec.msgpack.Decoder(_Ids).decode
