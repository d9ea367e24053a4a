"""The first screen: what is wrong now, and who has it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Asked, Screen
from chainwatch.operations import queries, rota
from chainwatch.operations.context import Context
from chainwatch.operations.urgency import urgent_alerts

BLIND_AFTER = 60.0
"""Seconds for which a network was not seen after which the screen says so."""


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return what fires, networks, transfers, queues, and who is on call."""
    status = queries.status(connection, context, now)
    urgency = urgent_alerts(connection, context, now)
    return {
        "urgency": urgency,
        "firing": sum(one.firing for one in urgency),
        "unacknowledged": sum(one.firing - one.acknowledged for one in urgency),
        "networks": status.networks,
        "blind": [one for one in status.networks if is_blind(one, now)],
        "transfers": status.transfers,
        "queues": status.queues,
        "on_call": rota.on_call(connection, context, now, ()) if context.settings.oncall else [],
    }


def is_blind(network: queries.NetworkView, now: float) -> bool:
    """Return whether what happens on a network is not seen at present."""
    return network.state != "live" or network.seen_until is None or now - network.seen_until > BLIND_AFTER


SCREENS = (Screen("/ui/", "now.html", read, nav="Now"),)
