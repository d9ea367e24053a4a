"""Invariants: those made while this runs, what was read for all of them, and what they raised.

Revision ID: 0031
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Make the tables of invariants."""
    op.create_table(
        "invariants",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column(
            "settings",
            sa.Text(),
            nullable=False,
            comment="JSON: what a table [invariants.NAME] would hold, or a session",
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="invariant, or the kind of a session"),
        sa.Column("is_running", sa.Boolean(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="grows with each change of any of them"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        comment="Invariants that were made through the HTTP server, beside those of the configuration.",
    )
    op.create_index("invariants_revision", "invariants", ["revision"])
    op.create_index("invariants_updated_at", "invariants", ["updated_at"])
    op.create_table(
        "invariant_checks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("block", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column(
            "is_provisional",
            sa.Boolean(),
            nullable=False,
            comment="a newer check takes its place, if it comes first",
        ),
        sa.Column(
            "positions", sa.Text(), comment="JSON: the block of each network; null until all are known"
        ),
        sa.Column(
            "holds", sa.Boolean(), comment="null until all values are read, and where there is no answer"
        ),
        sa.Column("error", sa.Text(), comment="why there is no answer"),
        comment="When invariants are checked: at blocks of their networks.",
    )
    op.create_table(
        "invariant_readings",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("block", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("is_wanted", sa.Boolean(), nullable=False, comment="whether it is still to be read"),
        sa.Column("content", sa.LargeBinary(), comment="MessagePack: the values of this network"),
        sa.Column("error", sa.Text(), comment="why it could not be read"),
        comment="What invariants read of one network at one block.",
    )
    op.create_index("invariant_readings_wanted", "invariant_readings", ["network", "is_wanted"])
    op.create_table(
        "invariant_events",
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("block", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("log_index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column(
            "args", sa.LargeBinary(), nullable=False, comment="MessagePack: its integers that are read"
        ),
        comment="Events that invariants count.",
    )
    op.create_index("invariant_events_timestamp", "invariant_events", ["timestamp"])
    op.create_table(
        "invariant_alerts",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column(
            "condition",
            sa.Text(),
            primary_key=True,
            comment="violated, unread, or an event's block and log index",
        ),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("annotations", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), comment="when it ends by itself, if it does"),
        comment="What invariants have raised that has not ended.",
    )
    op.create_table(
        "invariant_cursors",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("network", sa.Text(), primary_key=True),
        sa.Column("block", sa.BigInteger(), nullable=False),
        comment="Up to which block the events of a session were read.",
    )
