"""What is wrong now, for a screen that is read again and again: alerts, networks, transfers in flight."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from chainwatch.operations import queries
from chainwatch.operations.context import Context
from chainwatch.operations.queries import StatusView
from chainwatch.operations.urgency import Urgency, urgent_alerts
from chainwatch.operations.views import TransferView

TRANSFERS_SHOWN = 100
"""The most transfers of each status that are listed."""


class Glance(msgspec.Struct, frozen=True):
    """Everything at a glance. ``in_flight``: overdue transfers, then open ones, each the newest first."""

    status: StatusView
    urgency: list[Urgency]
    in_flight: list[TransferView]


def glance(connection: sa.Connection, context: Context, now: float) -> Glance:
    """Return what is wrong now, the most urgent first."""
    in_flight = [
        transfer
        for status in ("overdue", "open")
        for transfer in queries.list_transfers(
            connection, context, now, statuses=(status,), limit=TRANSFERS_SHOWN
        ).rows
    ]
    return Glance(
        queries.status(connection, context, now), urgent_alerts(connection, context, now), in_flight
    )
