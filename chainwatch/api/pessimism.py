"""Pessimism's JSON API: ``/v0/heuristic``, in its older vocabulary ``/v0/invariant``, and ``/health``.

Answers are those of Pessimism; what does nothing there (update, stop and delete) works here.
Source: https://github.com/base-org/pessimism, ``internal/api`` (2024-05-29) and its swagger file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from aiohttp import web

from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.checker.invariants.sessions import Session
from chainwatch.monitor.heartbeat import Health
from chainwatch.operations import pessimism
from chainwatch.operations.errors import Invalid, NotFound, OperationError
from chainwatch.operations.pessimism import Changes, SessionView
from chainwatch.support.nesting import decode_json
from chainwatch.support.printable import clean

NOT_JSON = "could not unmarshal request body"
REFUSED = "error processing heuristic request"
REASON = "X-Chainwatch-Reason"
"""The header that says why a request was refused: Pessimism's own text does not."""
REASON_MAX = 300

_log = structlog.get_logger(__name__)


class _Alerting(msgspec.Struct):
    severity: str | None = None
    destination: str | None = None
    message: str | None = None
    cooldown_time: int | None = None


class _Params(msgspec.Struct):
    network: str | None = None
    type: str | None = None
    uuid: str | None = None
    start_height: int | None = None
    end_height: int | None = None
    heuristic_params: dict[str, Any] | None = None
    invariant_params: dict[str, Any] | None = None
    alerting_params: _Alerting | None = None
    alert_destination: str | None = None

    @property
    def given(self) -> dict[str, Any] | None:
        """The parameters of the heuristic, by either name."""
        return self.invariant_params if self.heuristic_params is None else self.heuristic_params


class _Body(msgspec.Struct):
    method: str | None = None
    params: _Params | None = None
    uuid: str | None = None
    alert_destination: str | None = None


def routes(health: Health, reads: Reads, writes: Writes) -> list[web.RouteDef]:
    """Return the routes."""

    async def post(request: web.Request) -> web.Response:
        content = await request.read()
        try:
            body = decode_json(content, _Body)
        except ValueError as error:
            return _answer(400, error=NOT_JSON, reason=str(error))
        try:
            name = await _done(request, writes, body)
        except OperationError as error:
            _log.warning("a session was refused", reason=str(error))
            return _answer(500, error=REFUSED, reason=str(error))
        return _answer(202, {"uuid": name})

    def get(vocabulary: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                found = await reads(pessimism.show, name=request.query.get("uuid", "").replace("\0", ""))
            except NotFound as error:
                return _answer(404, error=str(error))
            return _answer(200, _session(found, vocabulary))

        return handle

    async def healthy(_: web.Request) -> web.Response:
        chains = await reads(pessimism.chain_health)
        body = {
            "Timestamp": _time(datetime.now(UTC).timestamp()),
            "Healthy": not health.problem(),
            "ChainConnectionStatus": {"IsL1Healthy": chains.layer1, "IsL2Healthy": chains.layer2},
        }
        return web.json_response(body)

    return [
        web.post("/v0/heuristic", post),
        web.post("/v0/invariant", post),
        web.get("/v0/heuristic", get("heuristic")),
        web.get("/v0/invariant", get("invariant")),
        web.get("/health", healthy),
    ]


async def _done(request: web.Request, writes: Writes, body: _Body) -> str:
    """Do what ``body`` asks for, and return the session's id. Whatever is no other method is ``run``, as in Pessimism."""
    params = body.params or _Params()
    name = (params.uuid or body.uuid or "").replace("\0", "")
    entry = await entry_of(request)
    match body.method:
        case "update":
            return await writes(entry, pessimism.update, name=name, changes=_changes(body, params))
        case "stop":
            return await writes(entry, pessimism.stop, name=name)
        case "delete":
            return await writes(entry, pessimism.delete, name=name)
    if name:
        return await writes(entry, pessimism.start, name=name)
    return await writes(entry, pessimism.run, session=_wanted(body, params), author=entry.actor)


def _wanted(body: _Body, params: _Params) -> Session:
    """Return the session that a request describes. Raises ``Invalid``."""
    changes = _changes(body, params)
    return Session(
        changes.layer or "",
        changes.heuristic or "",
        dict(changes.params or {}),
        changes.severity or "",
        changes.destination or "",
        changes.message or "",
        changes.cooldown or 0,
        changes.start,
    )


def _changes(body: _Body, params: _Params) -> Changes:
    """Return what a request says of a session. Raises ``Invalid``."""
    if params.end_height is not None:
        raise Invalid("end_height is not supported: a session goes on until it is stopped")
    alerting = params.alerting_params or _Alerting()
    destination = alerting.destination or params.alert_destination or body.alert_destination
    severity = None if alerting.severity is None else alerting.severity.lower()
    return Changes(
        (params.network or "").lower() or None,
        params.type or None,
        params.start_height,
        params.given,
        severity,
        destination,
        alerting.message,
        alerting.cooldown_time,
    )


def _session(found: SessionView, vocabulary: str) -> dict[str, Any]:
    session = found.session
    return {
        "uuid": found.uuid,
        "network": session.layer,
        "type": "live" if session.start is None else "backtest",
        vocabulary: session.heuristic,
        "alert_destination": session.destination,
        f"{vocabulary}_params": session.params,
        "alerting_params": {
            "severity": session.severity,
            "destination": session.destination,
            "message": session.message,
            "cooldown_time": session.cooldown,
        },
        "status": "running" if found.is_running else "stopped",
        "created_at": _time(found.created_at),
        "updated_at": _time(found.updated_at),
        "deleted_at": None if found.deleted_at is None else _time(found.deleted_at),
        "deleted": found.deleted_at is not None,
    }


def _answer(
    status: int, result: Mapping[str, Any] | None = None, *, error: str = "", reason: str = ""
) -> web.Response:
    text = "OK" if status < 400 else "NOTOK"
    body = {"status_code": status, "status": text, "result": result, "error": error}
    headers = {}
    if reason:
        line = " ".join(clean(reason).split())[:REASON_MAX]
        headers[REASON] = line.encode("ascii", "backslashreplace").decode()
    return web.json_response(body, status=status, headers=headers)


def _time(seconds: float) -> str:
    """Return Unix seconds as RFC 3339."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
