"""The server: one supervised task of the monitor, on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from chainwatch.api import health, ingestion, metrics, pessimism, v1
from chainwatch.api.alertmanager import routes as alertmanager
from chainwatch.api.alertmanager.errors import translate_problems
from chainwatch.api.bodies import BODY_MAX, Bodies
from chainwatch.api.connection import Connection, Connections
from chainwatch.api.guard import Guard
from chainwatch.api.handshake import Handshakes
from chainwatch.api.identity import Identities
from chainwatch.api.page.problems import show_problems
from chainwatch.api.page.routes import add_page
from chainwatch.api.problems import Handler, answer_problems
from chainwatch.api.prometheus import routes as prometheus
from chainwatch.api.prometheus.answers import translate_problems as translate_query_problems
from chainwatch.api.prometheus.client_turns import ClientTurns
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes
from chainwatch.config.api import ApiSettings, is_loopback, parse_listen
from chainwatch.monitor.companions import Companions, Running, Tasks
from chainwatch.rule_engine.engine import RuleEngine
from chainwatch.store.errors import StoreError

LISTEN_AGAIN = 5.0
"""Seconds until it is tried again to listen."""
CLOSE_WITHIN = 1.0
"""Seconds for requests that are under way when the server ends."""
HEADERS = {"Cache-Control": "no-store", "Server": "chainwatch", "X-Content-Type-Options": "nosniff"}

_log = structlog.get_logger(__name__)


def companions(reload: Callable[[], None], engine: RuleEngine | None = None) -> Companions:
    """Return the server of each monitor whose configuration has one; ``reload`` requests a reload.

    ``engine``: the rules of the process, which run beside it; without it, none are evaluated.
    """
    rules = engine or RuleEngine()

    def of(running: Running) -> Tasks:
        is_wanted = bool(running.plan.settings.api.listen)
        return {"api": lambda: _serve_monitor(running, reload, rules)} if is_wanted else {}

    return of


async def _serve_monitor(running: Running, reload: Callable[[], None], rules: RuleEngine) -> None:
    settings = running.plan.settings.api
    clock = running.alerting.clock
    reads = Reads(running.database, running.plan, rule_groups=rules.groups)
    writes = Writes(running, rules.changed)
    step = round(running.plan.settings.evaluation.interval * 1000)
    is_local = is_loopback(parse_listen(settings.listen).host)
    identities = Identities(reads, trusts_machine=is_local)

    async def may_listen() -> str:
        if is_local or await identities.tokens():
            return ""
        return (
            "other machines reach this address, but there is no token: make one with `chainwatch token add`"
        )

    guard = Guard.of(settings)
    app = web.Application(
        client_max_size=BODY_MAX,
        middlewares=[
            _begin,
            guard.naming,
            translate_problems,
            translate_query_problems,
            show_problems,
            answer_problems,
            identities.middleware,
            guard.refusing,
            Bodies().read,
        ],
    )
    app.add_routes(health.routes(running.health, reads, writes, reload))
    app.add_routes(metrics.routes(reads))
    app.add_routes(ingestion.routes(rules.intake, rules.pushed_groups(running), clock))
    app.add_routes(v1.routes(reads, writes))
    app.add_routes(pessimism.routes(running.health, reads, writes))
    app.add_routes(alertmanager.routes(running, reads, writes))
    with contextlib.closing(ClientTurns(rules.loaded)) as turns:
        add_page(app, running.database, reads, writes, identities, guard, rules.tsdb, turns, clock, step)
        app.add_routes(prometheus.routes(rules, turns, clock, step))
        await serve(settings, app, may_listen)


async def _may() -> str:
    return ""


async def serve(
    settings: ApiSettings, app: web.Application, may_listen: Callable[[], Awaitable[str]] = _may
) -> None:
    """Serve ``app`` until cancelled. Whatever keeps it from listening is logged, and it is tried again.

    ``may_listen`` returns why it must not listen yet; empty where it may.
    """
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=CLOSE_WITHIN)
    await runner.setup()
    assert runner.server is not None
    try:
        listening, protocols = await _listen(settings, Connections(runner.server), may_listen)
        try:
            await listening.serve_forever()
        finally:
            listening.close()
            if isinstance(protocols, Handshakes):
                protocols.close()
    finally:
        await runner.cleanup()


async def _listen(
    settings: ApiSettings, connections: Connections, may_listen: Callable[[], Awaitable[str]]
) -> tuple[asyncio.Server, Connections | Handshakes]:
    said = ""
    while True:
        try:
            reason = await may_listen()
            if not reason:
                return await _open(settings, connections)
        except (OSError, StoreError) as error:  # ssl.SSLError is an OSError
            reason = str(error)
        if reason != said:
            said = reason
            _log.warning("the API does not listen; trying again", listen=settings.listen, reason=reason)
        await asyncio.sleep(LISTEN_AGAIN)


async def _open(
    settings: ApiSettings, connections: Connections
) -> tuple[asyncio.Server, Connections | Handshakes]:
    """Return the server, which accepts connections, and what makes their protocols. Raises ``OSError``."""
    address, tls = parse_listen(settings.listen), _tls(settings)
    protocols = connections if tls is None else Handshakes(connections, tls)
    server = await asyncio.get_running_loop().create_server(protocols, address.host, address.port)
    _log.info("the API listens", listen=settings.listen, tls=tls is not None)
    return server, protocols


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
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
