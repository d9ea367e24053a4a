"""What assets say of themselves: their symbols and decimals.

Revision ID: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make the table of assets."""
    op.create_table(
        "assets",
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("address", sa.LargeBinary(), primary_key=True),
        sa.Column("symbol", sa.Text(), comment="null: it has none that can be shown"),
        sa.Column("decimals", sa.SmallInteger(), comment="null: it has none that can be used"),
        sa.Column("asked_at", sa.Double(), nullable=False, comment="wall clock"),
        sqlite_with_rowid=False,
        comment="What the contracts of assets said when they were asked for symbol and decimals.",
    )
