"""How much memory `chainwatch run` takes while nodes answer with more than was requested, beside an honest run.

Each kind of oversized answer is served on four networks at once, two of which have an honest second endpoint. Printed is
the highest resident size (MiB) that the process ever had, and how far each network was read.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import WSMsgType, web

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.live import NETWORK, NETWORKS  # noqa: E402
from tests.fakenode import FakeChain, FakeLog, FakeNode  # noqa: E402  # the checkout's test parts
from tests.support import connext  # noqa: E402
from tests.support.process import Chainwatch  # noqa: E402

COUNT = 4
BEFORE = 400
"""Blocks that each chain has when it is begun with: enough to be read by range at first."""
ALLOWED = 400
"""MiB that the process may take, whatever is sent."""
MB = 1 << 20
ABOUT_LOGS = ("eth_getLogs", "eth_getBlockReceipts", "eth_getTransactionReceipt")
ADDRESS = bytes.fromhex(connext.ETHEREUM.address[2:])


def _sized(start: bytes, piece: bytes, end: bytes, size: int) -> bytes:
    return start + piece * ((size - len(start) - len(end)) // len(piece)) + end


def _result(piece: str, size: int, around: tuple[str, str] = ("[", "]")) -> Callable[[Any], bytes]:
    """An answer whose result is ``piece`` over and over, ``size`` bytes of it."""

    def body(asked: Any) -> bytes:
        start = f'{{"jsonrpc":"2.0","id":{json.dumps(asked.get("id"))},"result":{around[0]}'
        last = piece.rstrip(",")
        return _sized(start.encode(), piece.encode(), f"{last}{around[1]}}}".encode(), size)

    return body


def _error(text: str, size: int) -> Callable[[Any], bytes]:
    def body(asked: Any) -> bytes:
        start = (
            f'{{"jsonrpc":"2.0","id":{json.dumps(asked.get("id"))},"error":{{"code":-32000,"message":"boom '
        )
        return _sized(start.encode(), text.encode(), b'"}}', size)

    return body


def _error_data(piece: str, size: int) -> Callable[[Any], bytes]:
    def body(asked: Any) -> bytes:
        start = f'{{"jsonrpc":"2.0","id":{json.dumps(asked.get("id"))},"error":{{"code":-32000,"message":"boom","data":['
        return _sized(start.encode(), piece.encode(), b"0]}}", size)

    return body


def _logs(size: int, topic: str) -> Callable[[Any], bytes]:
    """Logs that fit the question, as many as there is room for."""

    def body(asked: Any) -> bytes:
        query = asked["params"][0]
        address = query["address"][0] if isinstance(query, dict) and "address" in query else "0x" + "11" * 20
        number, name = "0x1", "0x" + "22" * 32
        if isinstance(query, dict) and "blockHash" in query:
            name = query["blockHash"]
            number = hex(_numbers.get(name, 1))
        elif isinstance(query, dict):
            number = query["fromBlock"]
        entry = json.dumps(
            {
                "address": address,
                "topics": [topic],
                "data": "0x" + "00" * 64,
                "blockNumber": number,
                "blockHash": name,
                "transactionHash": "0x" + "33" * 32,
                "logIndex": "INDEX",
            }
        )
        parts: list[str] = []
        length = 0
        while length < size - 1000:
            parts.append(entry.replace("INDEX", hex(len(parts))))
            length += len(parts[-1]) + 1
        start = f'{{"jsonrpc":"2.0","id":{json.dumps(asked.get("id"))},"result":['
        return (start + ",".join(parts) + "]}").encode()

    return body


_numbers: dict[str, int] = {}
"""The numbers of the blocks, by their hashes, for answers that fit."""


class Kind(NamedTuple):
    """How a node answers the ``methods`` (None: all): with a ``body``, or in a way of its own."""

    body: Callable[[Any], bytes] | None = None
    methods: tuple[str, ...] | None = ABOUT_LOGS
    way: str = ""
    batches: bool = True


KINDS: dict[str, Kind] = {
    "honest": Kind(methods=()),
    "33 MB, one string": Kind(_result("00", 33 * MB, ('"0x', '"'))),
    "31 MB, one string": Kind(_result("00", 31 * MB, ('"0x', '"'))),
    "31 MB, one string, no batches": Kind(_result("00", 31 * MB, ('"0x', '"')), batches=False),
    "7 MB, one string, no batches": Kind(_result("00", 7 * MB, ('"0x', '"')), batches=False),
    "31 MB of fitting logs": Kind(_logs(31 * MB, "TOPIC"), batches=False),
    "7 MB of fitting logs": Kind(_logs(7 * MB, "TOPIC"), batches=False),
    "31 MB for everything": Kind(_result("00", 31 * MB, ('"0x', '"')), methods=None),
    "headers of 7 MB": Kind(
        _result('"00",', 7 * MB, ('{"transactions":[', "]}")),
        methods=("eth_getBlockByNumber",),
        batches=False,
    ),
    "receipts of small texts": Kind(_result('{"logs":[]},', 31 * MB), batches=False),
    "small arrays": Kind(_result("[],", 31 * MB), batches=False),
    "small arrays, 7 MB": Kind(_result("[],", 7 * MB), batches=False),
    "brackets": Kind(_result("[", 31 * MB), batches=False),
    "numbers": Kind(_result("1234,", 31 * MB), batches=False),
    "one number": Kind(_result("1", 31 * MB, ("", "")), batches=False),
    "error text": Kind(_error("x", 31 * MB), methods=None),
    "error text, 7 MB": Kind(_error("\\u2028", 7 * MB), methods=None),
    "error data": Kind(_error_data("[],", 31 * MB), methods=None),
    "error data, 7 MB": Kind(_error_data("{},", 7 * MB), methods=None),
    "batch of small answers": Kind(way="batch", methods=None),
    "endless body": Kind(way="endless"),
    "endless body for everything": Kind(way="endless", methods=None),
    "gzip bomb": Kind(way="gzip"),
    "deflate bomb": Kind(way="deflate"),
    "endless headers": Kind(way="headers"),
    "one long header": Kind(way="header"),
    "endless trailers": Kind(way="trailers"),
    "WebSocket, 31 MB": Kind(_result("00", 31 * MB, ('"0x', '"')), way="ws", batches=False),
    "WebSocket, 3.9 MB": Kind(_result("\u2028", 1_300_000, ('"', '"')), way="ws", batches=False),
    "WebSocket, news without end": Kind(way="ws-flood"),
}


class HostileNode(FakeNode):
    """A `FakeNode` that answers some methods as its ``kind`` says."""

    def __init__(self, chain: FakeChain, kind: Kind) -> None:
        super().__init__(chain)
        self.kind = kind
        self.batches = kind.batches

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        asked = json.loads(await request.read())
        calls = asked if isinstance(asked, list) else [asked]
        if isinstance(asked, list) and not self.batches:
            return await super()._serve(request)
        spoilt = [call for call in calls if self._is_spoilt(call)]
        if not spoilt:
            return await super()._serve(request)
        return await self._spoil(request, asked, spoilt[0])

    def _is_spoilt(self, call: dict[str, Any]) -> bool:
        return self.kind.methods is None or call["method"] in self.kind.methods

    async def _spoil(self, request: web.Request, asked: Any, call: dict[str, Any]) -> web.StreamResponse:
        if self.kind.body is not None:
            return web.Response(body=self._body(call), content_type="application/json")
        if self.kind.way == "batch":
            return web.Response(body=_sized(b"[", b'{"id":1},', b'{"id":1}]', 31 * MB))
        assert request.transport is not None
        write = request.transport.write
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        for piece in _endless(self.kind.way, head):
            if request.transport.is_closing():
                break
            write(piece)
            while request.transport.get_write_buffer_size() > MB and not request.transport.is_closing():  # noqa: ASYNC110 - no event says
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        request.transport.close()
        return web.Response()

    def _body(self, call: dict[str, Any]) -> bytes:
        assert self.kind.body is not None
        _numbers.update((block.hash, block.number) for block in self.chain.blocks[-80:])
        body = self.kind.body(call)
        query = call["params"][0] if call["params"] else None
        if b'"TOPIC"' in body and isinstance(query, dict):
            body = body.replace(
                b'"TOPIC"', json.dumps((query.get("topics") or [["0x" + "11" * 32]])[0][0]).encode()
            )
        return body

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        flood: asyncio.Task[None] | None = None
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                break
            call = json.loads(message.data)
            if self.kind.way == "ws" and self._is_spoilt(call):
                await socket.send_str(self._body(call).decode())
                continue
            await socket.send_str(json.dumps(self._answers(call)))
            if call["method"] == "eth_subscribe" and self.kind.way == "ws-flood":
                flood = asyncio.create_task(_flood(socket))
        if flood is not None:
            flood.cancel()
        return socket


async def _flood(socket: web.WebSocketResponse) -> None:
    news = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"result": "0" * 3_000_000}}
    text = json.dumps(news)
    while True:
        await socket.send_str(text)


def _endless(way: str, head: bytes) -> Iterator[bytes]:
    chunk = b"10000\r\n" + b"[" * 0x10000 + b"\r\n"
    if way == "endless":
        yield head + b"Transfer-Encoding: chunked\r\n\r\n"
        while True:
            yield chunk
    elif way in ("gzip", "deflate"):
        import zlib

        packed = gzip.compress(b"[" * (64 * MB))
        if way == "deflate":
            packed = zlib.compress(b"[" * (64 * MB))
        yield head + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (way.encode(), len(packed) * 16)
        for _ in range(16):
            yield packed
    elif way == "headers":
        yield head
        while True:
            yield b"X-Long: " + b"x" * 4000 + b"\r\n"
    elif way == "header":
        yield head + b"X-Long: "
        while True:
            yield b"x" * 65536
    elif way == "trailers":
        yield head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        while True:
            yield b"X-Long: " + b"x" * 4000 + b"\r\n"


async def serve(kind: Kind) -> None:
    """Serves `COUNT` chains with a block a second, each by a hostile and an honest node; prints the URLs."""
    async with AsyncExitStack() as stack:
        urls: list[list[str]] = []
        chains = [FakeChain(1000 + index, start=int(time.time()) - BEFORE) for index in range(COUNT)]
        for index, chain in enumerate(chains):
            for _ in range(BEFORE):
                _mine(chain)
            hostile = await stack.enter_async_context(HostileNode(chain, kind))
            honest = await stack.enter_async_context(FakeNode(chain))
            first = hostile.ws_url if kind.way.startswith("ws") else hostile.http_url
            urls.append([first] if index < COUNT // 2 else [first, honest.http_url])
        print(json.dumps(urls), flush=True)
        while True:
            await asyncio.sleep(1.0)
            for chain in chains:
                _mine(chain)


def _mine(chain: FakeChain) -> None:
    here = connext.Network("here", chain.chain_id, chain.chain_id, connext.ETHEREUM.address)
    there = here._replace(domain=1000 if here.domain != 1000 else 1001)
    log = connext.xcalled(connext.transfer(here, there, chain.head.number))
    chain.mine(FakeLog(ADDRESS, log.topics, log.data))


class Figures(NamedTuple):
    """What one run came to: MiB at its peak and at its end, and the last block read of each network."""

    peak: float
    end: float
    read: list[int]


def configuration(urls: list[list[str]]) -> str:
    """The TOML that watches one network on each list of ``urls``."""
    networks = "".join(
        NETWORK.format(index=index, chain_id=1000 + index, rpc=json.dumps(some))
        for index, some in enumerate(urls)
    )
    abi, address = ROOT / "abi" / "connext.json", connext.ETHEREUM.address
    return NETWORKS.format(networks=networks, abi=abi, address=address, flow=connext.flow("3h"))


async def measure(name: str, seconds: float) -> Figures:
    """Runs `chainwatch run` for so long against nodes of this kind."""
    node = subprocess.Popen(  # noqa: ASYNC220 - it is started once
        [sys.executable, __file__, "--serve", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        text=True,
    )
    assert node.stdout is not None
    urls = json.loads(node.stdout.readline())
    config = configuration(urls)
    with tempfile.TemporaryDirectory(prefix="chainwatch-memory-") as folder:
        watch = Chainwatch(Path(folder), config)
        watch.start()
        try:
            await asyncio.sleep(seconds)
            assert watch.is_running, watch.log[-2000:]
            peak, end = _resident(watch.pid)
            status = await watch.read("status")
        finally:
            watch.kill()
            node.kill()
            node.wait()
    read = [(network["checkpoint"] or {"number": -1})["number"] for network in status["networks"]]
    return Figures(peak, end, read)


def _resident(pid: int) -> tuple[float, float]:
    """The highest resident size that a process had, and the one that it has, in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"(VmHWM|VmRSS):\s+(\d+) kB", text))
    return int(found["VmHWM"]) / 1024, int(found["VmRSS"]) / 1024


async def measure_all(names: list[str], seconds: float) -> AsyncIterator[tuple[str, Figures]]:
    """The same for several kinds, one after the other."""
    for name in names:
        yield name, await measure(name, seconds)


async def _main(given: argparse.Namespace) -> int:
    too_much = 0
    figures: dict[str, Any] = {}
    async for name, found in measure_all(given.kind or list(KINDS), given.seconds):
        figures[name] = found._asdict()
        too_much += found.peak > ALLOWED
        if not given.json:
            print(f"{name:32} peak {found.peak:6.0f}  end {found.end:6.0f}  read {found.read}", flush=True)
    if given.json:
        print(json.dumps(figures))
    return 1 if too_much else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only these; default: all")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--serve", choices=list(KINDS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(KINDS[given.serve]))
        return
    sys.exit(asyncio.run(_main(given)))


if __name__ == "__main__":
    main()
