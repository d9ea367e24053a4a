"""HTTP for providers: public addresses only, unless a receiver allows others, no redirects, bounded answers."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol, Self, TypeVar
from weakref import WeakSet

import aiohttp
import msgspec

from chainwatch.alerting.providers.pacing import Pace
from chainwatch.alerting.providers.provider import (
    Capabilities,
    DeliveryError,
    Server,
)
from chainwatch.alerting.providers.tls import TlsContexts
from chainwatch.support.dns import Connector, Resolver
from chainwatch.support.http_client import refuse_redirects
from chainwatch.support.nesting import is_too_deep

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection to come up."""
TOTAL_TIMEOUT = 60.0
"""Seconds for a whole request, whatever the receiver's own time-out."""
ANSWER_TIMEOUT = 1.0
"""Seconds for an answer's body to come after its status, unless the caller waits longer."""
ANSWER_MAX = 262_144
"""Bytes of an answer's body, or of a message of a WebSocket, that are read."""
CLOSE_TIMEOUT = 1.0
"""Seconds for the other side of a WebSocket to agree to its end."""
LONGEST_TURN = 120.0
"""The most seconds that a call waits for its turn."""
HEARTBEAT = 20.0
"""Seconds without a message after which a WebSocket is pinged; without a pong half as long after, it is broken."""

T = TypeVar("T")


class Answer(NamedTuple):
    """A receiver's answer. ``body``: what came in time, at most ``ANSWER_MAX`` bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """Return the JSON object of the body; an empty one for anything else."""
        return json_object(self.body)


class PrivateAddress(OSError):
    """A receiver's host name resolves to an address outside the public internet."""


class Closable(Protocol):
    """What a provider keeps open between its messages."""

    async def close(self) -> None: ...


class Turns:
    """Makes the calls to one channel one after the other, each in its turn by the event loop's clock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._calling = asyncio.Lock()

    async def call(self, who: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns, once it may be made. After a refusal nothing is called for as long as that asks.

        A turn counts from the end of its call: the channel sees calls when they arrive. Raises what ``call`` raises, and
        ``DeliveryError`` while the channel has asked for a long pause.
        """
        clock = asyncio.get_running_loop().time
        async with self._calling:
            wait = self._pace.next_turn(clock()) - clock()
            if wait > LONGEST_TURN:
                raise DeliveryError(f"{who} asked for a pause", retry_after=wait, refused=True)
            await asyncio.sleep(wait)
            try:
                return await call()
            except DeliveryError as error:
                if error.retry_after is not None:
                    self._pace.pause(clock() + error.retry_after)
                raise
            finally:
                self._pace.take(clock())

    def pause(self, seconds: float) -> None:
        """Call nothing for so long: the channel's limit is used up."""
        self._pace.pause(asyncio.get_running_loop().time() + seconds)

    def end_pause(self) -> None:
        """Let the next call take its turn as if no answer had asked for a pause."""
        self._pace.end_pause()


class Transport:
    """The HTTP client that all providers of a process share: no cookies, proxies, redirects or decompression.

    Unless a server's ``allow_private`` is set, every connection is checked at the address it really goes to, so neither a
    literal address nor a name that resolves to another address later leads into a private network. Use it on one event
    loop, as an asynchronous context manager or with ``close``; connections are made when they are first needed.
    """

    def __init__(self) -> None:
        self._names: Resolver | None = None
        self._kept: WeakSet[Closable] = WeakSet()
        self._tls = TlsContexts()
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}
        """By whether private addresses are allowed, and whether it is for WebSockets."""
        self._turns: dict[Hashable, Turns] = {}

    async def post(
        self,
        server: Server,
        content: bytes,
        headers: Mapping[str, str],
        *,
        who: str,
        within: float,
        answer_within: float = ANSWER_TIMEOUT,
    ) -> Answer:
        """Return the answer to a POST of ``content``: as ``request``."""
        return await self.request(
            "POST", server, content, headers, who=who, within=within, answer_within=answer_within
        )

    async def request(
        self,
        method: str,
        server: Server,
        content: bytes,
        headers: Mapping[str, str],
        *,
        who: str,
        within: float,
        answer_within: float = ANSWER_TIMEOUT,
    ) -> Answer:
        """Return the answer to ``content``, whatever its status. Times in seconds.

        Raises ``DeliveryError`` where there is none; its text calls the receiver ``who`` and names no URL and no address
        (S9).
        """
        tls = await self._tls.of(server.tls, who)
        try:
            async with self._session(server.allow_private).request(
                method,
                server.url,
                ssl=tls,
                data=content or None,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=within, connect=CONNECT_TIMEOUT),
            ) as answer:
                return Answer(answer.status, answer.headers, await _read(answer, answer_within))
        except TimeoutError:
            raise DeliveryError(f"{who} did not answer within {within:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explained(who, error) from None

    async def reach(self, server: Server, *, who: str, within: float) -> None:
        """Return once ``server`` has answered a HEAD request, whatever the answer. Raises as ``post``."""
        tls = await self._tls.of(server.tls, who)
        try:
            async with self._session(server.allow_private).head(
                server.url, ssl=tls, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=within)
            ):
                return
        except TimeoutError:
            raise DeliveryError(f"{who} did not answer within {within:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explained(who, error) from None

    @property
    def names(self) -> Resolver:
        """Looks up names of hosts, for channels that do not use HTTP."""
        if self._names is None:
            self._names = Resolver()
        return self._names

    def keep(self, connection: Closable) -> None:
        """Close ``connection`` with this transport: a provider keeps it open between its messages."""
        self._kept.add(connection)

    @asynccontextmanager
    async def websocket(
        self, server: Server, *, who: str, within: float
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket within ``within`` seconds until the end of the block. Until it is open, raises as ``post``."""
        try:
            async with asyncio.timeout(within):
                opened = await self._session(server.allow_private, websocket=True).ws_connect(
                    server.url,
                    heartbeat=HEARTBEAT,
                    max_msg_size=ANSWER_MAX,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT),
                )
        except TimeoutError:
            raise DeliveryError(f"{who} did not answer within {within:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explained(who, error) from None
        async with opened:
            yield opened

    def pace(self, channel: Hashable, capabilities: Capabilities) -> Turns:
        """Return what keeps all receivers of one ``channel`` together within the rates of its ``capabilities``."""
        return self._turns.setdefault(channel, Turns(Pace(capabilities.rates)))

    async def close(self) -> None:
        """Close every connection."""
        for connection in list(self._kept):
            await connection.close()
        if self._names is not None:
            await self._names.close()
            self._names = None
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _session(self, allow_private: bool, *, websocket: bool = False) -> aiohttp.ClientSession:
        """Return the session for such connections; that for WebSockets needs to be kept from following redirects."""
        kind = (allow_private, websocket)
        if kind not in self._sessions:
            total = None if websocket else TOTAL_TIMEOUT
            self._sessions[kind] = aiohttp.ClientSession(
                connector=Connector(socket_factory=None if allow_private else _public_socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT),
                trust_env=False,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
                middlewares=(refuse_redirects,) if websocket else (),
            )
        return self._sessions[kind]


def json_object(content: bytes) -> dict[str, Any]:
    """Return a JSON object that a server sent; an empty one for anything else, such as a half of it."""
    try:
        decoded = None if is_too_deep(content) else msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError):  # a server may answer anything
        return {}
    return decoded if isinstance(decoded, dict) else {}


async def _read(answer: aiohttp.ClientResponse, within: float) -> bytes:
    """As much of the body as comes in time: the status is known, so a body that is cut off or late is no error."""
    body = bytearray()
    with suppress(aiohttp.ClientError, OSError):  # time-outs are among the latter
        async with asyncio.timeout(within):
            while len(body) < ANSWER_MAX and (some := await answer.content.read(ANSWER_MAX - len(body))):
                body += some
    return bytes(body)


def _explained(who: str, error: Exception) -> DeliveryError:
    """Return a connection's error without the URL and the addresses that its own text may hold."""
    if any(isinstance(cause, PrivateAddress) for cause in _causes(error)):
        return DeliveryError(
            f"{who}'s address is loopback, private or otherwise not public; "
            "set allow_private = true if that is meant",
            permanent=True,
            refused=True,
        )
    return DeliveryError(
        f"{who} cannot be reached: {reason(error)}",
        permanent=isinstance(error, ValueError),
        refused=isinstance(error, aiohttp.ClientConnectorError | ValueError),
    )


def reason(error: BaseException) -> str:
    """Return why there is no answer, in words without host and address (S9)."""
    chain = list(_causes(error))
    for kinds, words in _REASONS:
        if any(isinstance(one, kinds) for one in chain):
            return words
    numbers = [one.errno for one in chain if isinstance(one, OSError) and one.errno]
    return os.strerror(numbers[-1]).lower() if numbers else type(error).__name__


_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "its name cannot be looked up"),
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "its certificate is not valid"),
    ((aiohttp.ClientConnectorSSLError, ssl.SSLError), "TLS failed: is it https?"),
    (ConnectionRefusedError, "the connection was refused"),
    ((aiohttp.ServerDisconnectedError, ConnectionResetError), "it closed the connection without an answer"),
    (aiohttp.ClientResponseError, "its answer is not HTTP"),
    (ValueError, "its URL and headers make no request"),
)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        inner = getattr(error, "os_error", None)
        if isinstance(inner, BaseException) and inner is not error:
            yield inner
        error = error.__cause__ or error.__context__


def is_public(address: str) -> bool:
    """Return whether an IP address, and any IPv4 address embedded in it, belongs to the public internet."""
    return all(map(_is_public, _with_embedded(ipaddress.ip_address(address.partition("%")[0]))))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_METADATA = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
"""Metadata services of clouds (Oracle's, Azure's), which not every Python version counts as private."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _is_public(ip: _Address) -> bool:
    if any(ip in network for network in _METADATA):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or getattr(ip, "is_site_local", False))


def _with_embedded(ip: _Address) -> list[_Address]:
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    inside = [ip.sixtofour, *(ip.teredo or ())]
    return [ip, *(address for address in inside if address is not None)]


def _public_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise PrivateAddress("not a public address")  # one text: the connector merges equal errors
    return socket.socket(family, kind, protocol)
