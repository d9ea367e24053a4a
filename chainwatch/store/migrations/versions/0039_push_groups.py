"""Groups of metrics that other programs push.

Revision ID: 0039
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0036"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "push_groups",
        sa.Column("id", sa.LargeBinary, primary_key=True, comment="hash of the labels"),
        sa.Column("labels", sa.Text, nullable=False, comment="JSON: by which the group is known"),
        sa.Column(
            "families",
            sa.LargeBinary,
            nullable=False,
            comment="MessagePack: its metrics as they were pushed last",
        ),
        sa.Column("pushed_at", sa.Double, nullable=False, comment="0 for never"),
        sa.Column("failed_at", sa.Double, nullable=False, comment="0 for never"),
        comment="Groups of metrics that other programs pushed: each stays until it is deleted.",
    )
