"""Receipts of delivered messages as rows: for each receiver and group, what the channel calls the group's last message.

A row lives as long as its group, and then until the group's queue is empty. All functions work inside the caller's
transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.alerting.alert_tables import delivery_receipts
from chainwatch.store.alerting.alerts import in_chunks

IDS_MAX = 2_048
"""Bytes of one receipt's ids as JSON; remote servers choose them."""

RemoteIds = Mapping[str, str]
"""What a channel calls a message, by any names of the provider's."""


def load(connection: sa.Connection, receiver: str, keys: Sequence[str]) -> dict[str, RemoteIds]:
    """Return by group key the ids of the last message to ``receiver``, for those of ``keys`` that have any."""
    found: dict[str, RemoteIds] = {}
    for some in in_chunks(keys):
        query = sa.select(delivery_receipts.c.key, delivery_receipts.c.remote_ids).where(
            delivery_receipts.c.receiver == receiver, delivery_receipts.c.key.in_(some)
        )
        found |= {key: _from_json(text) for key, text in connection.execute(query)}
    return found


def save(
    connection: sa.Connection, receiver: str, delivered: Sequence[tuple[str, RemoteIds]], now: float
) -> int:
    """Store the ids of messages, as (group key, ids), in place of the earlier ones; a message without ids leaves them.

    Call it once the notifications are marked as delivered, in the same transaction: it deletes the receipts of groups
    that are over. Returns how many are not stored, as they are longer than ``IDS_MAX`` or not text.
    """
    encoded = [(key, _to_json(ids)) for key, ids in delivered if ids]
    rows = [(receiver, key, text, now) for key, text in encoded if text is not None]
    bulk.upsert(connection, delivery_receipts, ("receiver", "key", "remote_ids", "stored_at"), rows)
    bulk.change(connection, _DELETE_IF_OVER, [(receiver, key) for key, _ in delivered])
    return len(encoded) - len(rows)


def delete_with_groups(connection: sa.Connection, group_ids: Sequence[int]) -> None:
    """Delete the receipts of groups that are about to be deleted, unless notifications of theirs are still pending."""
    bulk.change_in(connection, _DELETE_WITH_GROUPS, group_ids)


def prune(connection: sa.Connection, before: float, limit: int = 1000) -> int:
    """Delete up to ``limit`` receipts from before ``before`` whose group is gone; return how many were deleted.

    These are of notifications that were not delivered any more: dropped, or for a receiver that was removed.
    """
    return connection.execute(sa.text(_PRUNE), {"before": before, "limit": limit}).rowcount


def _to_json(ids: RemoteIds) -> str | None:
    """None for ids that cannot be stored: providers pass on what remote servers answered."""
    try:
        text = msgspec.json.encode(msgspec.convert(ids, dict[str, str]))
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
    return text.decode() if len(text) <= IDS_MAX else None


_GROUP_IS_GONE = (
    "NOT EXISTS (SELECT 1 FROM alert_groups WHERE alert_groups.key = delivery_receipts.key "
    "AND alert_groups.receiver = delivery_receipts.receiver)"
)
_NOTHING_IS_PENDING = (
    "NOT EXISTS (SELECT 1 FROM notifications WHERE notifications.receiver = delivery_receipts.receiver "
    "AND notifications.key = delivery_receipts.key AND status = 'pending')"
)
_DELETE_IF_OVER = (
    "DELETE FROM delivery_receipts WHERE receiver = ? AND key = ? "  # noqa: S608
    f"AND {_GROUP_IS_GONE} AND {_NOTHING_IS_PENDING}"
)
_PRUNE = (
    "DELETE FROM delivery_receipts WHERE (receiver, key) IN (SELECT receiver, key FROM delivery_receipts "  # noqa: S608
    f"WHERE stored_at < :before AND {_GROUP_IS_GONE} LIMIT :limit)"
)
_DELETE_WITH_GROUPS = (
    "DELETE FROM delivery_receipts WHERE (receiver, key) IN "  # noqa: S608
    f"(SELECT receiver, key FROM alert_groups WHERE id IN ?) AND {_NOTHING_IS_PENDING}"
)
_from_json = msgspec.json.Decoder(dict[str, str]).decode
