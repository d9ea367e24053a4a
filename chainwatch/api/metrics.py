"""``/metrics``: chainwatch's numbers for Prometheus, in its text format or OpenMetrics 1.0.

The numbers are read at a scrape and used again for a while, so that many scrapers cost as much as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from importlib.metadata import version

import sqlalchemy as sa
from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from chainwatch.api.alertmanager.gettable import VERSION
from chainwatch.api.reads import Reads
from chainwatch.operations.context import Context
from chainwatch.operations.measures import measure
from chainwatch.rule_engine.families import families

FRESH_FOR = 1.0
"""Seconds for which numbers are used again at least."""
SHARE = 10
"""Numbers are used again for this many times as long as they took to be read."""
OPENMETRICS = "application/openmetrics-text"
BUILDS = {"chainwatch": version("chainwatch"), "alertmanager": VERSION}
"""The versions of chainwatch, and of Alertmanager's API as it is answered here."""


def routes(reads: Reads) -> list[web.RouteDef]:
    """Return the route."""
    pages = {is_open: _Page(reads, is_open) for is_open in (False, True)}

    async def metrics(request: web.Request) -> web.Response:
        page = pages[OPENMETRICS in request.headers.get("Accept", "")]
        return web.Response(body=await page.text(), headers={"Content-Type": page.content_type})

    return [web.get("/metrics", metrics)]


class _Page(Collector):
    """The numbers as they were read last, in one of the two formats."""

    def __init__(self, reads: Reads, is_open: bool) -> None:
        self.content_type = (
            openmetrics.CONTENT_TYPE_LATEST if is_open else exposition.CONTENT_TYPE_PLAIN_0_0_4
        )
        self._format: Callable[[CollectorRegistry], bytes] = (
            openmetrics.generate_latest if is_open else exposition.generate_latest
        )
        self._reads = reads
        self._reading = asyncio.Lock()
        self._fresh_until = -1.0
        self._families: list[Metric] = []
        self._text = b""
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        """Return the numbers, read anew unless those of the last time are fresh. Raises ``StoreError``."""
        clock = asyncio.get_running_loop().time
        async with self._reading:
            if clock() >= self._fresh_until:
                began = clock()
                self._text = await self._reads(self._read)
                self._fresh_until = clock() + max(FRESH_FOR, SHARE * (clock() - began))
            return self._text

    def _read(self, connection: sa.Connection, context: Context, now: float) -> bytes:
        """Read and format: off the event loop, as both take milliseconds."""
        self._families = list(families(measure(connection, context, now), BUILDS))
        return self._format(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Return the families; none before they were read, as when they are registered."""
        return self._families
