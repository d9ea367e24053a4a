"""Answers to requests that changed something, by their header Idempotency-Key.

Revision ID: 0030
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Make the table of answers."""
    op.create_table(
        "idempotency_keys",
        sa.Column(
            "id", sa.LargeBinary(), primary_key=True, comment="SHA-256 of the caller's name and the key"
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="the token's name"),
        sa.Column(
            "request",
            sa.LargeBinary(),
            nullable=False,
            comment="SHA-256 of the request that the key came with",
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        comment="Answers to requests that changed something, by their header Idempotency-Key.",
    )
    op.create_index("idempotency_keys_actor", "idempotency_keys", ["actor", "at"])
    op.create_index("idempotency_keys_at", "idempotency_keys", ["at"])
