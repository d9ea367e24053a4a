"""Updates: messages that stand in channels show what people have done about their alerts, without notifying anybody."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.store.alerting import alert_groups, outbox, receipts


def enqueue_updates(connection: sa.Connection, alert_ids: Sequence[int], now: float, note: str = "") -> None:
    """Queue an update of each group's message about any of these alerts, where there is one, or will be.

    ``note``: a line that precedes the alerts, in place of the message's own. The queue sends updates only to channels that
    can change a message.
    """
    keys: dict[str, set[str]] = {}
    for _, was_notified, group in alert_groups.memberships(connection, alert_ids):
        if was_notified:
            keys.setdefault(group.receiver, set()).add(group.key)
    for receiver, known in sorted(keys.items()):
        confirmed = receipts.load(connection, receiver, sorted(known))
        last = outbox.newest_by_key(connection, receiver, sorted(known))
        new = [
            (
                receiver,
                key,
                msgspec.structs.replace(one.payload, kind="update", note=note or one.payload.note),
            )
            for key, one in sorted(last.items())
            if one.payload.kind in ("", "update")  # digests and summaries are about a past time
            # a pending one may be under way as it was before
            and (key in confirmed or one.status == "pending")
        ]
        outbox.enqueue(connection, new, now)
