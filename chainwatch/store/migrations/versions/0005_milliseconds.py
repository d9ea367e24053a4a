"""Starts and ends of alerts to the millisecond: those sent by other programs are not whole seconds.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Turn seconds into milliseconds."""
    op.execute("UPDATE alerts SET starts_at = starts_at * 1000, ends_at = ends_at * 1000")
    op.execute("UPDATE alert_timers SET ends_at = ends_at * 1000")
    if op.get_context().dialect.name == "postgresql":  # the other keeps no comments
        _comment("alerts", "starts_at", "chain time, in milliseconds")
        _comment("alerts", "ends_at", "chain time, in milliseconds; null while firing")
        _comment("alert_timers", "ends_at", "of an end: the end to be noted, in milliseconds")


def _comment(table: str, column: str, comment: str) -> None:
    op.alter_column(table, column, existing_type=sa.BigInteger(), comment=comment)
