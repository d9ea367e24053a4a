"""The transactions that emitted logs, where a flow reads them.

Revision ID: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table of transactions."""
    op.create_table(
        "transactions",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=False, comment="model.event_id of its block"),
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("sender", sa.LargeBinary(), comment="null: no transaction has this hash"),
        sa.Column("recipient", sa.LargeBinary(), comment="null: it created a contract"),
        sa.Column("value", sa.LargeBinary(), nullable=False, comment="in wei, big-endian"),
        sa.Column("input", sa.LargeBinary(), comment="null: more than is kept"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes of its input"),
        sqlite_with_rowid=False,
        comment="The transactions of those logs of which a flow reads them.",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("watched_sets", "topic0", comment="empty for any; after 'tx': with the transactions")
