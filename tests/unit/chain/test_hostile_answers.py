"""Whatever one endpoint answers, reading goes on at the other, and the one is used again once it answers rightly."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from chainwatch.chain import pace
from chainwatch.chain.rpc import Endpoint
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import Follower, network_settings, open_pool, ping
from tests.support.raw import RawNode, http
from tests.support.waiting import eventually

DEEP = "[" * 5_000 + "]" * 5_000
DIGITS = "9" * 10_000


def error(message: str, code: str = "-32005") -> bytes:
    return http(f'{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"{message}"}}}}')


def result(text: str) -> bytes:
    return http(f'{{"jsonrpc":"2.0","id":1,"result":{text}}}')


def busy(retry_after: str, status: str = "429 Too Many Requests") -> bytes:
    return http("slow down", status, f"Retry-After: {retry_after}")


HOSTILE = {
    "a date beyond all calendars": busy("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT"),
    "a year beyond all calendars": busy("Mon, 01 Jan 99999999999999999999 00:00:00 GMT"),
    "a digit that is no number": busy("²"),
    "digits of another script": busy("١٢"),
    "a number without end": busy(DIGITS[:4000]),
    "an infinite pause": busy("inf"),
    "no number": busy("nan"),
    "half a date": busy("Mon, 01"),
    "the same with 503": busy("²", "503 Service Unavailable"),
    "nested brackets": http(DEEP),
    "a nested result": result(DEEP),
    "a nested error": http(f'{{"id":1,"error":{{"code":1,"message":"x","data":{DEEP}}}}}'),
    "nested brackets with a status": http(f'{{"jsonrpc":"2.0","error":{DEEP}}}', "500 Internal Server Error"),
    "a long hexadecimal number": result(f'"0x{DIGITS}"'),
    "a long decimal number": result(DIGITS),
    "a code with many digits": error("x", DIGITS),
    "a limit with a thousands separator": error("exceeds maximum block range of 1,024"),
    "a range with leading zeros": error("block range 010 to 011"),
    "a range with many digits": error(f"block range {DIGITS[:120]} to {DIGITS[:140]}"),
    "a range of no blocks": error("block range 0 to 0, max range: 0"),
    "a lone surrogate": result('"\\ud800"'),
    "bytes that are no text": http(b'{"id":1,"result":"\xff\xfe"}'),
    "members twice": http('{"id":1,"id":[],"result":1,"result":{}}'),
    "a null": result("null"),
    "nothing": http(""),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n{}",
    "a header that is no text": b"HTTP/1.1 200 OK\r\nX: \xff\x00\r\n\r\n{}",
    "a content length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: \xc2\xb2\r\n\r\n{}",
    "a content length that is too much": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{}",
    "a negative content length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "chunks of nonsense": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n{}\r\n",
    "an endless chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"f" * 40_000
    + b"\r\n",
    "what is not gzip": http(b"not gzip", "200 OK", "Content-Encoding: gzip"),
    "half of a gzip": http(gzip.compress(b'{"id":1}' * 99)[:30], "200 OK", "Content-Encoding: gzip"),
    "an unknown encoding": http(b"{}", "200 OK", "Content-Encoding: rot13"),
    "a bomb": http(zlib.compress(b"[" * 40_000_000, 9), "200 OK", "Content-Encoding: deflate"),
    "a status of none": b"HTTP/1.1 999999 What\r\n\r\n",
    "a redirect to nowhere": http("", "302 Found", "Location: http://[::bad"),
}


@pytest.fixture
def chain() -> FakeChain:
    chain = FakeChain()
    for number in range(6):
        chain.mine(ping(number))
    return chain


@pytest.mark.slow
@pytest.mark.parametrize("method", ["eth_chainId", "eth_getLogs"])
@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
async def test_reading_goes_on_at_the_other_endpoint(chain: FakeChain, method: str, answer: bytes) -> None:
    bad, good = RawNode(chain), RawNode(chain)
    bad.spoil = lambda asked: answer if asked == method else None
    async with bad.running(), good.running():
        settings = network_settings(bad.url, good.url, start_block=1)
        with capture_logs() as lines:
            async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
                await follower.until(lambda: follower.pings == list(range(6)))
                assert not any(task.done() for task in pool._tasks), "a member goes on for ever"
        trouble = [line for line in lines if line["event"] in ("endpoint failed", "reading failed")]
        assert len([line for line in trouble if line["event"] == "endpoint failed"]) <= 2
        assert all(len(str(line)) < 1_000 for line in trouble)


@pytest.mark.parametrize(
    ("method", "name"),
    [("eth_getLogs", name) for name in HOSTILE]
    + [
        ("eth_chainId", name)
        for name in ("a digit that is no number", "nested brackets", "a long hexadecimal number")
    ],
)
async def test_the_only_endpoint_is_used_again_once_it_answers_rightly(
    chain: FakeChain, method: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "WINDOW", 0.1)  # an endpoint that complains gets few calls in each
    answer = HOSTILE[name]
    node = RawNode(chain)
    async with node.running():
        settings = network_settings(node.url, start_block=1)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await pool.all_tried()
            node.spoil = lambda asked: answer if asked == method else None
            chain.mine(ping(6))
            if method == "eth_chainId":
                pool._members[0].set_aside("for this test", 0.0)
            before = node.asked
            await follower.until(lambda: node.asked > before + 1)
            node.spoil = lambda asked: None
            await follower.until(lambda: follower.pings[-1:] == [6])
            assert follower.pings == list(range(7))


class Odd(BaseException):
    """Of no usual kind."""


@pytest.mark.parametrize(
    "raised",
    [Odd(), RecursionError(), OverflowError(), MemoryError(), KeyError(), AssertionError(), SystemExit(1)],
)
async def test_whatever_is_raised_while_one_is_asked_the_next_is_asked(
    chain: FakeChain, raised: BaseException
) -> None:
    async def read(endpoint: Endpoint) -> str:
        if endpoint.name.startswith("net[0]"):
            raise raised
        return endpoint.name

    one, two = RawNode(chain), RawNode(chain)
    async with one.running(), two.running(), open_pool(network_settings(one.url, two.url)) as pool:
        await pool.all_tried()
        assert (await pool.ask(read)).startswith("net[1]")
        assert type(raised).__name__ in (pool.endpoints[0].last_error or "")
        await eventually(lambda: pool.endpoints[0].state in ("ok", "degraded"))


async def test_a_cancellation_from_within_goes_to_the_next(chain: FakeChain) -> None:
    async def read(endpoint: Endpoint) -> str:
        if endpoint.name.startswith("net[0]"):
            raise asyncio.CancelledError
        return endpoint.name

    one, two = RawNode(chain), RawNode(chain)
    async with one.running(), two.running(), open_pool(network_settings(one.url, two.url)) as pool:
        await pool.all_tried()
        assert (await pool.ask(read)).startswith("net[1]")


FRAMES: dict[str, str | bytes] = {
    "nested brackets": DEEP,
    "a nested result": f'{{"id":1,"result":{DEEP}}}',
    "bytes that are no text": b"\xff\xfe\x00",
    "nothing": "",
    "a null": "null",
    "a list": "[]",
    "a number": DIGITS,
    "an id with many digits": f'{{"id":{DIGITS},"result":"0x1"}}',
    "a fractional id": '{"id":1e400}',
    "news that are none": '{"method":5}',
    "a lone surrogate": '{"id":"\\ud800","method":"\\udfff"}',
    "an answer to nobody": '{"id":987654321,"result":"0x1"}',
}


@asynccontextmanager
async def websocket_node(chain: FakeChain, spoil: Callable[[str], str | bytes | None]) -> AsyncIterator[str]:
    """The URL of a node that answers with the frames that ``spoil`` gives for a method."""
    node = FakeNode(chain)

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            call = json.loads(message.data)
            frame = spoil(call["method"])
            if isinstance(frame, bytes):
                await socket.send_bytes(frame)
            else:
                await socket.send_str(json.dumps(node._answers(call)) if frame is None else frame)
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("method", ["eth_subscribe", "eth_chainId", "eth_getLogs"])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
async def test_reading_goes_on_at_the_other_websocket(
    chain: FakeChain, method: str, frame: str | bytes
) -> None:
    async with (
        websocket_node(chain, lambda asked: frame if asked == method else None) as bad,
        websocket_node(chain, lambda asked: None) as good,
    ):
        settings = network_settings(bad, good, start_block=1)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.pings == list(range(6)))
            assert not any(task.done() for task in pool._tasks), "a member goes on for ever"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_no_endpoint_sends_its_reader_to_another_host_S9(
    chain: FakeChain, scheme: str, status: int
) -> None:
    async with FakeNode(chain) as other, FakeNode(chain) as good:
        elsewhere = other.http_url if scheme == "http" else other.ws_url

        async def redirect(_request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": elsewhere})

        app = web.Application()
        app.router.add_route("*", "/", redirect)
        runner = web.AppRunner(app, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        settings = network_settings(f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/", good.http_url)
        async with open_pool(settings) as pool:
            await pool.all_tried()
            assert (other.posts, other.connections) == (0, 0)
            assert pool.endpoints[0].last_error == f"HTTP status {status}"
        await runner.cleanup()
