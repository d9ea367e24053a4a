"""An index by which the transfers of a window of time are found.

Revision ID: 0032
"""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Make the index."""
    op.create_index("transfers_opened", "transfers", ["opened_at", "id"])
