"""Values that invariants are compared with: read first, or accepted by somebody.

Revision ID: 0043
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0041"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "invariant_accepted",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column(
            "block",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="that of the check from which on they hold good",
        ),
        sa.Column("timestamp", sa.BigInteger, nullable=False, comment="of that check, chain time"),
        sa.Column("reads", sa.LargeBinary, nullable=False, comment="hash of what was read"),
        sa.Column("content", sa.LargeBinary, nullable=False, comment="MessagePack: the values"),
        sa.Column(
            "author",
            sa.Text,
            nullable=False,
            comment="who accepted them; empty for those that were read first",
        ),
        sa.Column("accepted_at", sa.Double, nullable=False),
        comment="Values that are compared with those of later checks: read first, or accepted by somebody.",
    )
