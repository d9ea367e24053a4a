"""The samples that rules are evaluated over.

Revision ID: 0033
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sample_series",
        sa.Column("id", BigId, primary_key=True, autoincrement=False),
        sa.Column("labels", sa.LargeBinary(), nullable=False, comment="JSON"),
        comment="Series of samples.",
    )
    op.create_table(
        "sample_batches",
        sa.Column("id", BigId, primary_key=True, autoincrement=False),
        sa.Column("samples", sa.LargeBinary(), nullable=False, comment="as tsdb/journal.py writes them"),
        comment="Samples in the order in which they came, until all of their batch are in chunks.",
    )
    op.create_table(
        "sample_chunks",
        sa.Column("series_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column(
            "samples",
            sa.LargeBinary(),
            nullable=False,
            comment="a checksum, then as tsdb/chunks.py writes them",
        ),
        comment="Samples of one series from the time start to the time last.",
    )
