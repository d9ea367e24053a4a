"""TLS handshakes, each of which counts as a connection from its first byte on: a half-open one takes a file, too."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto

from chainwatch.api.connection import Connection, Connections

HANDSHAKE_WITHIN = 10.0
"""Seconds for a handshake."""
BUFFER = 2**15
"""Bytes that asyncio sets aside for each TLS connection, of anybody in this process, in place of its own 256 KiB: thousands
of half-open connections must not take the machine's memory. A TLS record is half as large."""


class Handshakes:
    """Makes the protocols of new connections, which speak TLS by ``context`` before they become one of ``connections``."""

    def __init__(self, connections: Connections, context: ssl.SSLContext) -> None:
        sslproto.SSLProtocol.max_size = BUFFER
        self._connections = connections
        self._context = context
        self._under_way: set[asyncio.Task[None]] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _Handshake(self)

    def close(self) -> None:
        """End the handshakes under way."""
        for task in self._under_way:
            task.cancel()

    def begin(self, transport: asyncio.Transport) -> None:
        """Begin a handshake, or end the connection where there are too many."""
        place = object()
        if not self._connections.admit(place, transport):
            transport.abort()
            return
        transport.pause_reading()  # its bytes are not for the protocol that it has now
        task = asyncio.get_running_loop().create_task(self._shake(transport, place))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _shake(self, transport: asyncio.Transport, place: object) -> None:
        connection: Connection = self._connections()
        secured: asyncio.Transport | None = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                connection,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_WITHIN,
            )
        except OSError:  # what a client does wrong, ssl.SSLError and TimeoutError among it
            pass
        finally:
            self._connections.forget(place)
            if secured is None:
                transport.abort()
        if secured is not None:
            connection.connection_made(secured)


class _Handshake(asyncio.Protocol):
    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._handshakes.begin(transport)
