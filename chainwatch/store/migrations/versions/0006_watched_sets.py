"""Since when each contract's events are watched, and up to which block logs may have been deleted.

Revision ID: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make room for what the next run notes."""
    op.create_table(
        "watched_sets",
        sa.Column("network_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("topic0", sa.LargeBinary(), nullable=False, comment="empty for any"),
        sa.Column(
            "first_block",
            sa.BigInteger(),
            nullable=False,
            comment="from here on all is stored, but for the gap",
        ),
        sa.Column("first_timestamp", sa.BigInteger(), nullable=False),
        sa.Column(
            "gap_first", sa.BigInteger(), comment="the blocks that are still to be read; null for none"
        ),
        sa.Column("gap_last", sa.BigInteger()),
        sa.Column("gap_timestamp", sa.BigInteger(), comment="chain time of the gap's end"),
        sa.Column("last_block", sa.BigInteger(), comment="the last one watched; null while it is watched"),
        sa.PrimaryKeyConstraint("network_id", "address", "topic0"),
        sqlite_with_rowid=False,
        comment="Since when the events of a contract are watched: what was not watched cannot be missed.",
    )
    op.add_column(
        "networks",
        sa.Column(
            "pruned_block",
            sa.BigInteger(),
            comment="logs up to this block may have been deleted by retention",
        ),
    )
    op.add_column("networks", sa.Column("pruned_timestamp", sa.BigInteger()))
    op.execute("DELETE FROM properties WHERE name = 'flows'")  # what took its place is made at the next start
