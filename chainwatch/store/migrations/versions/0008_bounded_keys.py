"""Text from outside in indexes: bounded, or indexed by its hash, as PostgreSQL's trees take 2,700 bytes.

Revision ID: 0008
"""

from __future__ import annotations

from hashlib import blake2b

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

INDEXED_MAX = 1024


def upgrade() -> None:
    """Cut the keys of groups that are too long, and index the names of alerts by hash on PostgreSQL."""
    for table in ("alert_groups", "incidents", "notifications"):
        _cut_keys(table)
    # a window is a minute's, and the next one counts by the shorter name
    op.execute(f"DELETE FROM rate_windows WHERE length(source) > {INDEXED_MAX // 4}")  # noqa: S608
    if op.get_context().dialect.name == "postgresql":
        op.drop_index("alerts_firing_name", "alerts")
        firing = sa.text("state = 'firing'")
        op.create_index(
            "alerts_firing_name", "alerts", ["name"], postgresql_where=firing, postgresql_using="hash"
        )


def _cut_keys(table: str) -> None:
    connection = op.get_bind()
    long = sa.text(f"SELECT DISTINCT key FROM {table} WHERE length(key) > {INDEXED_MAX // 4}")  # noqa: S608
    for key in connection.execute(long).scalars().all():
        cut = _bounded(key)
        if cut != key:
            change = sa.text(f"UPDATE {table} SET key = :cut WHERE key = :key")  # noqa: S608
            connection.execute(change, {"cut": cut, "key": key})


def _bounded(text: str) -> str:
    data = text.encode()
    if len(data) <= INDEXED_MAX:
        return text
    digest = blake2b(data, digest_size=16).hexdigest()
    return f"{data[: INDEXED_MAX // 2].decode('utf-8', 'ignore')}…{digest}"
