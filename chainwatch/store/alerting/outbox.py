"""The queues of notifications as rows: claimed oldest first per key, settled, and operated on by people.

All functions work inside the caller's transaction; times are Unix seconds of this machine. A notification is
``pending`` until it is ``delivered``, ``dead`` (given up, still visible) or ``dropped`` (by a person).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import notifications, receiver_pauses
from chainwatch.store.alerting.alerts import in_chunks

LATE = 1.0
"""Seconds in its queue after which a notification counts as delivered late."""

Kind = Literal["", "digest", "limited"]
"""A digest, which may be empty; what was over a rate limit; or a notification as usual."""
Status = Literal["pending", "delivered", "dead", "dropped"]

PENDING = notifications.c.status == sa.literal_column("'pending'")
"""As a literal, or the partial indexes would not be used."""

_earlier = notifications.alias("earlier")
_IS_OLDEST_OF_KEY = (
    notifications.c.id
    == sa.select(sa.func.min(_earlier.c.id))
    .where(_earlier.c.receiver == notifications.c.receiver, _earlier.c.key == notifications.c.key)
    .where(_earlier.c.status == sa.literal_column("'pending'"))
    .scalar_subquery()
)
_READY = (
    sa.select(notifications)
    .where(PENDING, notifications.c.receiver == sa.bindparam("receiver"), _IS_OLDEST_OF_KEY)
    .where(notifications.c.next_attempt_at <= sa.bindparam("now"))
    .order_by(notifications.c.id)
    .limit(sa.bindparam("limit"))
)
_PROBE = (
    sa.select(notifications)
    .where(PENDING, notifications.c.receiver == sa.bindparam("receiver"), _IS_OLDEST_OF_KEY)
    .order_by(notifications.c.attempts, notifications.c.id)
    .limit(1)
)
_PENDING_OF = (
    sa.select(notifications.c.id)
    .where(PENDING, notifications.c.receiver == sa.bindparam("receiver"))
    .limit(sa.bindparam("limit"))
)


class Payload(msgspec.Struct, frozen=True, array_like=True):
    """What a notification says: the ids of the alerts told as firing and of those told as resolved.

    ``note``: a line to be put first. ``folded``: it was several; an alert may be told as both.
    """

    labels: Mapping[str, str]
    firing: tuple[int, ...]
    resolved: tuple[int, ...]
    kind: Kind = ""
    note: str = ""
    folded: bool = False


class Queued(msgspec.Struct, frozen=True):
    """A notification in its queue. ``key`` is its group's; what shares it is delivered in order of ``id``."""

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
    """How many notifications of a receiver have a status, and when the oldest of them was made."""

    receiver: str
    status: Status
    number: int
    oldest: float


def enqueue(connection: sa.Connection, messages: Sequence[tuple[str, str, Payload]], now: float) -> None:
    """Put messages, as (receiver, key, payload), into their queues, in this order."""
    rows = [
        (receiver, key, encode_payload(payload), now, now, now, uuid.uuid4().hex)
        for receiver, key, payload in messages
    ]
    bulk.change(connection, _ENQUEUE, rows)


class Claim(msgspec.Struct, frozen=True):
    """What of a queue can be tried now; ``next_ready``: when the next one can, where none can and any is pending.

    ``has_more``: others are pending, which wait for those that were found, for busy ones, or for their time.
    """

    found: list[Queued]
    next_ready: float | None
    has_more: bool


def claim(
    connection: sa.Connection, receiver: str, now: float, limit: int, busy: Collection[str] = ()
) -> Claim:
    """Up to ``limit`` notifications of ``receiver`` to try now, the oldest first.

    Each is the oldest pending one of its key; keys in ``busy`` are left out.
    """
    ready = _READY
    heads = [PENDING, notifications.c.receiver == sa.bindparam("receiver"), _IS_OLDEST_OF_KEY]
    if busy:
        heads.append(notifications.c.key.not_in(sorted(busy)))
        ready = ready.where(notifications.c.key.not_in(sorted(busy)))
    rows = connection.execute(ready, {"receiver": receiver, "now": now, "limit": limit}).all()
    next_ready = None
    if not rows:
        earliest = sa.select(sa.func.min(notifications.c.next_attempt_at)).where(*heads)
        next_ready = connection.execute(earliest, {"receiver": receiver}).scalar()
    known = len(rows) + len(busy)
    pending = connection.execute(_PENDING_OF, {"receiver": receiver, "limit": known + 1}).all()
    return Claim([_queued(row) for row in rows], next_ready, len(pending) > known)


def claim_probe(connection: sa.Connection, receiver: str, busy: Collection[str] = ()) -> Claim:
    """The notification of ``receiver`` by which to find out whether it is back, whenever it was to be tried.

    Of the oldest of each key the one with the fewest attempts: one that is refused for what it says holds up no others.
    """
    query = _PROBE.where(notifications.c.key.not_in(sorted(busy))) if busy else _PROBE
    rows = connection.execute(query, {"receiver": receiver}).all()
    return Claim([_queued(row) for row in rows], None, bool(rows))


def get(connection: sa.Connection, notification_id: int) -> Queued | None:
    """One notification, or None where there is none with this id."""
    row = connection.execute(sa.select(notifications).where(notifications.c.id == notification_id)).first()
    return None if row is None else _queued(row)


def newest(connection: sa.Connection, receiver: str, key: str) -> Queued | None:
    """The notification of ``receiver`` and group ``key`` that was queued last, as far as it is kept."""
    query = sa.select(notifications).where(notifications.c.receiver == receiver, notifications.c.key == key)
    row = connection.execute(query.order_by(notifications.c.id.desc()).limit(1)).first()
    return None if row is None else _queued(row)


def mark_delivered(connection: sa.Connection, delivered: Sequence[tuple[int, float]]) -> None:
    """The receiver has taken these, as (notification id, when), unless a person has taken them out of the queue.

    The repeats of a group count from when its receiver heard of it, so one that heard late is not told twice in a row.
    """
    heard_at = dict(delivered)
    queued = bulk.select_in(connection, notifications, ("id", "created_at"), "id", list(heard_at))
    late = [(heard_at[row[0]], row[0]) for row in queued if heard_at[row[0]] > row[1] + LATE]
    bulk.change(connection, _HEARD_LATE, late)
    bulk.change(
        connection,
        "UPDATE notifications SET status = 'delivered', attempts = attempts + 1, finished_at = ?, last_error = NULL "
        "WHERE id = ? AND status = 'pending'",
        [(at, notification_id) for notification_id, at in delivered],
    )


def mark_failed(connection: sa.Connection, tried: Queued, error: str, next_attempt_at: float) -> None:
    """It was not taken and will be tried again."""
    _settle(
        connection,
        tried,
        attempts=notifications.c.attempts + 1,
        next_attempt_at=next_attempt_at,
        last_error=error,
    )


def pause(connection: sa.Connection, receiver: str, until: float) -> None:
    """Note that nothing goes to ``receiver`` before ``until``, for those who look."""
    bulk.upsert(connection, receiver_pauses, ("receiver", "until"), [(receiver, until)])


def end_pause(connection: sa.Connection, receivers: Sequence[str]) -> None:
    """Note that these are tried again."""
    bulk.delete(connection, receiver_pauses, ("receiver",), [(receiver,) for receiver in receivers])


def next_attempts(connection: sa.Connection, queued: Sequence[Queued]) -> dict[int, float]:
    """By id, when each pending one of ``queued`` is tried next: after those before it, and after its receiver's pause."""
    pending = [one for one in queued if one.status == "pending"]
    pauses = {row.receiver: row.until for row in connection.execute(sa.select(receiver_pauses))}
    heads: dict[tuple[str, str], float] = {}
    for some in in_chunks(sorted({one.key for one in pending})):
        query = sa.select(
            notifications.c.receiver, notifications.c.key, notifications.c.next_attempt_at
        ).where(PENDING, notifications.c.key.in_(some), _IS_OLDEST_OF_KEY)
        heads |= {(row.receiver, row.key): row.next_attempt_at for row in connection.execute(query)}
    return {
        one.id: max(
            one.next_attempt_at,
            heads.get((one.receiver, one.key), 0.0),
            pauses.get(one.receiver, 0.0),
        )
        for one in pending
    }


def mark_dead(connection: sa.Connection, tried: Queued, error: str, now: float) -> None:
    """It was not taken and will not be tried again, unless a person says so."""
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
) -> list[Queued]:
    """Notifications, newest first; ``before_id`` is the last id of the page before."""
    query = sa.select(notifications).order_by(notifications.c.id.desc()).limit(limit)
    if receiver is not None:
        query = query.where(notifications.c.receiver == receiver)
    if status is not None:
        query = query.where(notifications.c.status == status)
    if before_id is not None:
        query = query.where(notifications.c.id < before_id)
    return [_queued(row) for row in connection.execute(query)]


def status_of(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Status]:
    """The status of each of these notifications that is stored, by id."""
    return dict(bulk.select_in(connection, notifications, ("id", "status"), "id", ids))


def between(connection: sa.Connection, since: float, until: float | None = None) -> list[Queued]:
    """The notifications queued from ``since`` to ``until``, oldest first."""
    query = sa.select(notifications).where(notifications.c.created_at >= since).order_by(notifications.c.id)
    if until is not None:
        query = query.where(notifications.c.created_at <= until)
    return [_queued(row) for row in connection.execute(query)]


def about(
    connection: sa.Connection, alert_ids: Sequence[int], since: float, until: float | None
) -> list[Queued]:
    """The notifications that tell of any of these alerts, queued from ``since`` to ``until``, oldest first."""
    wanted = set(alert_ids)
    found = between(connection, since, until)
    return [one for one in found if wanted.intersection((*one.payload.firing, *one.payload.resolved))]


def depths(connection: sa.Connection) -> list[Depth]:
    """How many notifications there are of each receiver and status."""
    by = (notifications.c.receiver, notifications.c.status)
    counted = sa.select(*by, sa.func.count(), sa.func.min(notifications.c.created_at))
    return [Depth(*row) for row in connection.execute(counted.group_by(*by).order_by(*by))]


def has_pending(connection: sa.Connection, receivers: Sequence[str]) -> bool:
    """Whether any of ``receivers`` has something in its queue."""
    query = sa.select(notifications.c.id).where(PENDING, notifications.c.receiver.in_(receivers)).limit(1)
    return connection.execute(query).first() is not None


def has_failed(connection: sa.Connection, receiver: str) -> bool:
    """Whether anything in the queue of ``receiver`` was tried in vain."""
    query = sa.select(notifications.c.id).where(
        PENDING, notifications.c.receiver == receiver, notifications.c.attempts > 0
    )
    return connection.execute(query.limit(1)).first() is not None


def retry(
    connection: sa.Connection, now: float, *, ids: Sequence[int] | None = None, receiver: str | None = None
) -> int:
    """Have pending and dead notifications, by ``ids`` or all of ``receiver``, tried at once with a new budget; how many.

    At once by any clock: who asks may have another than the process that sends. Dropped ones come back when named by id.
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
    """When a person last had pending notifications of ``receiver`` tried again after ``since``; None: not since then."""
    asked = notifications.c.queued_at
    return connection.execute(
        sa.select(sa.func.max(asked)).where(
            PENDING, notifications.c.receiver == receiver, asked > notifications.c.created_at, asked > since
        )
    ).scalar()


def drop(
    connection: sa.Connection, now: float, *, ids: Sequence[int] | None = None, receiver: str | None = None
) -> int:
    """Take pending and dead notifications, by ``ids`` or all of ``receiver``, out of the queue; how many."""
    return _change(connection, ["pending", "dead"], {"status": "dropped", "finished_at": now}, ids, receiver)


def prune(connection: sa.Connection, before: float, limit: int = 1000) -> int:
    """Forget up to ``limit`` notifications delivered or dropped before ``before``; how many went."""
    doomed = (
        sa.select(notifications.c.id)
        .where(notifications.c.status.in_(["delivered", "dropped"]), notifications.c.finished_at < before)
        .limit(limit)
    )
    return connection.execute(sa.delete(notifications).where(notifications.c.id.in_(doomed))).rowcount


def _settle(connection: sa.Connection, tried: Queued, **values: Any) -> None:
    """Change a notification unless a person has taken it out of the queue meanwhile, or has it tried anew."""
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


def _queued(row: Any) -> Queued:
    return Queued(
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


_HEARD_LATE = (
    "UPDATE alert_groups SET sent_at = ? WHERE sent_at IS NOT NULL AND (key, receiver) IN "
    "(SELECT key, receiver FROM notifications WHERE id = ?)"
)
_ENQUEUE = (
    "INSERT INTO notifications (receiver, key, payload, status, attempts, next_attempt_at, created_at, queued_at, "
    "idempotency_key) VALUES (?, ?, ?, 'pending', 0, ?, ?, ?, ?)"
)
encode_payload = msgspec.msgpack.Encoder().encode
payload_of = msgspec.msgpack.Decoder(Payload).decode
