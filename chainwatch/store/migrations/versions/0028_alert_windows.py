"""Indexes by which the alerts of a window of time are counted.

Revision ID: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0024"


def upgrade() -> None:
    """Index alerts by when they were raised, and acknowledgements by their alerts."""
    op.create_index("alerts_raised", "alerts", ["raised_at"])
    op.create_index(
        "alert_transitions_acknowledged",
        "alert_transitions",
        ["alert_id", "at"],
        sqlite_where=sa.text("kind = 'acknowledged'"),
        postgresql_where=sa.text("kind = 'acknowledged'"),
    )
