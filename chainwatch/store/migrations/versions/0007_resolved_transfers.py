"""Transfers of which a person has resolved all that was disputed are finished, and may be pruned.

Revision ID: 0007
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Let the index of what may be pruned know their status."""
    op.drop_index("transfers_prunable", table_name="transfers")
    op.create_index(
        "transfers_prunable",
        "transfers",
        ["last_at"],
        **_where("status IN ('complete', 'resolved', 'untracked', 'unopened', 'excluded') AND firing = 0"),
    )


def _where(condition: str) -> dict[str, Any]:
    """Return what makes an index a partial one, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
