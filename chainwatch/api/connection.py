"""Connections with limits: how many, how long one may say nothing, how long a client may not read its answer."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from chainwatch.api.problems import CLIENT_FAULTS, log_defect, problem

CONNECTIONS_MAX = 1_000
HEAD_WITHIN = 20.0
"""Seconds from the connection's start until the head of its first request has come."""
IDLE_WITHIN = 25.0
"""Seconds until the head of each further request has come."""
READ_WITHIN = 30.0
"""Seconds for which a client may leave a full buffer unread, or the rest of an answer after which the connection ends."""
EXPECTATION_FAILED = 417
LINGER = 5.0
"""Seconds for the rest of a body that was not wanted."""


class Connections:
    """The open connections of one server, of which there are at most ``at_most``, and some fewer from one host."""

    def __init__(self, server: web.Server, at_most: int | None = None) -> None:
        self._server = server
        self._at_most = usable_connections() if at_most is None else at_most
        self._open: dict[object, str] = {}
        self._of_host: Counter[str] = Counter()

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self._server, self)

    def admit(self, connection: object, transport: asyncio.Transport) -> bool:
        """Return whether there is room for ``connection``, or what becomes one, which counts from now on."""
        host = host_of(transport.get_extra_info("peername"))
        if len(self._open) >= self._at_most or self._of_host[host] >= connections_of_host(self._at_most):
            return False
        self._open[connection] = host
        self._of_host[host] += 1
        return True

    def forget(self, connection: object) -> None:
        """Count ``connection`` no longer."""
        host = self._open.pop(connection, None)
        if host is not None:
            self._of_host[host] -= 1
            if not self._of_host[host]:
                del self._of_host[host]


def host_of(peer: object) -> str:
    """Return what connections of one host share: the address, of IPv6 its first 64 bits, as one host has all others."""
    try:
        address = ip_address(peer[0].partition("%")[0])  # type: ignore[index]  # anything else is no address
    except (AttributeError, IndexError, TypeError, ValueError):
        return ""
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.packed[:8].hex())
    return str(address)


def connections_of_host(at_most: int) -> int:
    """Return how many of ``at_most`` connections one host may have: all but a tenth, so that it shuts nobody out."""
    return at_most - at_most // 10


def usable_connections() -> int:
    """Return how many connections leave half of the process's files to endpoints, receivers and the database."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if files == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, files // 2)


class Connection(RequestHandler):
    """One connection; ``begun`` is called when a request's head has come."""

    __slots__ = ("_connections", "_ending", "_reading", "_silence")

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_WITHIN,
            lingering_time=LINGER,
            access_log=None,  # type: ignore[arg-type]  # none is what its documentation says
        )
        self._connections = connections
        self._silence: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a defect; not what a client sends wrong in the rest of a body that nobody reads any more."""
        if not isinstance(kw.get("exc_info"), CLIENT_FAULTS):
            super().log_exception(*args, **kw)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the connection, or end it where there are too many."""
        assert isinstance(transport, asyncio.Transport)
        if self._connections.admit(self, transport):
            super().connection_made(transport)
            self._silence = self._loop.call_later(HEAD_WITHIN, transport.abort)
        else:
            transport.abort()

    async def start(self) -> None:
        """Answer requests until the connection is to end; then it does, whether the client reads what is left or not."""
        transport = self.transport
        try:
            await super().start()
        finally:
            if transport is not None:
                self._ending = self._loop.call_later(READ_WITHIN, transport.abort)

    def begun(self) -> None:
        """Note that the client is no longer silent."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def pause_writing(self) -> None:
        """Wait for the client, but not for ever."""
        super().pause_writing()
        if self.transport is not None:
            self._reading = self._loop.call_later(READ_WITHIN, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the connection."""
        self._connections.forget(self)
        self.begun()
        for timer in (self._reading, self._ending):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send ``resp``; what is raised before any of our handlers, as for ``Expect: nonsense``, is sent as a problem."""
        if isinstance(resp, web.HTTPException):
            detail = (
                "only Expect: 100-continue can be met" if resp.status == EXPECTATION_FAILED else resp.reason
            )
            resp = problem(resp.status, detail)
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that cannot be parsed, or that no handler answered; then close."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status >= 500:
            log_defect(request.path, exc)
            response = problem(status, "a defect in chainwatch: its log names the place")
        else:
            response = problem(status, "the request is not HTTP as RFC 9112 has it, or its head is too large")
        response.force_close()
        return response
