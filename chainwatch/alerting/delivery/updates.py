"""Updates: messages that stand in channels show what people have done about their alerts, without notifying anybody."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.store.alerting import acknowledgements, alert_groups, outbox, receipts
from chainwatch.store.alerting.outbox import QueuedNotification


def enqueue_updates(connection: sa.Connection, alert_ids: Sequence[int], now: float, note: str = "") -> None:
    """Queue an update of each group's message about any of these alerts, where the channel has confirmed one.

    ``note``: a line that precedes the alerts, in place of the message's own. The queue sends updates only to channels that
    can change a message.
    """
    keys: dict[str, set[str]] = {}
    for _, was_notified, group in alert_groups.memberships(connection, alert_ids):
        if was_notified:
            keys.setdefault(group.receiver, set()).add(group.key)
    for receiver, known in sorted(keys.items()):
        confirmed = receipts.load(connection, receiver, sorted(known))
        last = outbox.newest_by_key(connection, receiver, sorted(confirmed))
        _enqueue(connection, [last[key] for key in sorted(last)], now, note)


def enqueue_missed(
    connection: sa.Connection, delivered: Sequence[QueuedNotification], since: float, now: float
) -> None:
    """Queue an update of each of these messages with an alert that was acknowledged from ``since`` on, Unix seconds.

    A message that was under way then shows its alerts as they were before.
    """
    ids = {i for one in delivered for i in one.payload.firing}
    late = {i for i, one in acknowledgements.of(connection, sorted(ids)).items() if one.at >= since}
    if late:
        _enqueue(connection, [one for one in delivered if late.intersection(one.payload.firing)], now)


def _enqueue(
    connection: sa.Connection, shown: Sequence[QueuedNotification], now: float, note: str = ""
) -> None:
    new = [
        (
            one.receiver,
            one.key,
            msgspec.structs.replace(one.payload, kind="update", note=note or one.payload.note),
        )
        for one in shown
        if one.payload.kind in ("", "update")  # digests and summaries are about a past time
    ]
    outbox.enqueue(connection, new, now)
