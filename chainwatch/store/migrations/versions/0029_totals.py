"""Totals of transfers, and indexes by which long lists are read.

Revision ID: 0029
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Count what is stored, and make the indexes."""
    op.create_table(
        "transfer_totals",
        sa.Column("flow", sa.Text(), primary_key=True),
        sa.Column(
            "origin", sa.Text(), primary_key=True, comment="empty: none yet; ?: none that is configured"
        ),
        sa.Column("destination", sa.Text(), primary_key=True, comment="as origin"),
        sa.Column("status", sa.Text(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
        comment="How many transfers are stored.",
    )
    op.execute(
        "INSERT INTO transfer_totals (flow, origin, destination, status, number) "
        "SELECT flow, CASE WHEN origin LIKE '?%' THEN '?' ELSE coalesce(origin, '') END, "
        "CASE WHEN destination LIKE '?%' THEN '?' ELSE coalesce(destination, '') END, status, count(*) "
        "FROM transfers GROUP BY 1, 2, 3, 4"
    )
    op.drop_index("transfers_unfinished", table_name="transfers")
    op.create_index("transfers_unfinished", "transfers", ["status", "id"], **_where("status != 'complete'"))
    op.create_index("alerts_by_start", "alerts", ["starts_at", "id"])
    op.create_index("alerts_counted", "alerts", ["state", "severity", "audience"])
    op.create_index("notifications_listed", "notifications", ["status", "id", "receiver"])
    op.create_index("notifications_created", "notifications", ["created_at"])


def _where(condition: str) -> dict[str, Any]:
    """Return what makes an index a partial one, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
