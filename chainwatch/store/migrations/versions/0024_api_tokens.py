"""Who may call the HTTP server, and what was done through it.

Revision ID: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0020"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of tokens and of the audit log."""
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text(), primary_key=True, comment="the token's public part"),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("role", sa.Text(), nullable=False, comment="viewer, operator or admin"),
        sa.Column("hash", sa.Text(), nullable=False, comment="of its secret part, with how it was made"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        comment="Who may call the HTTP server; with any row, nobody else may.",
    )
    op.create_table(
        "audit_log",
        sa.Column("id", BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column(
            "actor", sa.Text(), nullable=False, comment="the token's name, or the user who ran a command"
        ),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
        comment="What was changed through the HTTP server, and changes of its tokens.",
    )
    op.create_index("audit_log_at", "audit_log", ["at"])
