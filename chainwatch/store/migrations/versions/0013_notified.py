"""The field's words for what was delivered: ``notified`` where names said ``told``.

Revision ID: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Rename a column, a table and a kind of transition."""
    op.execute("ALTER TABLE alert_members RENAME COLUMN told TO notified")
    op.create_table(
        "last_notified",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column(
            "condition",
            sa.Text(),
            nullable=False,
            comment="fingerprint of the labels that a cooldown counts by",
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", "condition"),
        comment="When a receiver was last notified of a condition that has a cooldown.",
    )
    op.create_index("last_notified_at", "last_notified", ["at"])
    op.execute("INSERT INTO last_notified SELECT receiver, condition, at FROM tellings")
    op.drop_table("tellings")
    transitions = sa.table("alert_transitions", sa.column("kind", sa.Text()))
    op.execute(transitions.update().where(transitions.c.kind == "not told").values(kind="not notified"))
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment(
            "alert_members", "Alerts in groups: the row goes once the end of the alert was notified."
        )
