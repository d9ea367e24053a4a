"""A Slack: the methods of its Web API that matter here, an incoming webhook, and Socket Mode.

From Slack's documentation: chat.postMessage, chat.update, chat.postEphemeral, apps.connections.open, Block Kit reference,
Using Socket Mode, Rate limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.chat import Chat, Fault, faulty

TOKEN, APP_TOKEN, CHANNEL = "xoxb-1111-SECRETBOT", "xapp-1-SECRETAPP", "C0123456789"


def refuses(code: str, **headers: str) -> Fault:
    """Slack's usual way to refuse."""
    return Fault(429 if code == "ratelimited" else 200, json.dumps({"ok": False, "error": code}), headers)


class Slack(Chat):
    """An async context manager; `messages` are what the channel shows."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__(port)
        self.messages: dict[str, dict[str, Any]] = {}
        """Timestamp → the message as it stands."""
        self.envelopes: list[dict[str, Any]] = []
        """What was sent back over the socket, in order."""
        self.connections = 0
        self.greeting: list[dict[str, Any]] = [
            {"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0"}}
        ]
        self.hangs_up = False
        """Whether a connection ends after the greeting."""
        self._sockets: list[web.WebSocketResponse] = []

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/{method}", self._method),
            web.post("/services/T0/B0/{secret}", self._webhook),
            web.get("/link", self._link),
        ]

    @property
    def settings(self) -> dict[str, Any]:
        """The receiver's table, without buttons."""
        return {
            "provider": "slack",
            "token": TOKEN,
            "channel": CHANNEL,
            "api_url": f"http://127.0.0.1:{self.port}/api",
            "allow_private": True,
        }

    @property
    def webhook(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/T0/B0/SECRETHOOK"

    async def until_connected(self, count: int = 1) -> None:
        await self._until(lambda: self.connections >= count and bool(self._sockets))

    async def until_acknowledged(self, count: int = 1) -> list[dict[str, Any]]:
        await self._until(lambda: len(self.envelopes) >= count)
        return self.envelopes

    @property
    def is_left(self) -> bool:
        """Whether every connection has ended."""
        return all(socket.closed for socket in self._sockets)

    async def say(self, text: str | bytes) -> None:
        """Send anything over the socket."""
        socket = self._sockets[-1]
        await (socket.send_str(text) if isinstance(text, str) else socket.send_bytes(text))

    async def click(
        self, timestamp: str, button: str, *, user: str = "ann", value: str | None = None
    ) -> None:
        """A person clicks a button of a message."""
        message = self.messages[timestamp]
        (found,) = [one for one in buttons(message) if one["text"]["text"] == button] or [{}]
        payload = {
            "type": "block_actions",
            "user": {"id": f"U{user.upper()}", "username": user, "name": user, "team_id": "T0"},
            "channel": {"id": CHANNEL, "name": "alerts"},
            "message": {"ts": timestamp},
            "actions": [{"type": "button", "action_id": "x", "value": value or found.get("value")}],
        }
        await self.say(
            json.dumps(
                {
                    "type": "interactive",
                    "envelope_id": f"e{next(self._ids)}",
                    "accepts_response_payload": False,
                    "payload": payload,
                }
            )
        )

    async def hang_up(self, code: int = 1001) -> None:
        """End the connection with a close frame."""
        await self._sockets.pop().close(code=code)

    async def _method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        arguments = json.loads(await request.read())
        fault = self.faults.popleft() if self.faults else None
        answer = None if fault is not None else self._answer(method, request, arguments)
        await self._note(method, arguments)
        return await faulty(request, fault) if fault is not None else web.json_response(answer)

    def _answer(self, method: str, request: web.Request, arguments: dict[str, Any]) -> dict[str, Any]:
        wanted = APP_TOKEN if method.startswith("apps.") else TOKEN
        if request.headers.get("Authorization") != f"Bearer {wanted}":
            return {"ok": False, "error": "invalid_auth"}
        if method == "apps.connections.open":
            return {"ok": True, "url": f"ws://127.0.0.1:{self.port}/link?ticket=1"}
        if arguments.get("channel") != CHANNEL:
            return {"ok": False, "error": "channel_not_found"}
        if method == "chat.postEphemeral":
            return {"ok": True, "message_ts": "1.1"}
        if broken := list(broken_limits(arguments)):
            return {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": broken}}
        if method == "chat.update":
            timestamp = arguments["ts"]
            if timestamp not in self.messages:
                return {"ok": False, "error": "message_not_found"}
        else:
            timestamp = f"1700000000.{next(self._ids):06}"
        self.messages[timestamp] = arguments
        return {"ok": True, "channel": CHANNEL, "ts": timestamp, "message": arguments}

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        arguments = json.loads(await request.read())
        await self._note("webhook", arguments)
        if self.faults:
            return await faulty(request, self.faults.popleft())
        if list(broken_limits(arguments)):
            return web.Response(status=400, text="invalid_blocks")
        return web.Response(text="ok")

    async def _link(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for one in self.greeting:
            await socket.send_json(one)
        if self.hangs_up:
            await socket.close()
            return socket
        self._sockets.append(socket)
        async with self._changed:
            self.connections += 1
            self._changed.notify_all()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                async with self._changed:
                    self.envelopes.append(json.loads(message.data))
                    self._changed.notify_all()
        return socket


def buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The buttons of a message."""
    return [
        element for block in message["blocks"] if block["type"] == "actions" for element in block["elements"]
    ]


def texts(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every text object of the message's blocks."""
    for block in message["blocks"]:
        if "text" in block:
            yield block["text"]
        for element in block.get("elements", ()):
            yield element["text"] if block["type"] == "actions" else element


def broken_limits(message: dict[str, Any]) -> Iterator[str]:
    """What Slack would not take of a message."""
    most = {"header": 150, "section": 3000}
    if not message.get("text") and not message.get("blocks"):
        yield "no_text"
    if len(message.get("blocks", ())) > 50:
        yield "too many blocks"
    for block in message.get("blocks", ()):
        if block["type"] in most and not 0 < _units(block["text"]["text"]) <= most[block["type"]]:
            yield f"{block['type']} is too long or empty"
        if block["type"] == "actions":
            for button in block["elements"]:
                if len(button.get("value", "x")) > 2000 or len(button["text"]["text"]) > 75:
                    yield "a button is too long"
        if block["type"] == "context" and not 0 < len(block["elements"]) <= 10:
            yield "a context has no element or too many"
    if sum(_units(part["text"]) for part in texts(message)) > 13_000:
        yield "msg_blocks_too_long"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
