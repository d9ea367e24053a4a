"""Serves a `FakeChain` as JSON-RPC over HTTP and WebSocket on one loopback port, and fails as instructed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests.fakenode.chain import FakeChain, Reverted, UnknownBlock

HTML = "<html><body>502 Bad Gateway</body></html>"

WHOLE = ("status", "html", "{}", "cut", "close", "hang", "late", "trickle", "big")
STATE = ("eth_call", "eth_getBalance", "eth_getStorageAt", "eth_getCode")
OF_RESULT = ("null", "error", "result", "shuffle", "drop")


@dataclass
class Fault:
    """A failure of the next ``times`` answers to ``method``; for ever when ``times`` is None.

    ``method`` may be ``*`` for any, ``batch`` for any batch. Kinds that concern a whole answer: ``status`` (``value``: the
    HTTP status, with ``headers``), ``html``, ``{}``, ``cut``, ``close``, ``hang``,
    ``late`` (``value``: seconds, or an event), ``trickle``, ``big`` (``value``: bytes).
    Kinds that concern a result: ``null``, ``error`` (``value``: the error object), ``result`` (``value``: in its place).
    Limits of `eth_getLogs` that stand, with their ``message``: ``range`` (``value``: blocks), ``count`` (``value``: logs).
    Of a batch: ``shuffle``, ``drop`` (its last answer).
    """

    method: str
    kind: str
    value: Any = None
    times: int | None = 1
    message: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def wanted(self, method: str) -> bool:
        return self.method in ("*", method) and self.times != 0

    def use(self) -> Self:
        if self.times is not None:
            self.times -= 1
        return self


class FakeNode:
    """``async with FakeNode(chain) as node``. It is ``lag`` blocks behind the chain.

    ``batches``, ``by_hash`` (logs) and ``state_by_hash`` (EIP-1898) say what it can do,
    ``silent`` whether its subscriptions send nothing.
    ``asked``, ``posts``, ``queries`` and ``connections`` count what it was asked.
    """

    def __init__(self, chain: FakeChain, port: int = 0) -> None:
        self.chain = chain
        self.faults: list[Fault] = []
        self.lag = 0
        self.by_hash = True
        self.state_by_hash = True
        self.batches = True
        self.silent = False
        self.asked: Counter[str] = Counter()
        self.posts = 0
        self.queries: list[dict[str, Any]] = []
        self.connections = 0
        self._port = port
        self._sockets: set[web.WebSocketResponse] = set()
        self._subscribed: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v3/secret-key-in-path"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/v3/secret-key-in-path"

    async def start(self) -> None:
        """Begins to listen; on the same port when it was started before."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Closes the port and all connections."""
        if self._runner is not None:
            await self.drop(1001)
            await self._runner.cleanup()
            self._runner = None

    def fail(
        self, method: str, kind: str, value: Any = None, times: int | None = 1, message: str = ""
    ) -> Fault:
        """Adds a `Fault`."""
        fault = Fault(method, kind, value, times, message)
        self.faults.append(fault)
        return fault

    async def announce(self) -> None:
        """Sends the head to all subscribers of newHeads, unless `silent`."""
        message = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1"}}
        message["params"]["result"] = self.chain.block("latest", self.lag)  # type: ignore[index]  # a dict
        for socket in [] if self.silent else list(self._subscribed):
            await socket.send_str(json.dumps(message))

    async def drop(self, code: int) -> None:
        """Closes all WebSockets with ``code``; 1006 breaks the connections without a word."""
        for socket in list(self._sockets):
            if code == 1006:
                transport = socket._req.transport if socket._req is not None else None
                if transport is not None:
                    transport.abort()
            else:
                await socket.close(code=code)

    # --- serving ---

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        self.posts += 1
        asked = json.loads(await request.read())
        fault = self._fault("batch" if isinstance(asked, list) else asked["method"], whole=True)
        if fault is None and isinstance(asked, list):
            fault = next((f for f in (self._fault(call["method"], whole=True) for call in asked) if f), None)
        if isinstance(asked, list) and not self.batches:
            return web.json_response(
                {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
            )
        if fault is not None and fault.kind == "late":
            await _pass(fault.value)
        elif fault is not None and fault.kind not in ("cut", "trickle"):
            return await self._broken(request, fault)
        body = json.dumps(self._answers(asked)).encode()
        if fault is not None and fault.kind == "cut":
            body = body[: len(body) * 2 // 3]
        if fault is not None and fault.kind == "trickle":
            return await self._trickle(request, body)
        return web.Response(body=body, content_type="application/json")

    async def _broken(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind == "status":
            return web.Response(status=fault.value, text="overloaded", headers=fault.headers)
        if fault.kind == "html":
            return web.Response(text=HTML, content_type="text/html")
        if fault.kind == "{}":
            return web.json_response({})
        if fault.kind == "big":
            return web.Response(body=b'{"jsonrpc":"2.0","id":1,"result":"' + b"0" * fault.value + b'"}')
        if fault.kind == "hang":
            await asyncio.sleep(fault.value or 3600)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _trickle(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for index in range(len(body)):
            await response.write(body[index : index + 1])
            await asyncio.sleep(0.05)
        return response

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
                call = json.loads(message.data)
                fault = self._fault(call["method"], whole=True)
                if fault is not None and fault.kind == "close":
                    await socket.close(code=fault.value or 1011)
                    break
                if fault is not None:
                    continue  # never answered
                await socket.send_str(json.dumps(self._answers(call)))
                if call["method"] == "eth_subscribe":
                    self._subscribed.add(socket)
        finally:
            self._sockets.discard(socket)
            self._subscribed.discard(socket)
        return socket

    def _fault(self, method: str, whole: bool) -> Fault | None:
        kinds = WHOLE if whole else OF_RESULT
        found = next((f for f in self.faults if f.wanted(method) and f.kind in kinds), None)
        return found.use() if found is not None else None

    def _answers(self, asked: Any) -> Any:
        if not isinstance(asked, list):
            return self._answer(asked)
        answers = [self._answer(call) for call in asked]
        fault = self._fault("batch", whole=False)
        if fault is not None and fault.kind == "shuffle":
            answers.reverse()
        if fault is not None and fault.kind == "drop":
            answers.pop()
        return answers

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        method, params = call["method"], call["params"]
        self.asked[method] += 1
        if method == "eth_getLogs":
            self.queries.append(params[0])
        refusal = self._refusal(method, params)
        if refusal is not None:
            return answer | {"error": refusal}
        fault = self._fault(method, whole=False)
        if fault is not None and fault.kind == "null":
            return answer | {"result": None}
        if fault is not None and fault.kind == "error":
            return answer | {"error": fault.value}
        if fault is not None and fault.kind == "result":
            return answer | {"result": fault.value}
        try:
            return answer | {"result": self._result(method, params)}
        except Reverted as reverted:
            return answer | {"error": {"code": 3, "message": "execution reverted", "data": str(reverted)}}
        except UnknownBlock:
            return answer | {"error": {"code": -32000, "message": "unknown block"}}
        except KeyError:
            return answer | {"error": {"code": -32601, "message": f"the method {method} does not exist"}}

    def _refusal(self, method: str, params: list[Any]) -> dict[str, Any] | None:
        """The standing limits of this node: on a range's blocks, and on an answer's logs."""
        if method in STATE and isinstance(params[-1], dict) and not self.state_by_hash:
            return {
                "code": -32602,
                "message": "invalid argument 1: cannot unmarshal object into a block number",
            }
        if method != "eth_getLogs":
            return None
        if "blockHash" in params[0] and not self.by_hash:
            return {"code": -32602, "message": "invalid argument: blockHash is not supported"}
        for fault in self.faults:
            if fault.kind == "range" and "fromBlock" in params[0]:
                blocks = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
                if blocks > fault.value:
                    return {"code": -32000, "message": fault.message}
            if fault.kind == "count" and len(self.chain.logs(params[0], self.lag)) > fault.value:
                return {"code": -32005, "message": fault.message}
        return None

    def _result(self, method: str, params: list[Any]) -> Any:
        answers: dict[str, Callable[[], Any]] = {
            "eth_chainId": lambda: hex(self.chain.chain_id),
            "eth_blockNumber": lambda: hex(self.chain.head.number - self.lag),
            "eth_getBlockByNumber": lambda: self.chain.block(params[0], self.lag),
            "eth_getBlockByHash": lambda: self.chain.block_by_hash(params[0], self.lag),
            "eth_getLogs": lambda: self.chain.logs(params[0], self.lag),
            "eth_getBlockReceipts": lambda: self.chain.receipts(params[0]),
            "eth_getTransactionByHash": lambda: self.chain.transaction(params[0], self.lag),
            "eth_getTransactionByBlockHashAndIndex": lambda: self.chain.transaction_at(
                params[0], params[1], self.lag
            ),
            "eth_getTransactionReceipt": lambda: self.chain.receipt(params[0]),
            "eth_subscribe": lambda: "0x1",
            **dict.fromkeys(STATE, lambda: self.chain.state(method, params, self.lag)),
        }
        return answers[method]()


async def _pass(lateness: float | asyncio.Event) -> None:
    """Waits for so many seconds, or for what the test lets happen."""
    await (lateness.wait() if isinstance(lateness, asyncio.Event) else asyncio.sleep(lateness))
