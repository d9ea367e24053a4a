"""Which notifications of a queue can be sent now: for each group the oldest pending one, and what notifies people first.

All functions work inside the caller's transaction; times are Unix seconds of this machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.store.alerting.alert_tables import notifications
from chainwatch.store.alerting.outbox import IS_OLDEST_OF_KEY, PENDING, QueuedNotification, queued_from

_READY = (
    sa.select(notifications)
    .where(PENDING, notifications.c.receiver == sa.bindparam("receiver"), IS_OLDEST_OF_KEY)
    .where(notifications.c.next_attempt_at <= sa.bindparam("now"), notifications.c.id > sa.bindparam("after"))
    .order_by(notifications.c.id)
    .limit(sa.bindparam("limit"))
)
_FIRST_READY = sa.select(sa.func.min(notifications.c.next_attempt_at)).where(
    PENDING, notifications.c.receiver == sa.bindparam("receiver"), IS_OLDEST_OF_KEY
)
_PROBE = (
    sa.select(notifications)
    .where(PENDING, notifications.c.receiver == sa.bindparam("receiver"), IS_OLDEST_OF_KEY)
    .order_by(notifications.c.attempts, notifications.c.id)
    .limit(1)
)
_PENDING_OF = (
    sa.select(notifications.c.id)
    .where(PENDING, notifications.c.receiver == sa.bindparam("receiver"))
    .limit(sa.bindparam("limit"))
)


class Claim(msgspec.Struct, frozen=True):
    """The notifications of a queue that can be sent now. ``next_ready``: when the next one can, if none can now.

    ``has_more``: others are pending, behind these, behind busy ones, or until their next attempt.
    """

    found: list[QueuedNotification]
    next_ready: float | None
    has_more: bool


def claim(
    connection: sa.Connection, receiver: str, now: float, limit: int, busy: Collection[str] = ()
) -> Claim:
    """Return up to ``limit`` notifications of ``receiver`` to send now, the oldest first, but updates last.

    Each is the oldest pending one of its key; keys in ``busy`` are left out.
    """
    ready, first_ready = _READY, _FIRST_READY
    if busy:
        is_free = notifications.c.key.not_in(sorted(busy))
        ready, first_ready = ready.where(is_free), first_ready.where(is_free)
    found = _urgent_first(connection, ready, {"receiver": receiver, "now": now, "limit": limit})
    next_ready = None
    if not found:
        next_ready = connection.execute(first_ready, {"receiver": receiver}).scalar()
    known = len(found) + len(busy)
    pending = connection.execute(_PENDING_OF, {"receiver": receiver, "limit": known + 1}).all()
    return Claim(found, next_ready, len(pending) > known)


def _urgent_first(
    connection: sa.Connection, ready: sa.Select[Any], where: Mapping[str, Any]
) -> list[QueuedNotification]:
    """Return a page of ``ready`` with updates last; of what notifies people also what stands behind a page of updates."""
    limit: int = where["limit"]
    urgent: list[QueuedNotification] = []
    updates: list[QueuedNotification] = []
    after, is_full = 0, True
    while is_full and len(urgent) < limit:
        page = [queued_from(row) for row in connection.execute(ready, {**where, "after": after})]
        urgent += [one for one in page if one.payload.kind != "update"]
        updates += [one for one in page if one.payload.kind == "update"][: limit - len(updates)]
        is_full = len(page) == limit
        after = page[-1].id if page else 0
    return [*urgent, *updates][:limit]


def claim_probe(connection: sa.Connection, receiver: str, busy: Collection[str] = ()) -> Claim:
    """Return the notification that shows whether ``receiver`` has recovered, whatever its next attempt.

    Of the oldest of each key the one with the fewest attempts: one that is refused for its content blocks no others.
    """
    query = _PROBE.where(notifications.c.key.not_in(sorted(busy))) if busy else _PROBE
    rows = connection.execute(query, {"receiver": receiver}).all()
    return Claim([queued_from(row) for row in rows], None, bool(rows))
