"""The health of endpoints, the index of transfers, and indexes by which the alerts of a window of time are counted.

Revision ID: 0028
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of endpoints and of the index of transfers, in which all that are stored are to be put.

    Index alerts by when they were raised, and acknowledgements by their alerts.
    """
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
    op.create_table(
        "transfer_changes",
        sa.Column("seq", BIG_ID, primary_key=True),
        sa.Column("transfer_id", sa.BigInteger(), nullable=False),
        comment="The transfers that changed since they were indexed, in this order.",
    )
    op.create_table(
        "transfer_index",
        sa.Column("transfer_id", BIG_ID, primary_key=True, autoincrement=False),
        sa.Column(
            "content",
            sa.LargeBinary(),
            nullable=False,
            comment="MessagePack: its terms and its counted steps",
        ),
        comment="What the index has of each transfer, so that a change replaces it.",
    )
    op.create_table(
        "transfer_terms",
        sa.Column(
            "term",
            sa.LargeBinary(),
            primary_key=True,
            comment="k: a key's beginning, t: transaction, a: address",
        ),
        sa.Column("transfer_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
        comment="By what transfers are found.",
    )
    op.create_table(
        "step_counts",
        sa.Column(
            "hour",
            sa.BigInteger(),
            primary_key=True,
            autoincrement=False,
            comment="in which transfers opened",
        ),
        sa.Column("flow", sa.Text(), primary_key=True),
        sa.Column("origin", sa.Text(), primary_key=True),
        sa.Column("destination", sa.Text(), primary_key=True),
        sa.Column("step", sa.Text(), primary_key=True, comment="empty: the whole transfer"),
        sa.Column(
            "seconds",
            sa.BigInteger(),
            primary_key=True,
            autoincrement=False,
            comment="exact below 64, then to one part in 32",
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sqlite_with_rowid=False,
        comment="How often a step took how long, by the hour in which the transfer opened (chain time).",
    )
    op.execute("INSERT INTO transfer_changes (transfer_id) SELECT id FROM transfers ORDER BY id DESC")
