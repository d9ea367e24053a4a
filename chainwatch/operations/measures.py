"""Numbers for a monitoring system, each with few and known labels, whatever the chains or other programs send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.checker.flow import AMOUNT
from chainwatch.model import SEVERITIES, TRANSFER_STATUSES
from chainwatch.operations.context import Context
from chainwatch.operations.invariant_values import InvariantValues, invariant_values
from chainwatch.operations.notifications import STATUSES
from chainwatch.operations.queries import NetworkView, network_views
from chainwatch.operations.views import asset_of
from chainwatch.store import blocks, endpoints, transfer_totals
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import outbox
from chainwatch.store.assets import AssetId
from chainwatch.store.endpoints import StoredEndpoint
from chainwatch.support.counters import AMOUNTS, OPENED, REACHED

OTHERS = "(not configured)"
"""The label of every flow, network or receiver that the configuration does not have (any more)."""
ALERT_STATES = ("pending", "firing", "resolved")


Route: TypeAlias = tuple[str, str, str]
"""A flow, and the networks from and to which transfers go: empty where that is not known yet."""


class Measures(msgspec.Struct, frozen=True):
    """Numbers by their labels, ``at`` a time (Unix seconds).

    ``transfers``: (flow, origin, destination, status) → number. ``oldest``: route → age in seconds of its oldest transfer
    in flight. ``amounts``: (flow, origin, destination, symbol) → whole units in flight, of the assets that the
    configuration names. Counted since the start of this process: ``opened`` by route, ``reached`` by route and status,
    ``opened_amounts`` as ``amounts``. ``alerts``: (state, severity) → number stored; ``raised``: how many there ever were.
    ``notifications``: (receiver, status) → number stored. ``waiting``: receiver → age in seconds of the oldest notification
    in its queue, 0 for an empty queue.
    """

    at: float
    flows: tuple[str, ...]
    networks: list[NetworkView]
    endpoints: list[StoredEndpoint]
    transfers: Mapping[tuple[str, str, str, str], int]
    oldest: Mapping[Route, float]
    amounts: Mapping[tuple[str, str, str, str], float]
    opened: Mapping[Route, float]
    reached: Mapping[tuple[str, str, str, str], float]
    opened_amounts: Mapping[tuple[str, str, str, str], float]
    invariants: list[InvariantValues]
    alerts: Mapping[tuple[str, str], int]
    raised: int
    notifications: Mapping[tuple[str, str], int]
    waiting: Mapping[str, float]
    undecoded_logs: int


def measure(connection: sa.Connection, context: Context, now: float) -> Measures:
    """Return all numbers as they are now; what is configured has numbers even where nothing is stored."""
    notifications, waiting = _queues(connection, context.receivers, now)
    oldest, amounts = _in_flight(connection, context, now)
    transfers = _transfers(connection, context)
    opened, reached = _counted(context, transfers)
    networks = context.settings.networks
    return Measures(
        at=now,
        flows=tuple(context.flows),
        networks=network_views(connection, context, now),
        endpoints=[e for e in endpoints.all_stored(connection).values() if e.network in networks],
        transfers=transfers,
        oldest=oldest,
        amounts=amounts,
        opened=opened,
        reached=reached,
        opened_amounts=_opened_amounts(connection, context, amounts),
        invariants=invariant_values(connection, context),
        alerts=_alerts(connection),
        raised=stored_alerts.next_id(connection) - 1,
        notifications=notifications,
        waiting=waiting,
        undecoded_logs=blocks.undecoded_count(connection),
    )


def _transfers(connection: sa.Connection, context: Context) -> dict[tuple[str, str, str, str], int]:
    """Return numbers for each route with any transfers, and for each flow's transfers without a known route."""
    stored = transfer_totals.totals(connection)
    routes = {(flow, "", "") for flow in context.flows}
    routes |= {_route(context, one.flow, one.origin, one.destination) for one in stored}
    numbers = {(*route, status): 0 for route in sorted(routes) for status in TRANSFER_STATUSES}
    for one, number in stored.items():
        numbers[*_route(context, one.flow, one.origin, one.destination), one.status] += number
    return numbers


def _in_flight(
    connection: sa.Connection, context: Context, now: float
) -> tuple[dict[Route, float], dict[tuple[str, str, str, str], float]]:
    """Return ages by route, and whole units by route and symbol, of the transfers in flight.

    Each transfer counts with the first of its amounts, which is mostly its opening's.
    """
    ages: dict[Route, float] = {(flow, "", ""): 0.0 for flow in context.flows}
    with_amounts = {
        f.name for f in context.flows.values() if any(AMOUNT in dict(s.facts) for s in f.all_steps)
    }
    sums: dict[tuple[Route, AssetId], int] = {}
    for one in stored_transfers.in_flight(connection):
        route = _route(context, one.flow, one.origin, one.destination)
        if one.opened_at is not None:
            ages[route] = max(ages.get(route, 0.0), now - one.opened_at)
        event = one.first_event(AMOUNT) if one.flow in with_amounts else None
        if event is None or (asset := asset_of(event)) is None:
            continue
        amount = event.facts[AMOUNT]
        if isinstance(amount, int) and context.presenter.is_named(asset):
            sums[route, asset] = sums.get((route, asset), 0) + amount
    return ages, _units(connection, context, sums)


def _units(
    connection: sa.Connection, context: Context, sums: Mapping[tuple[Route, AssetId], int]
) -> dict[tuple[str, str, str, str], float]:
    """Return whole units by route and symbol, of the assets whose decimals are known."""
    known = context.presenter.assets({asset for _, asset in sums}, connection)
    units: dict[tuple[str, str, str, str], float] = {}
    for (route, asset), total in sums.items():
        if (found := known.get(asset)) is not None:
            label = (*route, found.symbol)
            units[label] = units.get(label, 0.0) + total / 10**found.decimals
    return units


def _counted(
    context: Context, transfers: Iterable[tuple[str, str, str, str]]
) -> tuple[dict[Route, float], dict[tuple[str, str, str, str], float]]:
    """Return what was counted by route, and by route and status; from 0 on for each route that has ``transfers``."""
    routes = {key[:3] for key in transfers}
    opened: dict[Route, float] = dict.fromkeys(routes, 0.0)
    reached = {(*route, status): 0.0 for route in routes for status in TRANSFER_STATUSES}
    for (flow, origin, destination), number in dict(OPENED).items():
        route = _route(context, flow, origin, destination)
        opened[route] = opened.get(route, 0.0) + number
    for (flow, origin, destination, status), number in dict(REACHED).items():
        label = (*_route(context, flow, origin, destination), status)
        reached[label] = reached.get(label, 0.0) + number
    return opened, reached


def _opened_amounts(
    connection: sa.Connection, context: Context, in_flight: Iterable[tuple[str, str, str, str]]
) -> dict[tuple[str, str, str, str], float]:
    """Return whole units of what was opened, of named assets; from 0 on for those that are ``in_flight``."""
    sums: dict[tuple[Route, AssetId], int] = {}
    for (flow, origin, destination, network, address), amount in dict(AMOUNTS).items():
        asset = (network, address)
        if context.presenter.is_named(asset):
            route = _route(context, flow, origin, destination)
            sums[route, asset] = sums.get((route, asset), 0) + amount
    return dict.fromkeys(in_flight, 0.0) | _units(connection, context, sums)


def _route(context: Context, flow: str, origin: str, destination: str) -> Route:
    networks = context.settings.networks
    return (
        flow if flow in context.flows else OTHERS,
        origin if not origin or origin in networks else OTHERS,
        destination if not destination or destination in networks else OTHERS,
    )


def place_label(network: str) -> str:
    """Return the label of a network as totals name it."""
    return OTHERS if network == transfer_totals.UNKNOWN else network


def _alerts(connection: sa.Connection) -> dict[tuple[str, str], int]:
    numbers = {(state, severity): 0 for state in ALERT_STATES for severity in SEVERITIES}
    for count in stored_alerts.counts(connection):
        label = (count.state, count.severity if count.severity in SEVERITIES else OTHERS)
        numbers[label] = numbers.get(label, 0) + count.number
    return numbers


def _queues(
    connection: sa.Connection, receivers: Iterable[str], now: float
) -> tuple[dict[tuple[str, str], int], dict[str, float]]:
    known = list(receivers)
    numbers: dict[tuple[str, str], int] = {(r, status): 0 for r in known for status in STATUSES}
    waiting = dict.fromkeys(known, 0.0)
    for depth in outbox.depths(connection):
        receiver = depth.receiver if depth.receiver in known else OTHERS
        label = (receiver, depth.status)
        numbers[label] = numbers.get(label, 0) + depth.number
        if depth.status == "pending":
            waiting[receiver] = max(waiting.get(receiver, 0.0), now - depth.oldest)
    return numbers, waiting
