"""The queues of notifications as rows: added, marked with their outcome, listed, and operated on by people.

All functions work inside the caller's transaction; times are Unix seconds of this machine. A notification is
``pending`` until it is ``delivered``, ``dead`` (given up, still visible) or ``dropped`` (by a person).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import notifications, receiver_pauses
from chainwatch.store.alerting.alerts import in_chunks

LATE = 1.0
"""Seconds in its queue after which a notification counts as delivered late."""

Kind = Literal["", "digest", "limited", "update"]
"""``digest``: a summary at set times, which may be empty; ``limited``: alerts over a rate limit; ``update``: only changes
the message that stands in the channel, and notifies nobody; empty: any other."""
Status = Literal["pending", "delivered", "dead", "dropped"]

PENDING = notifications.c.status == sa.literal_column("'pending'")
"""With a literal, so that the partial indexes are used."""

_earlier = notifications.alias("earlier")
IS_OLDEST_OF_KEY = (
    notifications.c.id
    == sa.select(sa.func.min(_earlier.c.id))
    .where(_earlier.c.receiver == notifications.c.receiver, _earlier.c.key == notifications.c.key)
    .where(_earlier.c.status == sa.literal_column("'pending'"))
    .scalar_subquery()
)
"""The condition that no pending notification of the same receiver and group is older."""


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """The stored content of a notification: the ids of its firing and of its resolved alerts.

    ``note``: a line that precedes them. ``folded``: it was several notifications, so an alert may be in both.
    """

    labels: Mapping[str, str]
    firing: tuple[int, ...]
    resolved: tuple[int, ...]
    kind: Kind = ""
    note: str = ""
    folded: bool = False
    template: str = ""
    """The name of the template that its route sets, or empty."""


class QueuedNotification(msgspec.Struct, frozen=True):
    """A notification in its queue. ``key`` is its group's; those that share it are delivered in the order of ``id``."""

    id: int
    receiver: str
    key: str
    payload: Payload
    status: Status
    attempts: int
    next_attempt_at: float
    created_at: float
    queued_at: float
    idempotency_key: str
    finished_at: float | None = None
    last_error: str | None = None


class Depth(msgspec.Struct, frozen=True):
    """The number of a receiver's notifications with a status, and when the oldest of them was created."""

    receiver: str
    status: Status
    number: int
    oldest: float


def enqueue(connection: sa.Connection, new: Sequence[tuple[str, str, Payload]], now: float) -> None:
    """Put new notifications, as (receiver, key, payload), into their queues, in this order."""
    rows = [
        (receiver, key, encode_payload(payload), now, now, now, uuid.uuid4().hex)
        for receiver, key, payload in new
    ]
    bulk.change(connection, _ENQUEUE, rows)


def get(connection: sa.Connection, notification_id: int) -> QueuedNotification | None:
    """Return one notification, or None where there is none with this id."""
    row = connection.execute(sa.select(notifications).where(notifications.c.id == notification_id)).first()
    return None if row is None else queued_from(row)


def by_idempotency_key(connection: sa.Connection, idempotency_key: str) -> QueuedNotification | None:
    """Return the notification with this key; None where there is none, or it is pruned."""
    query = sa.select(notifications).where(notifications.c.idempotency_key == idempotency_key)
    row = connection.execute(query).first()
    return None if row is None else queued_from(row)


def newest(connection: sa.Connection, receiver: str, key: str) -> QueuedNotification | None:
    """Return the last notification of ``receiver`` and group ``key``; None once that is pruned."""
    query = sa.select(notifications).where(notifications.c.receiver == receiver, notifications.c.key == key)
    row = connection.execute(query.order_by(notifications.c.id.desc()).limit(1)).first()
    return None if row is None else queued_from(row)


def newest_by_key(
    connection: sa.Connection, receiver: str, keys: Sequence[str]
) -> dict[str, QueuedNotification]:
    """Return by group key the last notification of ``receiver``, for those of ``keys`` that have any."""
    found: dict[str, QueuedNotification] = {}
    for some in in_chunks(keys):
        last = (
            sa.select(sa.func.max(notifications.c.id))
            .where(notifications.c.receiver == receiver, notifications.c.key.in_(some))
            .group_by(notifications.c.key)
        )
        rows = connection.execute(sa.select(notifications).where(notifications.c.id.in_(last)))
        found |= {row.key: queued_from(row) for row in rows}
    return found


def mark_delivered(connection: sa.Connection, delivered: Sequence[tuple[int, float]]) -> None:
    """Mark notifications, as (id, when they were delivered), unless a person has dropped them meanwhile.

    The repeat interval of a group counts from its last delivery, so a late one is not followed by a repeat at once.
    """
    delivered_at = dict(delivered)
    queued = bulk.select_in(connection, notifications, ("id", "created_at"), "id", list(delivered_at))
    late = [(delivered_at[row[0]], row[0]) for row in queued if delivered_at[row[0]] > row[1] + LATE]
    bulk.change(connection, _SENT_LATE, late)
    bulk.change(
        connection,
        "UPDATE notifications SET status = 'delivered', attempts = attempts + 1, finished_at = ?, last_error = NULL "
        "WHERE id = ? AND status = 'pending'",
        [(at, notification_id) for notification_id, at in delivered],
    )


def mark_failed(
    connection: sa.Connection, tried: QueuedNotification, error: str, next_attempt_at: float
) -> None:
    """Note a failed attempt and the time of the next one."""
    _settle(
        connection,
        tried,
        attempts=notifications.c.attempts + 1,
        next_attempt_at=next_attempt_at,
        last_error=error,
    )


def pause(connection: sa.Connection, receiver: str, until: float) -> None:
    """Store that nothing is sent to ``receiver`` before ``until``, for display."""
    bulk.upsert(connection, receiver_pauses, ("receiver", "until"), [(receiver, until)])


def end_pause(connection: sa.Connection, receivers: Sequence[str]) -> None:
    """Delete the pauses of these receivers."""
    bulk.delete(connection, receiver_pauses, ("receiver",), [(receiver,) for receiver in receivers])


def next_attempts(connection: sa.Connection, queued: Sequence[QueuedNotification]) -> dict[int, float]:
    """Return by id when the pending ones of ``queued`` are tried next.

    That is not before their own time, nor before those of the same group that were queued earlier, nor within the
    receiver's pause.
    """
    pending = [one for one in queued if one.status == "pending"]
    pauses = {row.receiver: row.until for row in connection.execute(sa.select(receiver_pauses))}
    heads: dict[tuple[str, str], float] = {}
    for some in in_chunks(sorted({one.key for one in pending})):
        query = sa.select(
            notifications.c.receiver, notifications.c.key, notifications.c.next_attempt_at
        ).where(PENDING, notifications.c.key.in_(some), IS_OLDEST_OF_KEY)
        heads |= {(row.receiver, row.key): row.next_attempt_at for row in connection.execute(query)}
    return {
        one.id: max(
            one.next_attempt_at,
            heads.get((one.receiver, one.key), 0.0),
            pauses.get(one.receiver, 0.0),
        )
        for one in pending
    }


def mark_dead(connection: sa.Connection, tried: QueuedNotification, error: str, now: float) -> None:
    """Give a notification up; a person may still have it retried."""
    _settle(
        connection,
        tried,
        status="dead",
        attempts=notifications.c.attempts + 1,
        finished_at=now,
        last_error=error,
    )


def list_notifications(
    connection: sa.Connection,
    *,
    receiver: str | None = None,
    status: Status | None = None,
    limit: int = 100,
    before_id: int | None = None,
) -> list[QueuedNotification]:
    """Return notifications, newest first; ``before_id`` is the last id of the page before."""
    query = sa.select(notifications).order_by(notifications.c.id.desc()).limit(limit)
    if receiver is not None:
        query = query.where(notifications.c.receiver == receiver)
    if status is not None:
        query = query.where(notifications.c.status == status)
    if before_id is not None:
        query = query.where(notifications.c.id < before_id)
    return [queued_from(row) for row in connection.execute(query)]


def status_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Status]:
    """Return the status of each of these notifications that is stored, by id."""
    return dict(bulk.select_in(connection, notifications, ("id", "status"), "id", ids))


def depths(connection: sa.Connection) -> list[Depth]:
    """Return how many notifications there are of each receiver and status."""
    by = (notifications.c.status, notifications.c.receiver)
    counted = sa.select(*by, sa.func.count(), sa.func.min(notifications.c.id)).group_by(*by)
    found = connection.execute(counted).all()
    created = dict(
        bulk.select_in(connection, notifications, ("id", "created_at"), "id", [row[3] for row in found])
    )
    return sorted(
        (Depth(receiver, status, number, created[first]) for status, receiver, number, first in found),
        key=lambda depth: (depth.receiver, depth.status),
    )


def has_pending(connection: sa.Connection, receivers: Sequence[str]) -> bool:
    """Return whether any of ``receivers`` has a pending notification."""
    query = sa.select(notifications.c.id).where(PENDING, notifications.c.receiver.in_(receivers)).limit(1)
    return connection.execute(query).first() is not None


def has_failed(connection: sa.Connection, receiver: str) -> bool:
    """Return whether any pending notification of ``receiver`` has a failed attempt."""
    query = sa.select(notifications.c.id).where(
        PENDING, notifications.c.receiver == receiver, notifications.c.attempts > 0
    )
    return connection.execute(query.limit(1)).first() is not None


def retry(
    connection: sa.Connection, now: float, *, ids: Sequence[int] | None = None, receiver: str | None = None
) -> int:
    """Retry pending and dead notifications, by ``ids`` or all of ``receiver``, at once, as if never tried; return how many.

    Their next attempt lies in the past, as the sending process may have another clock. By id, dropped ones are retried too.
    """
    end_pause(connection, [receiver] if receiver is not None else _receivers(connection, ids or ()))
    statuses = ["pending", "dead", "dropped"] if ids is not None else ["pending", "dead"]
    values = {
        "status": "pending",
        "attempts": 0,
        "next_attempt_at": notifications.c.created_at,
        "queued_at": now,
        "finished_at": None,
    }
    return _change(connection, statuses, values, ids, receiver)


def retried_at(connection: sa.Connection, receiver: str, since: float) -> float | None:
    """Return when a person last asked for a retry of pending notifications of ``receiver``; None: not after ``since``."""
    asked = notifications.c.queued_at
    return connection.execute(
        sa.select(sa.func.max(asked)).where(
            PENDING, notifications.c.receiver == receiver, asked > notifications.c.created_at, asked > since
        )
    ).scalar()


def discard(connection: sa.Connection, notification_id: int) -> None:
    """Delete a pending notification without a trace: it had nothing to say to its channel."""
    connection.execute(sa.delete(notifications).where(notifications.c.id == notification_id, PENDING))


def drop(
    connection: sa.Connection, now: float, *, ids: Sequence[int] | None = None, receiver: str | None = None
) -> int:
    """Drop pending and dead notifications, by ``ids`` or all of ``receiver``; return how many."""
    return _change(connection, ["pending", "dead"], {"status": "dropped", "finished_at": now}, ids, receiver)


def prune(connection: sa.Connection, before: float, limit: int = 1000) -> int:
    """Delete up to ``limit`` notifications delivered or dropped before ``before``; return how many were deleted."""
    old = (
        sa.select(notifications.c.id)
        .where(notifications.c.status.in_(["delivered", "dropped"]), notifications.c.finished_at < before)
        .limit(limit)
    )
    return connection.execute(sa.delete(notifications).where(notifications.c.id.in_(old))).rowcount


def _settle(connection: sa.Connection, tried: QueuedNotification, **values: Any) -> None:
    """Change a notification unless a person has dropped it, or asked for a retry, since it was claimed."""
    as_tried = (notifications.c.id == tried.id, notifications.c.queued_at == tried.queued_at, PENDING)
    connection.execute(sa.update(notifications).where(*as_tried).values(**values))


def _receivers(connection: sa.Connection, ids: Sequence[int]) -> list[str]:
    found: set[str] = set()
    for some in in_chunks(ids):
        found |= set(
            connection.execute(
                sa.select(notifications.c.receiver).where(notifications.c.id.in_(some)).distinct()
            ).scalars()
        )
    return sorted(found)


def _change(
    connection: sa.Connection,
    statuses: Sequence[str],
    values: Mapping[str, Any],
    ids: Sequence[int] | None,
    receiver: str | None,
) -> int:
    update = sa.update(notifications).where(notifications.c.status.in_(statuses)).values(**values)
    if ids is not None:
        chosen = [notifications.c.id.in_(some) for some in in_chunks(ids)]
        return sum(connection.execute(update.where(some)).rowcount for some in chosen)
    if receiver is not None:
        return connection.execute(update.where(notifications.c.receiver == receiver)).rowcount
    raise ValueError("name notifications by ids or by receiver")


def queued_from(row: Any) -> QueuedNotification:
    """Return a row of the table with all its columns, as a notification."""
    return QueuedNotification(
        id=row.id,
        receiver=row.receiver,
        key=row.key,
        payload=payload_of(row.payload),
        status=row.status,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        created_at=row.created_at,
        queued_at=row.queued_at,
        idempotency_key=row.idempotency_key,
        finished_at=row.finished_at,
        last_error=row.last_error,
    )


_SENT_LATE = (
    "UPDATE alert_groups SET sent_at = ? WHERE sent_at IS NOT NULL AND (key, receiver) IN "
    "(SELECT key, receiver FROM notifications WHERE id = ?)"
)
_ENQUEUE = (
    "INSERT INTO notifications (receiver, key, payload, status, attempts, next_attempt_at, created_at, queued_at, "
    "idempotency_key) VALUES (?, ?, ?, 'pending', 0, ?, ?, ?, ?)"
)
encode_payload = msgspec.msgpack.Encoder().encode
payload_of = msgspec.msgpack.Decoder(Payload).decode
