"""Networks and their endpoints: how they are, and how they were over the last day."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.api.page.screen import Asked, Screen
from chainwatch.operations import endpoints, queries
from chainwatch.operations.context import Context
from chainwatch.operations.endpoints import KEPT_FOR, PERIOD, EndpointPeriod, EndpointView

WIDTH = 288
"""Units of a strip's width: one for each period of a day."""


class Stretch(NamedTuple):
    """A part of a strip in which an endpoint was in one state; ``x`` and ``width`` in units of the strip."""

    state: str
    x: int
    width: int
    at: float


class Health(NamedTuple):
    """An endpoint with its strip; ``spent``: the seconds of the day in which it was in each state but ``ok``."""

    endpoint: EndpointView
    strip: Sequence[Stretch]
    watched: int
    spent: Sequence[tuple[str, int]]


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return all networks, and the health of their endpoints."""
    by_network: dict[str, list[Health]] = {}
    for one in endpoints.list_endpoints(connection, context, now):
        by_network.setdefault(one.network, []).append(health(one, now))
    return {
        "networks": queries.network_views(connection, context, now),
        "endpoints": by_network,
        "width": WIDTH,
    }


def health(one: EndpointView, now: float) -> Health:
    """Return the health of an endpoint over the day before ``now``."""
    begin = int(now - KEPT_FOR) // PERIOD * PERIOD + PERIOD

    def place(period: EndpointPeriod) -> int:
        return int(period.at - begin) // PERIOD

    shown = [period for period in one.history if 0 <= place(period) < WIDTH]
    strip: list[Stretch] = []
    for (state, _), group in groupby(
        enumerate(shown), key=lambda pair: (pair[1].state, place(pair[1]) - pair[0])
    ):
        periods = [period for _, period in group]
        strip.append(Stretch(state, place(periods[0]), len(periods), periods[0].at))
    spent: dict[str, int] = {}
    for period in shown:
        if period.state != "ok":
            spent[period.state] = spent.get(period.state, 0) + PERIOD
    return Health(one, strip, len(shown) * PERIOD, list(spent.items()))


SCREENS = (Screen("/ui/networks", "networks.html", read, nav="Networks"),)
