"""Whether the process lives and watches, and the request to reload: ``/-/healthy``, ``/-/ready``, ``/-/reload``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from chainwatch.api.problems import problem
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.monitor.heartbeat import Health
from chainwatch.store import schema
from chainwatch.store.errors import StoreError

READ_WITHIN = 5.0
"""Seconds within which the database must answer."""


def routes(health: Health, reads: Reads, writes: Writes, reload: Callable[[], None]) -> list[web.RouteDef]:
    """Return the routes; ``reload`` requests that the configuration is read again."""

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="chainwatch is healthy\n")

    async def ready(_: web.Request) -> web.Response:
        wrong = health.problem() or await _problem_of_database(reads)
        return problem(503, wrong) if wrong else web.Response(text="chainwatch is ready\n")

    async def ask_to_reload(request: web.Request) -> web.Response:
        await writes(await entry_of(request), lambda *_: None)  # for the audit log
        reload()
        return web.Response(status=202, text="the configuration is read again: see the log\n")

    return [
        web.get("/-/healthy", healthy),
        web.get("/-/ready", ready),
        web.post("/-/reload", ask_to_reload),
    ]


async def _problem_of_database(reads: Reads) -> str:
    try:
        async with asyncio.timeout(READ_WITHIN):
            await reads(lambda connection, *_: schema.created_at(connection))
    except (StoreError, TimeoutError):
        return "the database does not answer"
    return ""
