"""Receipts of delivered messages, so that later messages of a group can edit them or reply to them.

Revision ID: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the table of receipts."""
    op.create_table(
        "delivery_receipts",
        sa.Column("receiver", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True, comment="the group's key"),
        sa.Column(
            "remote_ids",
            sa.Text(),
            nullable=False,
            comment="JSON: what the channel calls the group's last message",
        ),
        sa.Column("stored_at", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
        comment="What channels call the messages that later ones of the same group edit or reply to.",
    )
    op.create_index("delivery_receipts_stored", "delivery_receipts", ["stored_at"])
