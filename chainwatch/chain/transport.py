"""How the bytes of a question reach an endpoint and those of its answer come back: HTTP here, the other in `websocket`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

import aiohttp
from pydantic import SecretStr

from chainwatch.chain.errors import AnswerTooBig, HttpStatusError, RateLimited, RpcTimeout, TransportError

MAX_ANSWER = 32 * 1024 * 1024
"""Bytes of one answer after decompression; more is refused while it is being read."""

BATCH = 64
"""Calls in one JSON-RPC batch."""

LONGEST_DATE = 40
"""Characters of a `Date` header at most."""

HTTP_TOO_MANY = 429
HTTP_OK = 200


class Transport(Protocol):
    """A way to an endpoint."""

    name: str

    @property
    def largest_batch(self) -> int:
        """The most calls that one array of them may have; 1 where none may be tried."""
        ...

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        """The answer to ``body``, which is a single call with ``id`` or a batch of ``calls``; ``seconds`` may pass.

        Raises `TransportError`, `RpcTimeout`, `HttpStatusError`, `RateLimited`, `AnswerTooBig`.
        """
        ...


def open_session() -> aiohttp.ClientSession:
    """The HTTP client that all endpoints of all networks share: kept-alive connections, no cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=32, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json", "User-Agent": "chainwatch"},
        timeout=aiohttp.ClientTimeout(total=None),
    )


def endpoint_name(network: str, index: int, url: SecretStr) -> str:
    """``network[index] host``: what an endpoint is called wherever its URL must not be seen."""
    parts = urlsplit(url.get_secret_value())
    port = f":{parts.port}" if parts.port else ""
    return f"{network}[{index}] {parts.hostname}{port}"


def is_websocket(url: SecretStr) -> bool:
    """Whether ``url`` is of a WebSocket (``ws://``, ``wss://``)."""
    return urlsplit(url.get_secret_value()).scheme in ("ws", "wss")


def secret_parts(url: SecretStr) -> list[str]:
    """The parts of ``url`` that may be keys, for striking them out of what a node says."""
    parts = urlsplit(url.get_secret_value())
    pieces = [
        *parts.path.split("/"),
        *(value for _, value in parse_qsl(parts.query)),
        parts.password,
        parts.username,
    ]
    return sorted({piece for piece in pieces if piece and len(piece) >= 6}, key=len, reverse=True)


@contextlib.contextmanager
def client_errors(name: str) -> Iterator[None]:
    """Turns what aiohttp raises into `TransportError`, without its texts: they hold URLs."""
    try:
        yield
    except TimeoutError:
        raise RpcTimeout(name, "no whole answer in time") from None
    except aiohttp.ClientConnectorDNSError:
        raise TransportError(name, "no such host") from None
    except aiohttp.ClientConnectorError as error:
        raise TransportError(name, f"cannot connect: {error.strerror or 'refused'}") from None
    except aiohttp.WSServerHandshakeError as error:
        if error.status == HTTP_TOO_MANY:
            raise RateLimited(name, "HTTP status 429", _retry_after(error.headers)) from None
        raise HttpStatusError(name, error.status) from None
    except (aiohttp.ClientError, OSError) as error:
        raise TransportError(name, f"connection failed ({type(error).__name__})") from None


class HttpTransport:
    """One HTTP(S) URL."""

    def __init__(
        self,
        name: str,
        url: SecretStr,
        session: aiohttp.ClientSession,
        on_date: Callable[[float], None] | None = None,
    ) -> None:
        """``on_date`` gets the time at which each answer says it was made (Unix seconds)."""
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
                self._session.post(
                    self._url.get_secret_value(), data=body, allow_redirects=False
                ) as response,
            ):
                self._note_date(response.headers.get("Date", ""))
                if response.status == HTTP_TOO_MANY:
                    raise RateLimited(self.name, "HTTP status 429", _retry_after(response.headers))
                answer = await self._bounded(response)
                # some nodes give a JSON-RPC error the status 400 or 500: the error says more than the status
                if response.status != HTTP_OK and not _holds_rpc_error(answer):
                    raise HttpStatusError(self.name, response.status)
                return answer

    def _note_date(self, text: str) -> None:
        if self._on_date is None or text == self._last_date or len(text) > LONGEST_DATE:
            return
        self._last_date = text
        if (date := _unix_time(text)) is not None:
            self._on_date(date)

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > MAX_ANSWER:
                raise AnswerTooBig(self.name, f"the answer is larger than {MAX_ANSWER} bytes")
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _holds_rpc_error(answer: bytes) -> bool:
    return answer.lstrip()[:1] in (b"{", b"[") and b'"error"' in answer and b'"jsonrpc"' in answer


def _unix_time(text: str) -> float | None:
    """The Unix time of a `Date` header; None for what is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    """The seconds of a `Retry-After` header, which may be a number or a date (RFC 9110, 10.2.3)."""
    text = (headers or {}).get("Retry-After")
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    date = _unix_time(text)
    if date is None:
        return None
    sent_at = _unix_time(
        (headers or {}).get("Date", "")
    )  # the node's clock may be another than this machine's
    return max(0.0, date - (time.time() if sent_at is None else sent_at))
