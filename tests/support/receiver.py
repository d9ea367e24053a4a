"""An HTTP server that records what it is sent and answers as instructed: a webhook, a Discord, a broken one."""

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `delay` in seconds; `drop` breaks the connection off in the middle of the body."""

    status: int = 200
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class Received:
    """One request; `arrived_at` is Unix time in seconds."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    arrived_at: float

    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Serves every path; an async context manager. `script` is used up first, one answer per request, then
    `usual` answers each. With `tls` it is a server over HTTPS.
    """

    def __init__(
        self,
        usual: Callable[[Received], Answer] = lambda _: Answer(),
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port or free_port()
        self.usual = usual
        self.script: deque[Answer] = deque()
        self.requests: list[Received] = []
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._tls = tls

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens; a stopped receiver can be started again, on the same port."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls).start()

    async def stop(self) -> None:
        """Refuses connections from now on."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def wait_for(self, count: int, timeout: float = PATIENCE) -> list[Received]:
        """All requests so far, as soon as there are `count`; raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            request.method, request.path, request.query, request.headers, await request.read(), time.time()
        )
        answer = self.script.popleft() if self.script else self.usual(received)
        async with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        await asyncio.sleep(answer.delay)
        if answer.drop:
            return await _broken_off(request, answer)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return web.Response(status=answer.status, body=body, headers=answer.headers)


async def _broken_off(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"id": ')
    if request.transport is not None:
        request.transport.abort()
    return response
