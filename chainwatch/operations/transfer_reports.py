"""Transfers by route: how many are in flight, and how long they take, now and over time.

Times come from the index of transfers, which follows some seconds behind: exact below 64 seconds, else to one part in 32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.operations.checks import check_known, check_moments
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.views import network_name
from chainwatch.store import transfer_index, transfer_totals
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.transfer_index import HOUR, StepCount
from chainwatch.store.transfer_totals import place

DAY = 86_400.0
WINDOW_MAX = 366 * DAY
"""The most seconds of a window."""
PERIODS = ((2 * DAY, HOUR), (14 * DAY, 6 * HOUR), (WINDOW_MAX, 24 * HOUR))
"""For windows up to so many seconds, the seconds of a period."""


IN_FLIGHT = ("open", "overdue")

_Route: TypeAlias = tuple[str, str, str]
"""A flow, an origin and a destination, as totals name them."""


class RouteView(msgspec.Struct, frozen=True):
    """The transfers of a flow from one network to another; a network is None where it is not configured.

    ``in_flight`` are open or overdue, the oldest of them opened at ``oldest_at``. ``complete``, ``p50`` and ``p95``
    (seconds) are about those that opened since the window began and are complete.
    """

    flow: str
    origin: str | None
    destination: str | None
    in_flight: int
    overdue: int
    oldest_at: float | None
    complete: int
    p50: int | None
    p95: int | None


class RoutesReport(msgspec.Struct, frozen=True):
    """All routes on which something is in flight, or was complete since ``since``. ``waiting``: changes of transfers of
    which the times are not counted yet.
    """

    since: float
    waiting: int
    routes: list[RouteView]


class LatencyPeriod(msgspec.Struct, frozen=True):
    """How long a step took, in seconds, of the transfers that opened in the period which begins ``at``; ``late``: how many
    were.
    """

    at: float
    count: int
    p50: int
    p90: int
    p95: int
    p99: int
    late: int


class LatencySeries(msgspec.Struct, frozen=True):
    """A step on one route over the window and over time; ``step`` is None for the whole of transfers that are complete."""

    flow: str
    origin: str | None
    destination: str | None
    step: str | None
    window: LatencyPeriod
    periods: list[LatencyPeriod]


class LatencyReport(msgspec.Struct, frozen=True):
    """Steps over time, from ``since`` until ``until``, which are whole hours. ``period``: the seconds of one period.

    ``waiting``: as of routes.
    """

    since: float
    until: float
    period: float
    waiting: int
    series: list[LatencySeries]


def routes(
    connection: sa.Connection, context: Context, now: float, *, since: float | None = None
) -> RoutesReport:
    """Return what is in flight by route, and how long transfers took that opened from ``since`` on (default: a day ago).

    Raises ``Invalid``.
    """
    begin, end = _window(now - DAY if since is None else since, now)
    took: dict[_Route, Counter[int]] = {}
    for one in transfer_index.counts(connection, begin, end, end - begin, step=""):
        took.setdefault(one[1:4], Counter())[one.seconds] += one.number
    flying: dict[_Route, Counter[str]] = {}
    for total, number in transfer_totals.totals(connection).items():
        if total.status in IN_FLIGHT:
            flying.setdefault(total[:3], Counter())[total.status] += number
    oldest: dict[_Route, int] = {}
    for (flow, origin, destination), at in stored_transfers.oldest_in_flight(connection).items():
        route = (flow, place(origin), place(destination))
        oldest[route] = min(at, oldest.get(route, at))
    order = {name: position for position, name in enumerate(context.flows)}
    keys = sorted(flying.keys() | took.keys(), key=lambda key: (order.get(key[0], len(order)), key))
    none: Counter[str] = Counter()
    return RoutesReport(
        begin,
        transfer_index.waiting(connection),
        [_route(key, flying.get(key, none), oldest.get(key), took.get(key, Counter())) for key in keys],
    )


def latency_over_time(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    flow: str | None = None,
    since: float | None = None,
    until: float | None = None,
) -> LatencyReport:
    """Return how long steps took by route and period, of transfers that opened in the whole hours of a window.

    It ends ``until`` (default: now) and begins ``since`` (default: a day before). Raises ``Invalid`` and ``NotFound``.
    """
    if flow is not None:
        check_known("flow", flow, context.flows)
    end = now if until is None else until
    begin_hour, end_hour = _window(end - DAY if since is None else since, end)
    period = next(period for most, period in PERIODS if end_hour - begin_hour <= most + HOUR)
    found = transfer_index.counts(connection, begin_hour, end_hour, period, flow=flow)
    counted = (one for one in found if one.number > 0)
    by_step = sorted(counted, key=lambda one: (one.flow, one.origin, one.destination, one.step, one.at))
    series = []
    for (name, origin, destination, step), group in groupby(by_step, key=lambda one: one[1:5]):
        some = list(group)
        periods = [_period(at, list(rows)) for at, rows in groupby(some, key=lambda one: one.at)]
        whole = _period(begin_hour, some)
        series.append(
            LatencySeries(name, network_name(origin), network_name(destination), step or None, whole, periods)
        )
    return LatencyReport(begin_hour, end_hour, period, transfer_index.waiting(connection), series)


def _window(since: float, until: float) -> tuple[int, int]:
    """Return the whole hours that hold a window: the first second of the first, and the end of the last."""
    check_moments(since=since, until=until)
    if not 0 < until - since <= WINDOW_MAX:
        raise Invalid(f"since: the window begins before it ends, and has at most {WINDOW_MAX / DAY:.0f} days")
    return int(since // HOUR) * HOUR, int(-(-until // HOUR)) * HOUR


def _route(key: _Route, flying: Counter[str], oldest_at: int | None, took: Counter[int]) -> RouteView:
    flow, origin, destination = key
    present = +took
    return RouteView(
        flow=flow,
        origin=network_name(origin),
        destination=network_name(destination),
        in_flight=flying.total(),
        overdue=flying["overdue"],
        oldest_at=oldest_at,
        complete=present.total(),
        p50=percentile(present, 50),
        p95=percentile(present, 95),
    )


def _period(at: int, rows: Iterable[StepCount]) -> LatencyPeriod:
    took: Counter[int] = Counter()
    late = 0
    for one in rows:
        took[one.seconds] += one.number
        late += one.late
    p50, p90, p95, p99 = (percentile(took, percent) or 0 for percent in (50, 90, 95, 99))
    return LatencyPeriod(at, took.total(), p50, p90, p95, p99, late)


def percentile(counts: Counter[int], percent: int) -> int | None:
    """Return the nearest-rank percentile of values that come so often; None without any."""
    left = -(-counts.total() * percent // 100)
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return None
