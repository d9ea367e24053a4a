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
    groups = {
        (group.receiver, group.key)
        for _, was_notified, group in alert_groups.memberships(connection, alert_ids)
        if was_notified
    }
    new: list[tuple[str, str, outbox.Payload]] = []
    for receiver, key in sorted(groups):
        last = outbox.newest(connection, receiver, key)
        if last is None or last.payload.kind not in ("", "update"):
            continue  # digests and summaries are about a past time
        # a pending one may be under way as it was before
        if last.status == "pending" or receipts.load(connection, receiver, [key]):
            payload = last.payload
            new.append(
                (
                    receiver,
                    key,
                    msgspec.structs.replace(payload, kind="update", note=note or payload.note),
                )
            )
    outbox.enqueue(connection, new, now)
