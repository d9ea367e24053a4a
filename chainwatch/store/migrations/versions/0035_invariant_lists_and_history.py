"""Lists over which invariants are made, and values of the past that conditions read.

Revision ID: 0035
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "invariant_elements",
        sa.Column("name", sa.Text, primary_key=True, comment="as in the configuration"),
        sa.Column("lists", sa.Text, nullable=False, comment="JSON: label → elements"),
        sa.Column("revision", sa.Integer, nullable=False, comment="grows with each change of any of them"),
        comment="The lists of contracts over which invariants are made, as they were read last.",
    )
    op.create_table(
        "invariant_history",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column(
            "bucket",
            sa.BigInteger,
            primary_key=True,
            autoincrement=False,
            comment="a span of time, of which the first check counts",
        ),
        sa.Column("network", sa.Text, nullable=False, comment="where that check was made"),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False, comment="MessagePack: the values"),
        comment="Values of invariants as they were, for conditions that read changes over a time.",
    )
