"""After an outage: what waits in a receiver's queue for the same group becomes one message.

The one has an idempotency key of its own, as it says what none of them said: one that was sent before without an answer may
be told again. All functions work inside the caller's transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from chainwatch.store.alerting.alert_tables import notifications
from chainwatch.store.alerting.alerts import in_chunks
from chainwatch.store.alerting.outbox import PENDING, Payload, Queued, encode_payload, payload_of

AWAY = 2.0
"""Seconds in its queue after which the receiver of a notification counts as having been away."""


def foldable(
    connection: sa.Connection, receiver: str, heads: Sequence[Queued], away_until: float, now: float
) -> list[str]:
    """The keys of those of ``heads``, the oldest of their keys, that wait since an outage with others to be folded.

    The receiver is known to have been away until ``away_until``.
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
    """Make one of what waits for ``receiver`` under each of ``keys``."""
    for key in keys:
        waiting = connection.execute(
            sa.select(notifications.c.id, notifications.c.payload)
            .where(PENDING, notifications.c.receiver == receiver, notifications.c.key == key)
            .order_by(notifications.c.id)
            .execution_options(yield_per=100)
        )
        whole = _Whole()
        for notification_id, payload in waiting:
            whole.add(notification_id, payload_of(payload))
        whole.save(connection)


class _Whole:
    """Several messages on their way to be one."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._latest = Payload({}, (), ())
        self._firing: dict[int, None] = {}
        self._resolved: dict[int, None] = {}
        self._notes: dict[str, None] = {}

    def add(self, notification_id: int, payload: Payload) -> None:
        """The next one."""
        self._ids.append(notification_id)
        self._latest = payload
        self._firing |= dict.fromkeys(payload.firing)
        self._resolved |= dict.fromkeys(payload.resolved)
        self._notes |= dict.fromkeys([payload.note] if payload.note else [])

    def save(self, connection: sa.Connection) -> None:
        """Put the newest in place of all."""
        *folded, newest = self._ids or [0]
        if not folded:
            return
        payload = Payload(
            self._latest.labels,
            tuple(self._firing),
            tuple(self._resolved),
            self._latest.kind,
            " ".join(self._notes),
            folded=True,
        )
        connection.execute(
            sa.update(notifications)
            .where(notifications.c.id == newest)
            .values(payload=encode_payload(payload), idempotency_key=uuid.uuid4().hex)
        )
        for some in in_chunks(folded):
            connection.execute(sa.delete(notifications).where(notifications.c.id.in_(some)))
