"""Server-sent events (HTML standard, 9.2) that say only that something has changed: pages then ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from chainwatch.api.connection import connections_of_host, usable_connections
from chainwatch.api.problems import DEADLINE

LOOK_EVERY = 0.25
"""Seconds between two looks whether something was committed; changes within them are one event."""
EVENTS_EVERY = 1.0
"""The least seconds between two events to one page, and more where many are open."""
PAGES_A_SECOND = 100
"""Pages that ask again within one second after an event, when very many are open."""
KEEPALIVE = 15.0
"""Seconds without an event after which a comment shows proxies and browsers that the connection lives."""
ROOM_FOR_REQUESTS = 100
"""Connections that are kept for requests: pages beyond ask again by the clock alone."""
HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    hdrs.SERVER: "chainwatch",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class Changes:
    """Who waits for changes. ``commits`` counts those of the database; ``may`` says who may wait still."""

    def __init__(
        self,
        commits: Callable[[], int],
        may: Callable[[web.Request], Awaitable[bool]],
        at_most: int | None = None,
    ) -> None:
        self._commits = commits
        self._may = may
        room = max(1, connections_of_host(usable_connections()) - ROOM_FOR_REQUESTS)
        self._at_most = room if at_most is None else at_most
        self._pages: set[asyncio.Event] = set()
        self._is_over = False

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the events."""
        return [web.get("/ui/events", self._stream, allow_head=False)]

    async def close(self, _: web.Application | None = None) -> None:
        """End all streams; browsers ask again for one."""
        self._is_over = True
        for page in self._pages:
            page.set()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._pages) >= self._at_most or self._is_over:
            return web.Response(status=204)  # a browser does not ask again after it
        request[DEADLINE].reschedule(None)
        response = web.StreamResponse(headers=HEADERS)
        ended = asyncio.Event()
        self._pages.add(ended)
        try:
            await response.prepare(request)
            await response.write(b"retry: 3000\n\n")
            await self._send_changes(request, response, ended)
        except ConnectionError:  # the page was closed
            pass
        finally:
            self._pages.discard(ended)
        return response

    async def _send_changes(
        self, request: web.Request, response: web.StreamResponse, ended: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        known, sent_at = self._commits(), loop.time()
        while not ended.is_set():
            commits, silence = self._commits(), loop.time() - sent_at
            is_changed = commits != known and silence >= max(EVENTS_EVERY, len(self._pages) / PAGES_A_SECOND)
            if is_changed or silence >= KEEPALIVE:
                if not await self._may(request):
                    return
                known, sent_at = commits, loop.time()
                await response.write(b"event: changed\ndata:\n\n" if is_changed else b": alive\n\n")
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await ended.wait()
            except TimeoutError:
                pass
