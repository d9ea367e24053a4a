"""The first schema.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "alert_groups",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="Alertmanager's groupKey: the route and the group's labels",
        ),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False, comment="the route's own key"),
        sa.Column(
            "labels",
            sa.Text(),
            nullable=False,
            comment="JSON object of the labels that the group has in common",
        ),
        sa.Column("flush_at", sa.Double(), nullable=False, comment="when it is looked at next"),
        sa.Column(
            "flushed_at",
            sa.Double(),
            nullable=True,
            comment="when it was last looked at; the intervals count from here",
        ),
        sa.Column(
            "sent_at",
            sa.Double(),
            nullable=True,
            comment="when its last notification was queued; repeats count from here",
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="The living groups, one per receiver.",
    )
    op.create_index("alert_groups_due", "alert_groups", ["flush_at"])
    op.create_index("alert_groups_key", "alert_groups", ["key", "receiver"], unique=True)
    op.create_table(
        "alert_members",
        sa.Column("group_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("alert_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column(
            "told",
            sa.SmallInteger(),
            nullable=False,
            comment="1 once a notification that it fires was queued",
        ),
        sa.PrimaryKeyConstraint("group_id", "alert_id"),
        comment="Who is still to be told what: the row goes when the end of the alert was told.",
        sqlite_with_rowid=False,
    )
    op.create_index("alert_members_alert", "alert_members", ["alert_id"])
    op.create_table(
        "alerts",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="of the labels, 16 hex digits"),
        sa.Column("name", sa.Text(), nullable=False, comment="the label alertname"),
        sa.Column("severity", sa.Text(), nullable=False, comment="P0 to P3"),
        sa.Column("state", sa.Text(), nullable=False, comment="firing or resolved"),
        sa.Column(
            "audience",
            sa.Text(),
            nullable=False,
            comment="routed, unrouted (no route takes it) or quiet (on purpose)",
        ),
        sa.Column("labels", sa.Text(), nullable=False, comment="JSON object"),
        sa.Column("annotations", sa.Text(), nullable=False, comment="JSON object"),
        sa.Column("starts_at", sa.BigInteger(), nullable=False, comment="chain time"),
        sa.Column("ends_at", sa.BigInteger(), nullable=True, comment="chain time; null while firing"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it ended"),
        sa.Column("raised_at", sa.Double(), nullable=False, comment="when this process learnt that it fires"),
        sa.Column(
            "resolved_at", sa.Double(), nullable=True, comment="when this process learnt that it ended"
        ),
        sa.PrimaryKeyConstraint("id"),
        comment="Every alert, firing or resolved.",
    )
    op.create_index("alerts_firing", "alerts", ["fingerprint"], unique=True, **_where("state = 'firing'"))
    op.create_index("alerts_newest", "alerts", ["fingerprint", "id"])
    op.create_index("alerts_resolved", "alerts", ["resolved_at"], **_where("state = 'resolved'"))
    op.create_table(
        "deadlines",
        sa.Column("transfer_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("transfer_id", "step"),
        comment="The open deadlines; a row goes when its step is seen or its alert is raised.",
        sqlite_with_rowid=False,
    )
    op.create_index("deadlines_by_time", "deadlines", ["due_at"])
    op.create_index("deadlines_due", "deadlines", ["network", "due_at"])
    op.create_table(
        "headers",
        sa.Column("network_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("network_id", "number"),
        comment="The window of recent headers that proves continuity and finds common ancestors.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logs",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False, comment="model.event_id"),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("topics", sa.LargeBinary(), nullable=False, comment="topics of 32 bytes each, joined"),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="why it does not decode; null when it does"),
        sa.PrimaryKeyConstraint("id"),
        comment="Every matched log as the node gave it: what all else can be recomputed from.",
    )
    op.create_index("logs_undecoded", "logs", ["id"], **_where("error IS NOT NULL"))
    op.create_table(
        "network_states",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=True),
        sa.Column("head_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.Double(), nullable=False, comment="wall clock"),
        sa.PrimaryKeyConstraint("name"),
        comment="What the running process last knew of each network, for the commands that look on.",
    )
    op.create_table(
        "networks",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("first_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("seen_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        comment="One row per followed network: its first block, its checkpoint and until when it has been seen.",
    )
    op.create_table(
        "notifications",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column(
            "key", sa.Text(), nullable=False, comment="the group's key: what shares it is delivered in order"
        ),
        sa.Column(
            "payload",
            sa.LargeBinary(),
            nullable=False,
            comment="MessagePack: the group's labels and the alerts' ids",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="pending, delivered, dead or dropped"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column(
            "queued_at",
            sa.Double(),
            nullable=False,
            comment="created_at, or when a person had it tried again",
        ),
        sa.Column(
            "finished_at", sa.Double(), nullable=True, comment="when it was delivered, given up or dropped"
        ),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key"),
        comment="The queues: one message for one receiver, kept until delivered or visibly dead (S6).",
        sqlite_autoincrement=True,
    )
    op.create_index("notifications_finished", "notifications", ["status", "finished_at"])
    op.create_index(
        "notifications_pending", "notifications", ["receiver", "key", "id"], **_where("status = 'pending'")
    )
    op.create_index(
        "notifications_pending_order", "notifications", ["receiver", "id"], **_where("status = 'pending'")
    )
    op.create_table(
        "properties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="What the database knows of itself, such as when it was made.",
    )
    op.create_table(
        "transfers",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="BLAKE2b-128 of flow and key"),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("destination", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=False, comment="chain time of its newest event"),
        sa.Column("firing", sa.SmallInteger(), nullable=False, comment="1 while an alert about it fires"),
        sa.Column(
            "state", sa.LargeBinary(), nullable=False, comment="MessagePack of its steps and what was raised"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("transfers_digest", "transfers", ["digest"], unique=True)
    op.create_index(
        "transfers_prunable",
        "transfers",
        ["last_at"],
        **_where("status IN ('complete', 'untracked', 'unopened', 'excluded') AND firing = 0"),
    )
    op.create_index("transfers_unfinished", "transfers", ["status"], **_where("status != 'complete'"))


def _where(condition: str) -> dict[str, Any]:
    """Return what makes an index a partial one, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
