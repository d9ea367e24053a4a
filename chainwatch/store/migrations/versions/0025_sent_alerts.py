"""When another program last sent an alert, and where it shows it; silences that came by Alertmanager's API.

Revision ID: 0025
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Add the columns, and say in a comment how such a silence is stored."""
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column(
            "sent_at", sa.Double(), nullable=False, server_default="0", comment="when it was last sent"
        ),
        sa.Column(
            "generator_url",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="where its sender shows it, or empty",
        ),
    )
    for column in columns:
        op.add_column("alert_expiries", column)
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "silences",
            "matchers",
            comment="JSON: label → values, or [[name, operator, value], …]",
            existing_comment="JSON: label → values",
        )
