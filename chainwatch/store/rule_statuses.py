"""How rules stood when the process that evaluates them wrote it last, for other processes.

All functions work inside the caller's transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.rule_tables import rule_statuses

_BYTES_MAX = 64_000_000


class StoredStatus(NamedTuple):
    """The last evaluation of a rule: at what time (Unix seconds), how long it took, and its error, empty if it had none."""

    evaluated_at: float
    seconds: float
    error: str


def encode(statuses: Mapping[str, StoredStatus]) -> bytes:
    """Return statuses by the keys of their rules, as they are stored."""
    return zlib.compress(msgspec.msgpack.encode(statuses), level=1)


def save(connection: sa.Connection, encoded: bytes) -> None:
    """Store what ``encode`` returned, in place of what was there."""
    bulk.upsert(connection, rule_statuses, ("id", "statuses"), [(0, encoded)])


def load(connection: sa.Connection) -> dict[str, StoredStatus]:
    """Return the statuses that were stored last, by the keys of their rules; none where the row is damaged."""
    found = connection.execute(sa.select(rule_statuses.c.statuses)).scalar()
    if found is None:
        return {}
    try:
        packed = zlib.decompressobj().decompress(bytes(found), _BYTES_MAX)
        return msgspec.msgpack.decode(packed, type=dict[str, StoredStatus])
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
