"""``/metrics``: chainwatch's numbers for Prometheus, in its text format or OpenMetrics 1.0.

The numbers are read at a scrape and used again for a while, so that many scrapers cost as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import TypeVar

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from chainwatch.api.alertmanager.gettable import VERSION
from chainwatch.api.reads import Reads
from chainwatch.operations.measures import Measures, measure
from chainwatch.operations.queries import NetworkView

FRESH_FOR = 1.0
"""Seconds for which numbers are used again at least."""
SHARE = 10
"""Numbers are used again for this many times as long as they took to be read."""
STATES = ("starting", "catching up", "live", "blind", "stalled", "halted", "stopped")
IN_FLIGHT = ("open", "overdue")
OPENMETRICS = "application/openmetrics-text"

Labels = TypeVar("Labels", bound=tuple[str, ...])


def routes(reads: Reads, crashes: Mapping[str, int]) -> list[web.RouteDef]:
    """Return the route; ``crashes``: supervised task → how often it has crashed."""
    numbers = _Numbers(reads, crashes)
    registry = CollectorRegistry()
    registry.register(numbers)
    ProcessCollector(registry=registry)

    async def metrics(request: web.Request) -> web.Response:
        await numbers.refresh()
        if OPENMETRICS in request.headers.get("Accept", ""):
            text = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
            content_type = openmetrics.CONTENT_TYPE_LATEST
        else:
            text = exposition.generate_latest(registry)
            content_type = exposition.CONTENT_TYPE_PLAIN_0_0_4
        return web.Response(body=text, headers={"Content-Type": content_type})

    return [web.get("/metrics", metrics)]


class _Numbers(Collector):
    """The numbers that were read last, as families."""

    def __init__(self, reads: Reads, crashes: Mapping[str, int]) -> None:
        self._reads = reads
        self._crashes = crashes
        self._reading = asyncio.Lock()
        self._fresh_until = -1.0
        self._families: list[Metric] = []

    async def refresh(self) -> None:
        """Read the numbers, unless those of the last time are fresh."""
        clock = asyncio.get_running_loop().time
        async with self._reading:
            if clock() < self._fresh_until:
                return
            began = clock()
            self._families = list(families(await self._reads(measure), self._crashes))
            self._fresh_until = clock() + max(FRESH_FOR, SHARE * (clock() - began))

    def collect(self) -> Iterable[Metric]:
        """Return the families; none before the first ``refresh``, as when they are registered."""
        return self._families


def families(measures: Measures, crashes: Mapping[str, int]) -> Iterator[Metric]:
    """Yield each family of metrics with its samples."""
    build = InfoMetricFamily("chainwatch_build", "The version that runs")
    build.add_metric([], {"version": version("chainwatch")})
    yield build
    alertmanager = InfoMetricFamily("alertmanager_build", "The version of Alertmanager whose API is answered")
    alertmanager.add_metric([], {"version": VERSION})
    yield alertmanager
    yield from _of_networks(measures.networks, measures.at)
    in_flight: dict[tuple[str], float] = {(flow,): 0.0 for flow, _ in measures.transfers}
    for (flow, status), number in measures.transfers.items():
        in_flight[(flow,)] += number if status in IN_FLIGHT else 0
    yield _gauge("transfers", "Transfers that are stored", ["flow", "status"], measures.transfers)
    yield _gauge("transfers_in_flight", "Transfers that are open or overdue", ["flow"], in_flight)
    yield _gauge(
        "transfers_oldest_age_seconds",
        "Time since the oldest transfer in flight was opened, 0 for none",
        ["flow"],
        _one_label(measures.oldest),
    )
    yield _gauge("alerts", "Alerts that are stored", ["state", "severity"], measures.alerts)
    yield _gauge(
        "notifications", "Notifications that are stored", ["receiver", "status"], measures.notifications
    )
    depths = {(r,): float(measures.notifications.get((r, "pending"), 0)) for r in measures.waiting}
    yield _gauge("queue_depth", "Notifications that wait in a receiver's queue", ["receiver"], depths)
    yield _gauge(
        "queue_oldest_age_seconds",
        "Time since the oldest notification in a receiver's queue was queued, 0 for an empty queue",
        ["receiver"],
        _one_label(measures.waiting),
    )
    yield _gauge(
        "undecoded_logs", "Logs that are stored but cannot be decoded", [], {(): measures.undecoded_logs}
    )
    crashed = CounterMetricFamily("chainwatch_task_crashes", "Crashes of supervised tasks", labels=["task"])
    for task, number in crashes.items():
        crashed.add_metric([task], number)
    yield crashed


def _of_networks(networks: Iterable[NetworkView], now: float) -> Iterator[Metric]:
    views = list(networks)

    def each(name: str, meaning: str, value: Callable[[NetworkView], float | None]) -> Metric:
        found = {(view.name,): number for view in views if (number := value(view)) is not None}
        return _gauge(f"network_{name}", meaning, ["network"], found)

    yield each("head_block", "The newest block that is known", lambda n: n.head)
    yield each(
        "checkpoint_block",
        "The last block that was read",
        lambda n: None if n.checkpoint is None else n.checkpoint.number,
    )
    yield each(
        "checkpoint_timestamp_seconds",
        "Chain time of the last block that was read",
        lambda n: None if n.checkpoint is None else n.checkpoint.timestamp,
    )
    yield each("lag_blocks", "Blocks that are known and not read", lambda n: n.lag_blocks)
    yield each(
        "seen_until_timestamp_seconds",
        "Chain time until which the network has been seen",
        lambda n: n.seen_until,
    )
    yield each(
        "seen_age_seconds",
        "Time since which the network has not been seen",
        lambda n: None if n.seen_until is None else max(0.0, now - n.seen_until),
    )
    states = {(view.name, state): float(view.state == state) for view in views for state in STATES}
    yield _gauge("network_state", "1 for the state that a network is in", ["network", "state"], states)


def _one_label(numbers: Mapping[str, float]) -> dict[tuple[str], float]:
    return {(name,): number for name, number in numbers.items()}


def _gauge(name: str, meaning: str, labels: list[str], numbers: Mapping[Labels, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"chainwatch_{name}", meaning, labels=labels)
    for values, number in numbers.items():
        family.add_metric(values, number)
    return family
