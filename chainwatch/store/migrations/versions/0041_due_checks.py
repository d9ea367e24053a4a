"""Checks of invariants at blocks that were not read yet, all of one block together.

Revision ID: 0041
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0039"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "invariant_due_checks",
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("names", sa.Text, nullable=False, comment="JSON: the invariants that are checked there"),
        comment="Checks at blocks that were not read yet: each becomes a row of its own once its block was asked for.",
    )
