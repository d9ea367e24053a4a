"""What people and policies do to alerts.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables of acknowledgements, silences, cooldowns and limits, and of what became of alerts."""
    firing = sa.text("state = 'firing'")
    op.create_index("alerts_firing_name", "alerts", ["name"], sqlite_where=firing, postgresql_where=firing)
    _history()
    _people()
    _limits()


def _history() -> None:
    """Make the tables of what became of alerts."""
    op.create_table(
        "alert_transitions",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("alert_id", BIG_ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="pending, acknowledged, held, released, resolved, …"
        ),
        sa.Column("cause", sa.Text(), nullable=False, comment="the policy or command behind it"),
        sa.Column("actor", sa.Text(), nullable=False, comment="who did it; chainwatch for what a policy did"),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=True, comment="for what concerns one receiver only"),
        sa.PrimaryKeyConstraint("id"),
        comment="What happened to alerts beside their start and their end, which stand in their rows.",
        sqlite_autoincrement=True,
    )
    op.create_index("alert_transitions_alert", "alert_transitions", ["alert_id", "id"])
    op.create_table(
        "alert_timers",
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="fire (a pending alert) or end (one that is kept firing)",
        ),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=True, comment="of an end: the end to be noted"),
        sa.Column("reason", sa.Text(), nullable=False, comment="of an end: the reason to be noted"),
        sa.PrimaryKeyConstraint("alert_id"),
        comment="Alerts that change by themselves when their time comes.",
    )
    op.create_index("alert_timers_due", "alert_timers", ["due_at"])
    op.create_table(
        "alert_repeats",
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="how often it was raised again while it fired"
        ),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id"),
        comment="Alerts that were raised again while they fired.",
    )
    op.create_table(
        "alert_holds",
        sa.Column("group_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "alert_id"),
        comment="Members of groups that are not told for now, and why.",
        sqlite_with_rowid=False,
    )


def _people() -> None:
    """Make the tables of what people did."""
    op.create_table(
        "acknowledgements",
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True, comment="when it lapses; null: with the alert"),
        sa.Column("severity", sa.Text(), nullable=False, comment="of the alert at that time"),
        sa.Column(
            "reminded_at", sa.Double(), nullable=False, comment="the last reminder, at first when it was made"
        ),
        sa.PrimaryKeyConstraint("alert_id"),
        comment="Alerts that are somebody's: the row goes when it lapses or is taken back.",
    )
    op.create_table(
        "silences",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False, comment="JSON: label → values"),
        sa.Column("starts_at", sa.Double(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.Column(
            "during", sa.Text(), nullable=False, comment="JSON: names of intervals; empty: all the time"
        ),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column(
            "warn_before", sa.Double(), nullable=False, comment="seconds before its end; 0: no warning"
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="What is recorded and told to nobody.",
        sqlite_autoincrement=True,
    )
    op.create_index("silences_end", "silences", ["ends_at"])


def _limits() -> None:
    """Make the tables of what limits notifications."""
    op.create_table(
        "cooldowns",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False, comment="JSON: label → values"),
        sa.Column("by", sa.Text(), nullable=False, comment="JSON: the labels that make a condition the same"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="0 lifts a configured cooldown"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Cooldowns set while running; they come before the configured ones.",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tellings",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column(
            "condition",
            sa.Text(),
            nullable=False,
            comment="fingerprint of the labels that a cooldown counts by",
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", "condition"),
        comment="When a receiver was last told of a condition that has a cooldown.",
    )
    op.create_index("tellings_at", "tellings", ["at"])
    op.create_table(
        "rate_windows",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", "severity", "source"),
        comment="How many notifications a receiver got in the running minute.",
    )
