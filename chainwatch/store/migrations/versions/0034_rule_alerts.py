"""What rules remember between two evaluations.

Revision ID: 0034
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rule_alerts",
        sa.Column("rule", sa.Text(), primary_key=True, comment="what identifies the rule"),
        sa.Column("fingerprint", sa.Text(), primary_key=True, comment="of the labels"),
        sa.Column("labels", sa.Text(), nullable=False, comment="JSON: the labels, as the rule gives them"),
        sa.Column("state", sa.Text(), nullable=False, comment="pending or firing"),
        sa.Column(
            "active_at", sa.BigInteger(), nullable=False, comment="Unix ms since when the rule gives it"
        ),
        sa.Column("fired_at", sa.BigInteger(), comment="Unix ms; null while it is pending"),
        sa.Column(
            "keep_firing_since", sa.BigInteger(), comment="Unix ms since when the rule gives it no more"
        ),
        sa.Column(
            "signal", sa.Text(), comment="JSON: the labels of the alert that fires; null while it is pending"
        ),
        sa.Column("updated_at", sa.Double(), nullable=False, comment="Unix seconds of this machine"),
        comment="The alerts of rules that are pending or fire.",
    )
