"""The events that are a step of all transfers whose keys end in an integer of a range.

Revision ID: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Make the table of such events."""
    op.create_table(
        "step_ranges",
        sa.Column("name", sa.LargeBinary(), primary_key=True, comment="as step_events.name"),
        sa.Column(
            "size",
            sa.SmallInteger(),
            primary_key=True,
            autoincrement=False,
            comment="it holds at most 2^size integers",
        ),
        sa.Column("first", sa.LargeBinary(), primary_key=True, comment="as step_events.value"),
        sa.Column("step", sa.Text(), primary_key=True),
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("block", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("log_index", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("item", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("last", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("event", sa.LargeBinary(), nullable=False, comment="MessagePack of the event"),
        sqlite_with_rowid=False,
        comment="The events that are a step of all transfers whose keys end in an integer of a range.",
    )
    op.create_index("step_ranges_timestamp", "step_ranges", ["timestamp"])
