"""How the rules stood when a process evaluated them last.

Revision ID: 0047
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0043"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rule_statuses",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False, comment="0"),
        sa.Column(
            "statuses",
            sa.LargeBinary,
            nullable=False,
            comment="MessagePack, by zlib: of each rule by its key",
        ),
        comment="One row: how each rule stood when it was last evaluated.",
    )
