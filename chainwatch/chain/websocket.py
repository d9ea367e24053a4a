"""A WebSocket to an endpoint: it wakes at new blocks, and carries calls where the network has no HTTP endpoint.

The contents of a subscription's messages are ignored: a message only wakes the observer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal

import aiohttp
from pydantic import SecretStr

from chainwatch.chain import wire
from chainwatch.chain.errors import AnswerTooBig, MalformedAnswer, RpcError, TransportError
from chainwatch.chain.transport import client_errors

HEARTBEAT = 8.0
"""Seconds between pings; a peer that has not answered after half of that counts as gone."""

CONNECT_TIMEOUT = 10.0

CLOSE_TIMEOUT = 0.1
"""Seconds that a peer has to close its side; what it sends until then is discarded."""

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message. It is held whole, partly twice, before the limit on all answers can refuse it."""

MOST_UNASKED = 500
"""Messages a second that answer no call. More would keep the process busy, and no chain has so many blocks."""

if TYPE_CHECKING:
    _Socket = aiohttp.ClientWebSocketResponse[Literal[False]]  # whose messages are bytes


class WebSocketTransport:
    """One ws(s):// URL. `connected` opens it; calls can be made inside of that only.

    ``on_news`` is called at each message of a subscription.
    """

    def __init__(
        self, name: str, url: SecretStr, session: aiohttp.ClientSession, on_news: Callable[[], None]
    ) -> None:
        self.name = name
        self.largest_batch = 1
        self._url = url
        self._session = session
        self._on_news = on_news
        self._socket: _Socket | None = None
        self._waiting: dict[int | str | None, asyncio.Future[bytes]] = {}

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncio.Task[None]]:
        """Open the connection, and close it on leaving; the task it gives ends when the connection does."""
        with client_errors(self.name):
            async with asyncio.timeout(CONNECT_TIMEOUT):
                socket = await self._session.ws_connect(
                    self._url.get_secret_value(),
                    heartbeat=HEARTBEAT,
                    max_msg_size=MAX_MESSAGE,
                    decode_text=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                )
        self._socket = socket
        reader = asyncio.create_task(self._read(socket), name=f"{self.name} reader")
        try:
            yield reader
        finally:
            self._socket = None
            reader.cancel()
            self._fail_waiting()
            await asyncio.gather(reader, return_exceptions=True)
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(1):
                    await socket.close()

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        """See `Transport`."""
        if self._socket is None or self._socket.closed:
            raise TransportError(self.name, "the WebSocket is not connected")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[id] = answer
        try:
            with client_errors(self.name):
                async with asyncio.timeout(seconds):
                    await self._socket.send_str(body.decode())
                    return await answer
        finally:
            self._waiting.pop(id, None)

    async def _read(self, socket: _Socket) -> None:
        error: RpcError | None = None
        loop = asyncio.get_running_loop()
        unasked, since = 0, loop.time()
        try:
            async for message in socket:
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    break
                unasked += not self._take(message.data)
                del message  # or it would be held until the next comes
                if loop.time() - since >= 1:
                    unasked, since = 0, loop.time()
                if unasked > MOST_UNASKED:
                    error = TransportError(self.name, f"more than {MOST_UNASKED} messages a second")
                    break
            over = socket.exception()
            if isinstance(over, aiohttp.WebSocketError) and over.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
                error = AnswerTooBig(self.name, f"a WebSocket message of more than {MAX_MESSAGE} bytes")
        finally:
            self._fail_waiting(error)

    def _take(self, data: bytes) -> bool:
        """Hand ``data`` to the call that it answers; false when it answers none."""
        try:
            head = wire.parse_notification(data)
        except ValueError:
            raise MalformedAnswer(self.name, "a WebSocket message that is not JSON-RPC") from None
        if head.method is not None:
            self._on_news()
        elif (future := self._waiting.get(head.id)) is not None and not future.done():
            future.set_result(data)
            return True
        return False

    def _fail_waiting(self, error: RpcError | None = None) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error or TransportError(self.name, "the WebSocket was closed"))
