"""Sends a request's bytes to an endpoint and returns the answer's: over HTTP here, over a WebSocket in `websocket`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from chainwatch.chain.errors import (
    AnswerTooBig,
    HttpStatusError,
    NoRoomForAnswer,
    RateLimited,
    RpcError,
    RpcTimeout,
    TransportError,
)
from chainwatch.chain.intake import INTAKE, NoRoom, TooLarge
from chainwatch.support.dns import Connector
from chainwatch.support.http_client import Redirected, refuse_redirects, retry_after, unix_time

BATCH = 64
"""Calls in one JSON-RPC batch."""

LONGEST_DATE = 40
"""The most characters of a `Date` header that is read."""

HTTP_TOO_MANY = 429
HTTP_OK = 200


class Transport(Protocol):
    """A way to an endpoint."""

    name: str

    @property
    def largest_batch(self) -> int:
        """The most calls in one batch; 1 where there are no batches."""
        ...

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        """Return the answer to ``body``, which is a single call with ``id`` or a batch of ``calls``, within ``seconds``.

        Raises `TransportError`, `RpcTimeout`, `HttpStatusError`, `RateLimited`, `AnswerTooBig`.
        """
        ...


def open_session() -> aiohttp.ClientSession:
    """Return the HTTP client that all endpoints of all networks share: kept-alive connections, no cookies, no redirects."""
    return aiohttp.ClientSession(
        connector=Connector(limit_per_host=32),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Content-Type": "application/json",
            "User-Agent": "chainwatch",
            "Accept-Encoding": "gzip, deflate",
        },
        timeout=aiohttp.ClientTimeout(total=None),
        middlewares=(refuse_redirects,),
    )


def endpoint_name(network: str, index: int, url: SecretStr) -> str:
    """Return ``network[index] host``: the name of an endpoint wherever its URL must not be seen."""
    parts = urlsplit(url.get_secret_value())
    port = f":{parts.port}" if parts.port else ""
    return f"{network}[{index}] {parts.hostname}{port}"


def network_of(endpoint: str) -> str:
    """Return the network in an `endpoint_name`."""
    return endpoint.rpartition("[")[0]


def is_websocket(url: SecretStr) -> bool:
    """Return whether ``url`` is of a WebSocket (``ws://``, ``wss://``)."""
    return urlsplit(url.get_secret_value()).scheme in ("ws", "wss")


@contextlib.contextmanager
def client_errors(name: str) -> Iterator[None]:
    """Turn what aiohttp raises into `RpcError`, without its texts: they hold URLs."""
    try:
        yield
    except RpcError:
        raise
    except TimeoutError:
        raise RpcTimeout(name, "no complete answer in time") from None
    except aiohttp.ClientConnectorDNSError as error:
        raise TransportError(name, f"no address for its name: {error.strerror or 'unknown'}") from None
    except aiohttp.ClientConnectorError as error:
        raise TransportError(name, f"cannot connect: {error.strerror or 'refused'}") from None
    except aiohttp.WSServerHandshakeError as error:
        raise _refusal(name, error.status, error.headers) from None
    except Redirected as error:
        raise HttpStatusError(name, error.status) from None
    except Exception as error:  # noqa: BLE001 - a library's boundary: broken answers come out of it as anything
        raise TransportError(name, f"connection failed ({type(error).__name__})") from None


@contextlib.contextmanager
def too_big(name: str) -> Iterator[None]:
    """Turn `TooLarge` and `NoRoom` into `AnswerTooBig`."""
    try:
        yield
    except TooLarge as error:
        raise AnswerTooBig(name, f"the answer is too large: {error}") from None
    except NoRoom as error:
        raise NoRoomForAnswer(name, f"no room for the answer now: {error}") from None


class HttpTransport:
    """One HTTP(S) URL."""

    def __init__(
        self,
        name: str,
        url: SecretStr,
        session: aiohttp.ClientSession,
        on_date: Callable[[float], None] | None = None,
    ) -> None:
        """``on_date`` is called with the `Date` of answers (Unix seconds)."""
        self.name = name
        self.largest_batch = BATCH
        self._on_date = on_date
        self._last_date = ""
        self._url = url
        self._session = session

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        """See `Transport`."""
        with client_errors(self.name):
            async with (
                asyncio.timeout(seconds),
                self._session.post(self._url.get_secret_value(), data=body) as response,
            ):
                self._note_date(response.headers.get("Date", ""))
                if response.status == HTTP_TOO_MANY:
                    raise _refusal(self.name, response.status, response.headers)
                answer = await self._bounded(response)
                # some nodes send a JSON-RPC error with status 400 or 500: the error explains more than the status
                if response.status != HTTP_OK and not _holds_rpc_error(answer):
                    raise _refusal(self.name, response.status, response.headers)
                return answer

    def _note_date(self, text: str) -> None:
        if self._on_date is None or text == self._last_date or len(text) > LONGEST_DATE:
            return
        self._last_date = text
        if (date := unix_time(text)) is not None:
            self._on_date(date)

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        with too_big(self.name), INTAKE.share(self.name) as share:
            async for chunk in response.content.iter_any():
                share.take(len(chunk))
                chunks.append(chunk)
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _holds_rpc_error(answer: bytes) -> bool:
    return answer[:64].lstrip()[:1] in (b"{", b"[") and b'"error"' in answer and b'"jsonrpc"' in answer


def _refusal(name: str, status: int, headers: Mapping[str, str] | None) -> RpcError:
    if status == HTTP_TOO_MANY:
        return RateLimited(name, "HTTP status 429", retry_after(headers))
    return HttpStatusError(name, status, retry_after(headers))
