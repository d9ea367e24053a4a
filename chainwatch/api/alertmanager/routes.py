"""The paths below ``/api/v2``, and those of the API before, which answer that they are gone.

Source: ``api/v2/openapi.yaml`` and ``api.go`` of Prometheus Alertmanager.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import sqlalchemy as sa
from aiohttp import hdrs, web

from chainwatch.alerting.policy.severities import Severities
from chainwatch.alerting.runtime import RESOLVE_TIMEOUT
from chainwatch.api.alertmanager.configuration import original, receivers
from chainwatch.api.alertmanager.errors import INVALID_TYPE, PREFIX, Refused, said
from chainwatch.api.alertmanager.filters import BadFilter, flag, matchers_of, parse_filters, receiver_filter
from chainwatch.api.alertmanager.gettable import (
    VERSION,
    gettable_silence,
    rfc3339,
    silence_id,
    silence_number,
)
from chainwatch.api.alertmanager.listing import Query, grouped, listed
from chainwatch.api.alertmanager.posted import InvalidSilence, PostedSilence, parse_alerts, parse_silence
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.monitor.companions import Running
from chainwatch.operations import tested_silences, unresolved_alerts
from chainwatch.operations.context import Context
from chainwatch.operations.errors import NotFound

GONE_PATHS = ("/api/v1/receivers", "/api/v1/alerts/groups", "/api/v1/silences", "/api/v1/silence/{id}")
"""Paths of Alertmanager's API before version 2 that Prometheus has none of."""
POSTED_ALERTS = PREFIX + "alerts"
JSON = "application/json"
STORED_AT_ONCE = 1_000
"""The most alerts that are stored in one transaction, so that a huge post delays nothing else for long."""

Handle = Callable[[web.Request], Awaitable[web.Response]]


def routes(running: Running, reads: Reads, writes: Writes) -> list[web.RouteDef]:
    """Return the routes."""
    api = _Api(running, reads, writes)
    return [
        _route("GET", "status", api.status),
        _route("GET", "receivers", api.receivers),
        _route("GET", "alerts", api.alerts),
        _route("POST", "alerts", api.post_alerts),
        _route("GET", "alerts/groups", api.groups),
        _route("GET", "silences", api.silences),
        _route("POST", "silences", api.post_silence),
        _route("GET", "silence/{id}", api.silence),
        _route("DELETE", "silence/{id}", api.delete_silence),
        web.post("/api/v1/alerts", _gone),
        *(web.route(hdrs.METH_ANY, path, _gone) for path in GONE_PATHS),
    ]


class _Api:
    """``_started_at``: since when this server answers, in Unix seconds."""

    def __init__(self, running: Running, reads: Reads, writes: Writes) -> None:
        self._running = running
        self._reads = reads
        self._writes = writes
        self._settings = running.plan.settings
        self._severities = Severities(self._settings.severities)
        self._started_at = time.time()

    # --- reading ------------------------------------------------------------------------------------------

    async def status(self, _: web.Request) -> web.Response:
        return _answer(await self._reads(self._status))

    async def receivers(self, _: web.Request) -> web.Response:
        def names(connection: sa.Connection, context: Context, now: float) -> bytes:
            return _encoded([{"name": name} for name in receivers(self._current(context))])

        return _answer(await self._reads(names))

    async def alerts(self, request: web.Request) -> web.Response:
        def read(connection: sa.Connection, context: Context, now: float) -> bytes:
            found = unresolved_alerts.list_unresolved(connection, self._current(context), now)
            return _encoded(listed(found, query, now, self._settings.external_url or ""))

        query = _query(request)
        return _answer(await self._reads.shared((request.path_qs,), read))

    async def groups(self, request: web.Request) -> web.Response:
        def read(connection: sa.Connection, context: Context, now: float) -> bytes:
            found = unresolved_alerts.list_unresolved(connection, self._current(context), now)
            return _encoded(grouped(found, query, now, self._settings.external_url or ""))

        query = _query(request)
        return _answer(await self._reads.shared((request.path_qs,), read))

    async def silences(self, request: web.Request) -> web.Response:
        wanted = set(parse_filters(request.query.getall("filter", [])))
        states = {name for name in ("active", "pending", "expired") if flag(request, name)}

        def read(connection: sa.Connection, context: Context, now: float) -> bytes:
            found = tested_silences.list_tested(connection, context, now)
            return _encoded(
                [gettable_silence(s) for s in found if s.state in states and wanted <= set(s.tests)]
            )

        return _answer(await self._reads.shared((request.path_qs,), read))

    async def silence(self, request: web.Request) -> web.Response:
        def read(connection: sa.Connection, context: Context, now: float) -> bytes:
            return _encoded(gettable_silence(tested_silences.show_tested(connection, context, now, number)))

        number = _number(request)
        return _answer(await self._reads(read))

    # --- writing ------------------------------------------------------------------------------------------

    async def post_alerts(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        posted = await asyncio.to_thread(parse_alerts, body, self._severities, time.time(), RESOLVE_TIMEOUT)
        for at in range(0, len(posted.valid), STORED_AT_ONCE):
            some = posted.valid[at : at + STORED_AT_ONCE]
            await asyncio.wrap_future(self._running.alerting.accept(some))
        return said(400, "; ".join(posted.invalid)) if posted.invalid else web.Response()

    async def post_silence(self, request: web.Request) -> web.Response:
        body = await _json_body(request)
        posted = await asyncio.to_thread(parse_silence, body, time.time())
        try:
            number = await self._writes(
                await entry_of(request), tested_silences.put, posted.wanted, _replaced(posted)
            )
        except NotFound:
            return said(404, "silence not found")
        return _answer(_encoded({"silenceID": silence_id(number)}))

    async def delete_silence(self, request: web.Request) -> web.Response:
        await self._writes(await entry_of(request), tested_silences.expire, _number(request))
        return web.Response()

    # --- parts --------------------------------------------------------------------------------------------

    def _current(self, context: Context) -> Context:
        """Return ``context`` with the routes and receivers that are in use now."""
        alerting = self._running.alerting
        return replace(context, engine=alerting.engine, receivers=tuple(alerting.receivers))

    def _status(self, connection: sa.Connection, context: Context, now: float) -> bytes:
        version = {"branch": "HEAD", "buildDate": "", "buildUser": "chainwatch", "revision": "chainwatch"}
        return _encoded(
            {
                "cluster": {"status": "disabled", "peers": []},
                "versionInfo": {**version, "version": VERSION, "goVersion": platform.python_version()},
                "config": {"original": original(self._current(context))},
                "uptime": rfc3339(self._started_at),
            }
        )


def _route(method: str, path: str, handle: Handle) -> web.RouteDef:
    async def answer(request: web.Request) -> web.Response:
        try:
            return await handle(request)
        except Refused as refused:
            return refused.answer
        except (BadFilter, InvalidSilence) as error:
            return said(400, str(error))
        except NotFound:
            return web.Response(status=404)

    if method == hdrs.METH_GET:
        return web.get(PREFIX + path, answer, allow_head=False)
    return web.route(method, PREFIX + path, answer)


def _query(request: web.Request) -> Query:
    """Return the query of a request. Raises ``BadFilter``."""
    return Query(
        matchers_of(parse_filters(request.query.getall("filter", []))),
        receiver_filter(request.query.get("receiver")),
        **{name: flag(request, name) for name in ("active", "silenced", "inhibited", "muted")},
    )


async def _json_body(request: web.Request) -> bytes:
    """Return the body. Raises ``Refused`` where it is no JSON."""
    body = await request.read()
    content_type = request.content_type
    if body and content_type != JSON:
        raise Refused(415, f'unsupported media type "{content_type}", only [{JSON}] are allowed')
    return body


def _number(request: web.Request) -> int:
    """Return the number of the silence in the path. Raises ``Refused`` and ``NotFound``."""
    text = request.match_info["id"]
    try:
        number = silence_number(text)
    except ValueError:
        raise Refused(INVALID_TYPE, f'silenceID in path must be of type uuid: "{text[:200]}"') from None
    if number is None:
        raise NotFound("no silence has this id")
    return number


def _replaced(posted: PostedSilence) -> int | None:
    """Return the number of the silence that is to be changed. Raises ``NotFound`` for an id that none has."""
    if not posted.id:
        return None
    try:
        number = silence_number(posted.id)
    except ValueError:
        number = None
    if number is None:
        raise NotFound("no silence has this id")
    return number


async def _gone(_: web.Request) -> web.Response:
    body: dict[str, Any] = {
        "status": "deprecated",
        "error": "The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0: "
        "use the equivalent route in the v2 API",
    }
    return web.Response(status=410, body=_encoded(body), content_type=JSON)


def _encoded(content: Any) -> bytes:
    return msgspec.json.encode(content)


def _answer(content: bytes) -> web.Response:
    return web.Response(body=content, content_type=JSON)
