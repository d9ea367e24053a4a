"""JSON-RPC 2.0 over HTTP and WebSocket on loopback: batches, errors and eth_subscribe, as nodes do."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import WSMsgType, web

from chainwatch.demo.block import Block
from chainwatch.demo.ledger import LogFilter
from chainwatch.demo.methods import INVALID_PARAMS, MethodError, Methods, log_filter

__all__ = ["Server"]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600

# A reader this many messages behind is dropped: it may connect again, the chain must not wait for it.
MAX_UNSENT = 10_000

# What eth_getBlockByNumber shows and a pushed header does not.
NOT_IN_HEADS = frozenset({"size", "uncles", "withdrawals", "transactions"})

Call = Callable[[str, list[Any]], Awaitable[Any]]


class Server:
    """Serves one chain's methods; `publish` sends changes of the chain to the subscribers."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self._clients: set[_Client] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen on 127.0.0.1 and return the port, which the system chose."""
        app = web.Application()
        app.router.add_post("/", self._http)
        app.router.add_get("/", self._websocket)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        for client in tuple(self._clients):
            await client.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def publish(self, orphans: Iterable[Block], mined: Iterable[Block]) -> None:
        """Send the logs of orphaned blocks as removed, then each new block's header and logs."""
        orphaned, added = tuple(orphans), tuple(mined)
        for client in tuple(self._clients):
            for block in orphaned:
                client.notify_logs([{**log, "removed": True} for log in block.logs])
            for block in added:
                client.notify_head(block)
                client.notify_logs(block.logs)

    async def _http(self, request: web.Request) -> web.Response:
        answer = await _answer(await request.text(), self._methods.call)
        return web.Response(text=answer, content_type="application/json")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=405, headers={"Allow": "POST"})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = _Client(socket, self._methods)
        self._clients.add(client)
        try:
            await client.serve()
        finally:
            self._clients.discard(client)
        return socket


class _Client:
    """One WebSocket connection with its subscriptions and its queue of unsent messages."""

    def __init__(self, socket: web.WebSocketResponse, methods: Methods) -> None:
        self._socket = socket
        self._methods = methods
        self._unsent: asyncio.Queue[str] = asyncio.Queue(MAX_UNSENT)
        self._heads: set[str] = set()
        self._logs: dict[str, LogFilter] = {}
        self._serving: asyncio.Task[Any] | None = None

    async def serve(self) -> None:
        """Answer until the client goes away."""
        self._serving = asyncio.current_task()
        sender = asyncio.create_task(self._send())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT and (answer := await _answer(message.data, self._call)):
                    self._put(answer)
        finally:
            sender.cancel()

    async def close(self) -> None:
        await self._socket.close(code=1001, message=b"shutting down")

    def notify_head(self, block: Block) -> None:
        header = {key: value for key, value in block.header.items() if key not in NOT_IN_HEADS}
        for subscription in self._heads:
            self._notify(subscription, header)

    def notify_logs(self, logs: list[dict[str, Any]]) -> None:
        for subscription, wanted in self._logs.items():
            for log in filter(wanted.matches, logs):
                self._notify(subscription, log)

    async def _call(self, method: str, params: list[Any]) -> Any:
        if method == "eth_subscribe":
            return self._subscribe(params)
        if method == "eth_unsubscribe":
            return self._unsubscribe(params)
        return await self._methods.call(method, params)

    def _subscribe(self, params: list[Any]) -> str:
        subscription = "0x" + secrets.token_hex(16)
        match params:
            case ["newHeads"]:
                self._heads.add(subscription)
            case ["logs"]:
                self._logs[subscription] = log_filter({})
            case ["logs", criteria]:
                self._logs[subscription] = log_filter(criteria)
            case _:
                raise MethodError(INVALID_PARAMS, 'expected "newHeads", or "logs" and a filter')
        return subscription

    def _unsubscribe(self, params: list[Any]) -> bool:
        match params:
            case [str(subscription)] if subscription in self._heads:
                self._heads.remove(subscription)
            case [str(subscription)] if subscription in self._logs:
                del self._logs[subscription]
            case _:
                raise MethodError(INVALID_PARAMS, "subscription not found")
        return True

    def _notify(self, subscription: str, result: Any) -> None:
        body = {"subscription": subscription, "result": result}
        self._put(json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": body}))

    def _put(self, message: str) -> None:
        try:
            self._unsent.put_nowait(message)
        except asyncio.QueueFull:
            if self._serving is not None:
                self._serving.cancel()

    async def _send(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client has gone: its reader ends by itself
            while True:
                await self._socket.send_str(await self._unsent.get())


async def _answer(text: str, call: Call) -> str:
    """Return the answer to one HTTP body or WebSocket message, which may be a batch; empty where none is expected."""
    try:
        request = json.loads(text)
    except ValueError:
        return json.dumps(_error(None, PARSE_ERROR, "parse error"))
    if isinstance(request, list) and request:
        answers = [await _answer_one(one, call) for one in request]
        return json.dumps([answer for answer in answers if answer is not None])
    answer = await _answer_one(request, call)
    return "" if answer is None else json.dumps(answer)


async def _answer_one(request: Any, call: Call) -> dict[str, Any] | None:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _error(None, INVALID_REQUEST, "invalid request")
    params = request.get("params") or []
    asked = request.get("id")
    try:
        if not isinstance(params, list):
            raise MethodError(INVALID_PARAMS, "non-array args")
        answer = {"jsonrpc": "2.0", "id": asked, "result": await call(request["method"], params)}
    except MethodError as error:
        answer = _error(asked, error.code, str(error))
    return answer if "id" in request else None


def _error(asked: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": asked, "error": {"code": code, "message": message}}
