"""The server: one supervised task of the monitor, on its event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

import structlog
from aiohttp import web

from chainwatch.api import health, metrics
from chainwatch.api.connection import Connection, Connections
from chainwatch.api.guard import Guard
from chainwatch.api.problems import Handler, answer_problems
from chainwatch.api.reads import Reads
from chainwatch.config.api import ApiSettings, parse_listen
from chainwatch.monitor.companions import Companions, Running, Tasks

BODY_MAX = 2**20
"""Bytes of a request's body, decompressed."""
LISTEN_AGAIN = 5.0
"""Seconds until an address that was in use is tried again."""
HANDSHAKE_WITHIN = 10.0
CLOSE_WITHIN = 1.0
"""Seconds for requests that are under way when the server ends."""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_log = structlog.get_logger(__name__)


def companions(reload: Callable[[], None]) -> Companions:
    """Return the server of each monitor whose configuration has one; ``reload`` requests a reload."""

    def of(running: Running) -> Tasks:
        settings = running.plan.settings.api
        return (
            {"api": partial(serve, settings, partial(application, running, reload))}
            if settings.listen
            else {}
        )

    return of


def application(running: Running, reload: Callable[[], None]) -> web.Application:
    """Return what answers the requests to one monitor."""
    guard = Guard.of(running.plan.settings.api)
    app = web.Application(
        client_max_size=BODY_MAX, middlewares=[_begin, answer_problems, guard.middleware, _read_body]
    )
    reads = Reads(running.database, running.plan)
    app.add_routes(health.routes(running.health, reads, reload))
    app.add_routes(metrics.routes(reads, running.alerting.supervisor.crashes))
    return app


async def serve(settings: ApiSettings, make: Callable[[], web.Application]) -> None:
    """Serve what ``make`` returns until cancelled; an address in use, or a bad certificate, is tried again."""
    runner = web.AppRunner(make(), handle_signals=False, shutdown_timeout=CLOSE_WITHIN)
    await runner.setup()
    assert runner.server is not None
    try:
        listening = await _listen(settings, Connections(runner.server))
        try:
            await listening.serve_forever()
        finally:
            listening.close()
    finally:
        await runner.cleanup()


async def _listen(settings: ApiSettings, connections: Connections) -> asyncio.Server:
    address = parse_listen(settings.listen)
    reason = ""
    while True:
        try:
            tls = _tls(settings)
            server = await asyncio.get_running_loop().create_server(
                connections,
                address.host,
                address.port,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_WITHIN if tls else None,
            )
        except OSError as error:  # ssl.SSLError is one too
            if str(error) != reason:
                reason = str(error)
                _log.warning("the API does not listen; trying again", listen=settings.listen, reason=reason)
            await asyncio.sleep(LISTEN_AGAIN)
        else:
            _log.info("the API listens", listen=settings.listen, tls=tls is not None)
            return server


def _tls(settings: ApiSettings) -> ssl.SSLContext | None:
    """Return the TLS side of the server, if it has one. Raises ``OSError`` for files that cannot be used."""
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # without a password, an encrypted key would ask for one on the terminal
    context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    return context


@web.middleware
async def _begin(request: web.Request, handler: Handler) -> web.StreamResponse:
    if isinstance(request.protocol, Connection):
        request.protocol.begun()
    response = await handler(request)
    response.headers.update(HEADERS)
    return response


@web.middleware
async def _read_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Read the body before anything is done with the request, so that every body is bounded."""
    await request.read()
    return await handler(request)
