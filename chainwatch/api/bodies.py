"""Bodies of requests: each is read before anything is done with the request, and all of them together are bounded."""

from __future__ import annotations

import structlog
from aiohttp import hdrs, web

from chainwatch.api.alertmanager.routes import POSTED_ALERTS
from chainwatch.api.ingestion import PUSHED, SAMPLES, WRITE
from chainwatch.api.problems import Handler, problem

BODY_MAX = 2**20
"""Bytes of a request's body, decompressed."""
ALERTS_MAX = 2**22
"""The same for posted alerts: Prometheus posts 256 at once, and drops them all where they are refused."""
SAMPLES_MAX = 2**24
"""The same for samples."""
HELD_MAX = 2**28
"""Bytes of the bodies over ``BODY_MAX`` that are held at once."""

_log = structlog.get_logger(__name__)


class Bodies:
    """Reads the bodies of a server's requests."""

    def __init__(self, held_max: int = HELD_MAX) -> None:
        self._free = held_max

    @web.middleware
    async def read(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Read the body, so that every body is bounded, then answer the request."""
        if request.headers.get(hdrs.UPGRADE, "").lower() in ("websocket", "tcp"):
            refusal = problem(400, "no other protocol is spoken here: leave out the header Upgrade")
            refusal.force_close()
            return refusal
        most = size_max(request.path)
        if most > BODY_MAX:
            request = request.clone(client_max_size=most)
        held = _held(request, most)
        if held > self._free:
            _log.warning("a request was refused: too many large bodies at once", path=request.path[:200])
            return problem(503, "too many large bodies at once: try again", {"Retry-After": "1"})
        self._free -= held
        try:
            return await self._read(request, handler)
        finally:
            self._free += held

    async def _read(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await request.read()
        except web.HTTPRequestEntityTooLarge:
            _log.warning("a request was refused: its body is too large", path=request.path[:200])
            raise
        return await handler(request)


def size_max(path: str) -> int:
    """Return how many bytes a body may have, decompressed."""
    if path == POSTED_ALERTS:
        return ALERTS_MAX
    return SAMPLES_MAX if path in (SAMPLES, WRITE) or path.startswith(PUSHED) else BODY_MAX


def _held(request: web.Request, most: int) -> int:
    """Return how many bytes to count for a body: what it may grow to where it is compressed, or does not say its length."""
    length = request.content_length
    is_plain = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() in ("identity", "snappy")
    size = min(length, most) if length is not None and is_plain else most
    return size if size > BODY_MAX else 0
