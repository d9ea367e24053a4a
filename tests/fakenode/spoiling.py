"""A `FakeNode` that spoils its answers by `tests.fakenode.mutation`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from random import Random
from typing import Any

from aiohttp import WSMsgType, web

from tests.fakenode.chain import FakeChain
from tests.fakenode.mutation import Spoilt, spoil, spoilt_text
from tests.fakenode.node import FakeNode


class SpoilingNode(FakeNode):
    """Spoils the share ``rate`` of its answers to ``methods`` (empty: to any)."""

    def __init__(self, chain: FakeChain, dice: Random, rate: float, methods: Collection[str] = ()) -> None:
        super().__init__(chain)
        self.rate = rate
        self.methods = methods
        self.spoilt = 0
        self._dice = dice

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        asked = json.loads(await request.read())
        answer = self._answers(asked)
        if not self._is_due(asked):
            return web.json_response(answer)
        return await self._send(request, spoil(self._dice, answer))

    def _is_due(self, asked: Any) -> bool:
        calls = asked if isinstance(asked, list) else [asked]
        about = not self.methods or any(call["method"] in self.methods for call in calls)
        due = about and self._dice.random() < self.rate
        self.spoilt += due
        return due

    async def _send(self, request: web.Request, spoilt: Spoilt) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if spoilt.pieces is None:
            await asyncio.sleep(30)
            return web.Response()
        if spoilt.status == 0:
            transport.write(spoilt.pieces[0])
            await asyncio.sleep(0.01)
            transport.close()
            return web.Response()
        response = web.StreamResponse(status=spoilt.status, headers=dict(spoilt.headers))
        await response.prepare(request)
        for piece in spoilt.pieces:
            await response.write(piece)
            await asyncio.sleep(spoilt.pause)
        return response

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
                call = json.loads(message.data)
                answer = self._answers(call)
                if not self._is_due(call):
                    await socket.send_str(json.dumps(answer))
                elif self._dice.random() < 0.1:
                    await socket.close(code=self._dice.choice((1000, 1002, 1011, 3000)))
                elif self._dice.random() < 0.3:
                    await socket.send_bytes(spoilt_text(self._dice, answer))
                else:
                    await socket.send_str(spoilt_text(self._dice, answer).decode(errors="replace"))
                if call["method"] == "eth_subscribe":
                    self._subscribed.add(socket)
        finally:
            self._sockets.discard(socket)
            self._subscribed.discard(socket)
        return socket

    async def announce(self) -> None:
        """As a `FakeNode`, but what it sends is spoilt as well."""
        news = {
            "jsonrpc": "2.0",
            "method": "eth_subscription",
            "params": {"subscription": "0x1", "result": {}},
        }
        for socket in list(self._subscribed):
            try:
                await socket.send_bytes(
                    spoilt_text(self._dice, news)
                    if self._dice.random() < self.rate
                    else json.dumps(news).encode()
                )
            except ConnectionError:
                continue  # the other side has had enough
