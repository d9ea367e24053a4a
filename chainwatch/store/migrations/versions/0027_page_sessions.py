"""Who is logged in to the page.

Revision ID: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Make the table of the page's sessions."""
    op.create_table(
        "page_sessions",
        sa.Column("id", sa.Text(), primary_key=True, comment="SHA-256 of the cookie's value, in hex"),
        sa.Column("token_id", sa.Text(), nullable=False, comment="the token that was given to log in"),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        comment="Who is logged in to the page; each session ends with its token.",
    )
