"""Which silence holds an alert back, by its id.

Revision ID: 0011
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column, and take the id from the text that named it until now."""
    op.add_column(
        "alert_holds", sa.Column("silence_id", BIG_ID, nullable=True, comment="of the silence that holds it")
    )
    connection = op.get_bind()
    held = connection.execute(
        sa.text("SELECT group_id, alert_id, detail FROM alert_holds WHERE why = 'silenced'")
    ).all()
    for row in held:
        named = re.match(r"by silence (\d{1,18}) of ", row.detail)
        if named is not None:
            connection.execute(
                sa.text(
                    "UPDATE alert_holds SET silence_id = :id WHERE group_id = :group_id AND alert_id = :alert_id"
                ),
                {"id": int(named[1]), "group_id": row.group_id, "alert_id": row.alert_id},
            )
