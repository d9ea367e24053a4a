"""A chat's server, of whichever kind: it notes calls, and answers the next ones wrongly where a test wants that."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

from aiohttp import web

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE


class Call(NamedTuple):
    """One call of a method; `at` is monotonic time in seconds."""

    method: str
    arguments: dict[str, Any]
    at: float


class Fault(NamedTuple):
    """What is answered in place of the right thing; `cut` breaks the connection off within the body."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] | None = None
    delay: float = 0.0
    cut: bool = False


class Chat:
    """An async context manager. `faults` are used up first, one per call."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.calls: list[Call] = []
        self.faults: deque[Fault] = deque()
        self._ids = itertools.count(1)
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    def _routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(self._routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def called(self, method: str) -> list[dict[str, Any]]:
        return [call.arguments for call in self.calls if call.method == method]

    async def until(self, method: str, count: int = 1) -> list[dict[str, Any]]:
        """The calls of a method, as soon as there are `count`."""
        await self._until(lambda: len(self.called(method)) >= count)
        return self.called(method)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(holds)

    async def _note(self, method: str, arguments: dict[str, Any]) -> None:
        async with self._changed:
            self.calls.append(Call(method, arguments, time.monotonic()))
            self._changed.notify_all()


async def faulty(request: web.Request, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.delay)
    if not fault.cut:
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
    response = web.StreamResponse(status=fault.status, headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"ok": tr')
    if request.transport is not None:
        request.transport.abort()
    return response
