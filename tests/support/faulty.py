"""An HTTP proxy before a node that spoils some of the answers."""

import asyncio
import json
from random import Random
from typing import Self

import aiohttp
from aiohttp import web

from tests.support.ports import free_port

FAULTS = (
    "status 500",
    "status 503",
    "status 429",
    "html",
    "{}",
    "cut",
    "null",
    "error",
    "close",
    "late",
    "empty",
)
EMPTY = 0.3
"""The share of false "none" among the spoilt answers about logs."""
LATE = 1.5
"""Seconds by which a late answer is."""


class FaultyProxy:
    """Forwards JSON-RPC to the node at ``url`` and spoils the share ``faulty`` of its answers; a context manager.

    The first is spoilt for certain, so that one is, however few they are.
    """

    def __init__(self, url: str, faulty: float, dice: Random) -> None:
        self.faulty = faulty
        self.answers = 0
        self.spoilt = 0
        self.emptied = 0
        """Answers about logs that falsely said "none"."""
        self._url = url
        self._dice = dice
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            headers = {"Content-Type": "application/json"}
            async with self._session.post(self._url, data=body, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=502)
        self.answers += 1
        if self._dice.random() < self.faulty or (self.faulty and not self.spoilt):
            self.spoilt += 1
            about_logs = b"eth_getLogs" in body
            fault = "empty" if about_logs and self._dice.random() < EMPTY else self._dice.choice(FAULTS)
            self.emptied += about_logs and fault == "empty"
            return await self._spoil(request, body, answer, fault)
        return web.Response(body=answer, content_type="application/json")

    async def _spoil(
        self, request: web.Request, body: bytes, answer: bytes, fault: str
    ) -> web.StreamResponse:
        match fault.split():
            case ["empty"]:
                return web.Response(body=_without_logs(body, answer), content_type="application/json")
            case ["status", code]:
                return web.Response(status=int(code), headers={"Retry-After": "1"} if code == "429" else {})
            case ["html"]:
                return web.Response(text="<html>502 Bad Gateway</html>", content_type="text/html")
            case ["{}"]:
                return web.json_response({})
            case ["cut"]:
                return web.Response(body=answer[: len(answer) // 2], content_type="application/json")
            case ["null"]:
                return web.json_response({"jsonrpc": "2.0", "id": _first_id(answer), "result": None})
            case ["error"]:
                error = {"code": -32603, "message": "internal error"}
                return web.json_response({"jsonrpc": "2.0", "id": _first_id(answer), "error": error})
            case ["close"] if request.transport is not None:
                request.transport.abort()
                return web.Response()
            case _:
                await asyncio.sleep(LATE)
                return web.Response(body=answer, content_type="application/json")


def _without_logs(body: bytes, answer: bytes) -> bytes:
    """``answer`` with no logs in what was asked of them: a lie that looks like the truth."""
    asked, notified = json.loads(body), json.loads(answer)
    calls, answers = (asked, notified) if isinstance(asked, list) else ([asked], [notified])
    about_logs = {call["id"] for call in calls if call["method"] == "eth_getLogs"}
    for one in answers:
        if one.get("id") in about_logs and "result" in one:
            one["result"] = []
    return json.dumps(notified).encode()


def _first_id(answer: bytes) -> object:
    try:
        notified = json.loads(answer)
    except ValueError:
        return None
    return (notified[0] if isinstance(notified, list) else notified).get("id")
