"""The queues of notifications, one for each receiver: list, retry and drop notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec
import sqlalchemy as sa

from chainwatch.operations.checks import ID_MAX, usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.operations.views import Changed, changed
from chainwatch.store.alerting import outbox
from chainwatch.store.alerting.outbox import QueuedNotification, Status

STATUSES: tuple[Status, ...] = get_args(Status)
CURSORS = Cursors("notifications", 1)


class NotificationView(msgspec.Struct, frozen=True):
    """A notification in its queue. ``next_attempt_at`` counts while it is pending."""

    id: int
    receiver: str
    group: str
    status: str
    attempts: int
    created_at: float
    next_attempt_at: float
    finished_at: float | None
    last_error: str | None
    idempotency_key: str


def list_notifications(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    receiver: str | None = None,
    status: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Page[NotificationView]:
    """Return notifications, newest first, of one receiver and with one status where given. ``after``: a cursor.

    Raises ``Invalid``.
    """
    if status is not None and status not in STATUSES:
        raise Invalid(f"status: {status!r} is none of {', '.join(STATUSES)}")
    (before_id,) = CURSORS.parse(after) or (None,)
    found = outbox.list_notifications(
        connection, receiver=receiver, status=status, limit=check_limit(limit) + 1, before_id=before_id
    )
    next_at = outbox.next_attempts(connection, found)
    return CURSORS.page(found, limit, lambda n: [n.id], lambda n: _view(n, next_at, now))


def find(
    connection: sa.Connection, context: Context, now: float, notification_id: int
) -> NotificationView | None:
    """Return the notification with this ID; None where there is none."""
    (wanted,) = usable_ids([notification_id]) or (0,)
    found = outbox.list_notifications(connection, before_id=min(wanted, ID_MAX - 1) + 1, limit=1)
    next_at = outbox.next_attempts(connection, found)
    return next((_view(one, next_at, now) for one in found if one.id == wanted), None)


def retry(connection: sa.Connection, context: Context, now: float, ids: Sequence[int]) -> Changed:
    """Retry pending, dead and dropped notifications now, with a new retry budget; delivered ones conflict."""
    known = outbox.status_of(connection, usable_ids(ids))
    outbox.retry(connection, now, ids=list(known))
    return changed(ids, {number: status != "delivered" for number, status in known.items()})


def retry_receiver(connection: sa.Connection, context: Context, now: float, receiver: str) -> int:
    """Retry all pending and dead notifications of ``receiver`` now; return how many. The configuration need not have it."""
    return outbox.retry(connection, now, receiver=receiver)


def drop(connection: sa.Connection, context: Context, now: float, ids: Sequence[int]) -> Changed:
    """Drop pending and dead notifications, which stay visible; delivered and dropped ones conflict."""
    known = outbox.status_of(connection, usable_ids(ids))
    outbox.drop(connection, now, ids=list(known))
    return changed(ids, {number: status in ("pending", "dead") for number, status in known.items()})


def _view(queued: QueuedNotification, next_at: Mapping[int, float], now: float) -> NotificationView:
    return NotificationView(
        id=queued.id,
        receiver=queued.receiver,
        group=queued.key,
        status=queued.status,
        attempts=queued.attempts,
        created_at=queued.created_at,
        # the receiver's queue is sending what is due already
        next_attempt_at=max(next_at[queued.id], now) if queued.id in next_at else queued.next_attempt_at,
        finished_at=queued.finished_at,
        last_error=queued.last_error,
        idempotency_key=queued.idempotency_key,
    )
