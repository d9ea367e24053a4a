"""When conditions that flap began again: what escalation by count goes on counting.

Revision ID: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table of returns."""
    op.create_table(
        "alert_returns",
        sa.Column(
            "alert_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "at"),
        sqlite_with_rowid=False,
        comment="When the condition of an alert that is held as firing because it flaps began again, of late.",
    )
