"""Folding: after an outage, the pending notifications of one receiver and group become one.

The folded notification has an idempotency key of its own, because its content is new; so content that the receiver took
without answering may be sent again. All functions work inside the caller's transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from chainwatch.store.alerting.alert_tables import notifications
from chainwatch.store.alerting.alerts import in_chunks
from chainwatch.store.alerting.outbox import (
    PENDING,
    Kind,
    Payload,
    QueuedNotification,
    encode_payload,
    payload_of,
)

AWAY = 2.0
"""Seconds in its queue after which a notification has waited for an outage, not just for its turn."""


def foldable(
    connection: sa.Connection,
    receiver: str,
    heads: Sequence[QueuedNotification],
    away_until: float,
    now: float,
) -> list[str]:
    """Return the keys of ``heads`` (the oldest notifications of their keys) that waited for an outage and are not alone.

    ``away_until``: when the receiver's last known outage ended.
    """
    late = [
        one.key for one in heads if one.attempts or one.queued_at <= away_until or now - one.queued_at >= AWAY
    ]
    found: list[str] = []
    for some in in_chunks(late):
        query = (
            sa.select(notifications.c.key, sa.func.count())
            .where(PENDING, notifications.c.receiver == receiver, notifications.c.key.in_(some))
            .group_by(notifications.c.key)
        )
        found += [key for key, waiting in connection.execute(query) if waiting > 1]
    return found


def fold(connection: sa.Connection, receiver: str, keys: Sequence[str]) -> None:
    """Fold the pending notifications of ``receiver`` under each of ``keys`` into one."""
    for key in keys:
        waiting = connection.execute(
            sa.select(notifications.c.id, notifications.c.payload)
            .where(PENDING, notifications.c.receiver == receiver, notifications.c.key == key)
            .order_by(notifications.c.id)
            .execution_options(yield_per=100)
        )
        folded = _Folded()
        for notification_id, payload in waiting:
            folded.add(notification_id, payload_of(payload))
        folded.save(connection)


class _Folded:
    """Collects several notifications into one."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._latest = Payload({}, (), ())
        self._kind: Kind = "update"
        self._firing: dict[int, None] = {}
        self._resolved: dict[int, None] = {}
        self._notes: dict[str, None] = {}

    def add(self, notification_id: int, payload: Payload) -> None:
        """Add the next notification, in the order of ids."""
        self._ids.append(notification_id)
        self._latest = payload
        if payload.kind != "update":  # what notifies people still does with an update folded into it
            self._kind = payload.kind
        self._firing |= dict.fromkeys(payload.firing)
        self._resolved |= dict.fromkeys(payload.resolved)
        self._notes |= dict.fromkeys([payload.note] if payload.note else [])

    def save(self, connection: sa.Connection) -> None:
        """Store the content in the newest row and delete the others."""
        *older, newest = self._ids or [0]
        if not older:
            return
        payload = Payload(
            self._latest.labels,
            tuple(self._firing),
            tuple(self._resolved),
            self._kind,
            " ".join(self._notes),
            folded=True,
            template=self._latest.template,
        )
        connection.execute(
            sa.update(notifications)
            .where(notifications.c.id == newest)
            .values(payload=encode_payload(payload), idempotency_key=uuid.uuid4().hex)
        )
        for some in in_chunks(older):
            connection.execute(sa.delete(notifications).where(notifications.c.id.in_(some)))
