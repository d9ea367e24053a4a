"""An endpoint whose answers are given byte by byte, for what no HTTP library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.fakenode import FakeChain, FakeNode

Spoil = Callable[[str], bytes | None]
"""Takes a method; what is answered to it, status line and all, or None for the truth. Empty bytes: nothing, for ever."""


def http(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer, after which the connection is closed."""
    data = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + data


class RawNode:
    """Answers as a node of ``chain`` does, but for what ``spoil`` says. ``asked`` counts the calls."""

    def __init__(self, chain: FakeChain) -> None:
        self.spoil: Spoil = lambda _method: None
        self.asked = 0
        self.url = ""
        self._node = FakeNode(chain)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RawNode]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            size = int(head.partition("content-length:")[2].split()[0])
            asked = json.loads(await reader.readexactly(size))
            calls = asked if isinstance(asked, list) else [asked]
            self.asked += len(calls)
            spoilt = next((s for call in calls if (s := self.spoil(call["method"])) is not None), None)
            if spoilt == b"":
                await reader.read()  # until the other side has had enough
            writer.write(http(json.dumps(self._node._answers(asked))) if spoilt is None else spoilt)
            await writer.drain()
        writer.close()
