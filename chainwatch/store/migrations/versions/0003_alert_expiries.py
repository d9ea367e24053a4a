"""Alerts sent by other programs, which end by themselves.

Revision ID: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table of expiries."""
    op.create_table(
        "alert_expiries",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("timeout", sa.SmallInteger(), nullable=False, comment="1: its sender named no end"),
        sa.PrimaryKeyConstraint("fingerprint"),
        sqlite_with_rowid=False,
        comment="Alerts that end by themselves unless they are sent again.",
    )
    op.create_index("alert_expiries_due", "alert_expiries", ["expires_at"])
