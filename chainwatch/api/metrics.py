"""``/metrics``: chainwatch's numbers for Prometheus, in its text format or OpenMetrics 1.0.

The numbers are read at a scrape and used again for a while, so that many scrapers cost as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from chainwatch.api.families import families
from chainwatch.api.reads import Reads
from chainwatch.operations.measures import measure

FRESH_FOR = 1.0
"""Seconds for which numbers are used again at least."""
SHARE = 10
"""Numbers are used again for this many times as long as they took to be read."""
OPENMETRICS = "application/openmetrics-text"


def routes(reads: Reads) -> list[web.RouteDef]:
    """Return the route."""
    numbers = _Numbers(reads)
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

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
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
            self._families = list(families(await self._reads(measure)))
            self._fresh_until = clock() + max(FRESH_FOR, SHARE * (clock() - began))

    def collect(self) -> Iterable[Metric]:
        """Return the families; none before the first ``refresh``, as when they are registered."""
        return self._families
