"""The events of flows in which a key alone does not say to which transfer an event belongs.

Revision ID: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make the table of such events."""
    op.create_table(
        "step_events",
        sa.Column(
            "base",
            sa.LargeBinary(),
            primary_key=True,
            comment="BLAKE2b-128 of flow and key, as the event has it",
        ),
        sa.Column("step", sa.Text(), primary_key=True),
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("block", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("log_index", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("item", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column(
            "number",
            sa.BigInteger(),
            nullable=False,
            comment="of the opening that it is or takes, from 1 on; -1: takes none; 0: not counted",
        ),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column(
            "transfer", sa.Text(), nullable=False, comment="the key of the transfer that it belongs to"
        ),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="as transfers.digest"),
        sa.Column("name", sa.LargeBinary(), comment="by which other steps find its transfer"),
        sa.Column("value", sa.LargeBinary(), comment="an integer of that name"),
        sa.Column("event", sa.LargeBinary(), nullable=False, comment="MessagePack of the event"),
        sqlite_with_rowid=False,
        comment="The events of flows in which a key alone does not say to which transfer an event belongs.",
    )
    op.create_index("step_events_digest", "step_events", ["digest"])
    op.create_index(
        "step_events_number",
        "step_events",
        ["base", "number", "step"],
        sqlite_where=sa.text("number != 0"),
        postgresql_where=sa.text("number != 0"),
    )
    op.create_index(
        "step_events_name",
        "step_events",
        ["name", "value"],
        sqlite_where=sa.text("name IS NOT NULL"),
        postgresql_where=sa.text("name IS NOT NULL"),
    )
