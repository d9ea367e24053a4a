"""A real node behind a proxy that alters some of its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.anvil import Anvil
from tests.support.ports import free_port


class Altered:
    """A node of which ``alter`` changes answers in place, given the call and its answer."""

    def __init__(self, node: Anvil, alter: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._node, self._alter = node, alter

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:

            async def serve(request: web.Request) -> web.Response:
                asked = await request.json()
                async with session.post(self._node.http_url, json=asked) as response:
                    answered = await response.json()
                calls = {call["id"]: call for call in (asked if isinstance(asked, list) else [asked])}
                for answer in answered if isinstance(answered, list) else [answered]:
                    self._alter(calls[answer["id"]], answer)
                return web.Response(body=json.dumps(answered), content_type="application/json")

            app = web.Application()
            app.router.add_post("/", serve)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", int(self.url.rpartition(":")[2])).start()
            try:
                yield
            finally:
                await runner.cleanup()
