"""Incidents, their escalations, and who stands in for whom on call.

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables of incidents, escalations and on-call overrides."""
    _incidents()
    _escalations()


def _incidents() -> None:
    """Make the tables of incidents."""
    op.create_table(
        "incidents",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="Alertmanager's groupKey: the route and the group's labels",
        ),
        sa.Column("route", sa.Text(), nullable=False, comment="the route's own key"),
        sa.Column(
            "labels", sa.Text(), nullable=False, comment="JSON object of the labels that its alerts share"
        ),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True, comment="null while one of its alerts fires"),
        sa.PrimaryKeyConstraint("id"),
        comment="Groups of alerts, each from its first start to its last end.",
    )
    op.create_index("incidents_key", "incidents", ["key"])
    op.create_index("incidents_ended", "incidents", ["ended_at"])
    op.create_table(
        "incident_alerts",
        sa.Column("incident_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "alert_id"),
        sqlite_with_rowid=False,
        comment="The alerts of each incident.",
    )
    op.create_index("incident_alerts_alert", "incident_alerts", ["alert_id"])
    op.create_table(
        "incident_entries",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("incident_id", BIG_ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="note, started, step, skipped, ended or raised"),
        sa.Column("actor", sa.Text(), nullable=False, comment="who did it; chainwatch for what a policy did"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("receiver", sa.Text(), nullable=True, comment="of a step: who was told"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
        comment="What belongs to an incident as a whole: notes of people, and the steps of its escalation.",
    )
    op.create_index("incident_entries_incident", "incident_entries", ["incident_id", "id"])


def _escalations() -> None:
    """Who is woken, and who instead of whom."""
    op.create_table(
        "escalations",
        sa.Column("incident_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("policy", sa.Text(), nullable=False, comment="JSON: the policy as it was at the start"),
        sa.Column("round", sa.Integer(), nullable=False, comment="0 at first, then the repetition"),
        sa.Column("step", sa.Integer(), nullable=False, comment="the step that is due next, from 0"),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column(
            "due_at",
            sa.Double(),
            nullable=True,
            comment="when the step is due; null: there is nothing more to do",
        ),
        sa.Column(
            "stopped_at",
            sa.Double(),
            nullable=True,
            comment="when everything was acknowledged or ended; null: it runs or ran out",
        ),
        sa.PrimaryKeyConstraint("incident_id"),
        comment="The escalation of each open incident that has one.",
    )
    op.create_index(
        "escalations_due",
        "escalations",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "alert_rises",
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column(
            "escalated_to",
            sa.Text(),
            nullable=False,
            comment="P0 to P3: how severe it counts as, beside its label",
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column(
            "occurrences",
            sa.Integer(),
            nullable=False,
            comment="how many alerts of its kind there were by then",
        ),
        sa.PrimaryKeyConstraint("alert_id"),
        comment="Alerts that came so often that they count as more severe.",
    )
    op.create_table(
        "oncall_overrides",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
        comment="Who is on call instead of whom the schedule names; of two at a time the newer counts.",
    )
    op.create_index("oncall_overrides_end", "oncall_overrides", ["schedule", "ends_at"])
