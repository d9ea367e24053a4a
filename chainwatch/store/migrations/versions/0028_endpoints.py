"""The health of endpoints, and indexes by which the alerts of a window of time are counted.

Revision ID: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Make the tables of endpoints; index alerts by when they were raised, and acknowledgements by their alerts."""
    op.create_table(
        "endpoints",
        sa.Column("name", sa.Text(), primary_key=True, comment="network[index] host"),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reads", sa.BigInteger(), nullable=False, comment="since the process began"),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("error_ratio", sa.Double(), nullable=False),
        sa.Column("latency", sa.Double(), comment="seconds, on average"),
        sa.Column("last_answer_at", sa.Double(), comment="wall clock"),
        sa.Column("last_error", sa.Text()),
        sa.Column("updated_at", sa.Double(), nullable=False, comment="wall clock"),
        sqlite_with_rowid=False,
        comment="What the running process last knew of each endpoint.",
    )
    op.create_table(
        "endpoint_history",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column(
            "at",
            sa.BigInteger(),
            primary_key=True,
            autoincrement=False,
            comment="the first second of the period",
        ),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="the worst of the period"),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("latency", sa.Double(), comment="seconds, at the end of the period"),
        sqlite_with_rowid=False,
        comment="The health of endpoints over the last day, by periods of five minutes.",
    )
    op.create_index("alerts_raised", "alerts", ["raised_at"])
    op.create_index(
        "alert_transitions_acknowledged",
        "alert_transitions",
        ["alert_id", "at"],
        sqlite_where=sa.text("kind = 'acknowledged'"),
        postgresql_where=sa.text("kind = 'acknowledged'"),
    )
