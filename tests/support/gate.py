"""A door between chainwatch and a node: shut, nothing comes through, and nobody is notified."""

import asyncio
from typing import Self

from tests.support.ports import free_port

CHUNK = 65_536


class Gate:
    """Forwards TCP connections to a port of loopback; an async context manager. It starts open."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._flows: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for flow in self._flows:
            flow.cancel()
        await asyncio.gather(*self._flows, return_exceptions=True)

    def shut(self) -> None:
        """Connections stay, and new ones are taken; what is sent waits."""
        self._open.clear()

    def open(self) -> None:
        """Lets everything through, what has waited too."""
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink in ((reader, back), (there, writer)):
            flow = asyncio.create_task(self._forward(source, sink))
            self._flows.add(flow)
            flow.add_done_callback(self._flows.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(CHUNK):
                await self._open.wait()
                sink.write(chunk)
                await sink.drain()
        except ConnectionError:
            pass  # one side went away: so does the other
        finally:
            sink.close()
