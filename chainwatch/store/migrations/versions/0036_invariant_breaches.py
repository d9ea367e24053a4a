"""When invariants did not hold.

Revision ID: 0036
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "invariant_breaches",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("network", sa.Text, primary_key=True),
        sa.Column(
            "block",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="the first one at which it did not hold",
        ),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, comment="null while it does not hold"),
        sa.Column("reason", sa.Text, comment="why it ended"),
        sa.Column("read", sa.Text, nullable=False, comment="the values, as they are shown"),
        sa.Column(
            "held_block",
            sa.BigInteger,
            comment="the last block before it at which it held, as far as is known",
        ),
        sa.Column("held_at", sa.BigInteger),
        sa.Column("labels", sa.Text, nullable=False, comment="JSON: of the alert"),
        sa.Column("annotations", sa.Text, nullable=False, comment="JSON"),
        sa.Column(
            "is_searched",
            sa.Boolean,
            nullable=False,
            comment="whether the blocks before it were searched, or need not be",
        ),
        comment="When invariants did not hold. Times are chain time.",
    )
    op.create_index("invariant_breaches_ends_at", "invariant_breaches", ["ends_at"])
    op.create_index("invariant_breaches_searched", "invariant_breaches", ["network", "is_searched"])
