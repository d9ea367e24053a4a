"""Receivers and rules that are created through the HTTP server.

Revision ID: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Make the tables of channels and of rules."""
    op.create_table(
        "channels",
        sa.Column("id", sa.Text(), primary_key=True, comment="the receiver's name"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column(
            "config", sa.Text(), nullable=False, comment="JSON: the receiver's other keys, with its secrets"
        ),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        comment="Receivers that were created through the HTTP server, beside those of the configuration.",
    )
    op.create_table(
        "rules",
        sa.Column("name", sa.Text(), primary_key=True, comment="the alertname of its alerts"),
        sa.Column("query", sa.Text(), nullable=False, comment="PromQL"),
        sa.Column("duration", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False, comment="as it was given"),
        sa.Column("annotations", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("type", sa.Text()),
        sa.Column("cooldown", sa.Text()),
        sa.Column("channels", sa.Text(), nullable=False, comment="JSON: names of receivers"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        comment="Rules that were created through the HTTP server.",
    )
