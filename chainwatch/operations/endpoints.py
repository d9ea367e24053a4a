"""Endpoints of networks, by their hosts alone: how they are, and how they were over the last day."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.operations.checks import check_known
from chainwatch.operations.context import Context
from chainwatch.operations.queries import STOPPED_AFTER
from chainwatch.store import endpoints
from chainwatch.store.endpoints import KEPT_FOR as KEPT_FOR
from chainwatch.store.endpoints import PERIOD as PERIOD
from chainwatch.store.endpoints import StoredEndpoint


class EndpointPeriod(msgspec.Struct, frozen=True):
    """Five minutes of an endpoint from ``at`` on: worst state, reads and errors; latency in seconds at their end."""

    at: float
    state: str
    reads: int
    errors: int
    latency: float | None


class EndpointView(msgspec.Struct, frozen=True):
    """An endpoint. ``state``: ``ok``, ``degraded`` (over 10 % errors), ``frozen``, ``down``, ``refused`` (another chain),
    or ``stopped`` where no process runs.

    ``reads`` and ``errors`` since the process began; ``error_ratio`` and ``latency`` (seconds) are recent averages.
    ``history`` has the periods of the last day that were watched, oldest first.
    """

    name: str
    network: str
    host: str
    kind: str
    state: str
    reads: int
    errors: int
    error_ratio: float
    latency: float | None
    last_answer_at: float | None
    last_error: str | None
    history: Sequence[EndpointPeriod]


def list_endpoints(
    connection: sa.Connection, context: Context, now: float, *, network: str | None = None
) -> list[EndpointView]:
    """Return the endpoints, of one network where it is given, as the running process knows them. Raises ``NotFound``."""
    networks = context.settings.networks
    if network is not None:
        check_known("network", network, networks)
    periods: dict[str, list[EndpointPeriod]] = {}
    for one in endpoints.history(connection, now - KEPT_FOR - PERIOD):
        found = EndpointPeriod(one.at, one.state, one.reads, one.errors, one.latency)
        periods.setdefault(one.name, []).append(found)
    order = list(networks)
    wanted = [
        one
        for one in endpoints.all_stored(connection).values()
        if one.network in networks and network in (None, one.network)
    ]
    wanted.sort(key=lambda one: (order.index(one.network), _position(one)))
    return [_view(one, periods.get(one.name, []), now) for one in wanted]


def _view(one: StoredEndpoint, periods: list[EndpointPeriod], now: float) -> EndpointView:
    return EndpointView(
        name=one.name,
        network=one.network,
        host=one.name.partition(" ")[2],
        kind=one.kind,
        state=one.state if now - one.updated_at <= STOPPED_AFTER else "stopped",
        reads=one.reads,
        errors=one.errors,
        error_ratio=one.error_ratio,
        latency=one.latency,
        last_answer_at=one.last_answer_at,
        last_error=one.last_error,
        history=periods,
    )


def _position(one: StoredEndpoint) -> tuple[int, str]:
    digits = one.name.removeprefix(one.network).partition("]")[0].lstrip("[")
    return int(digits) if digits.isdecimal() else 0, one.name
