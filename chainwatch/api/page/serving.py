"""Screens and actions as routes. What many people look at is read and rendered once."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import sqlalchemy as sa
from aiohttp import hdrs, web

from chainwatch.api.identity import IDENTITY, PAGE, Identity
from chainwatch.api.page.csrf import FIELD, check_csrf, csrf_token
from chainwatch.api.page.rendering import html_response, render
from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.api.problems import Handler
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid

FRESH_FOR = 2.0
"""Seconds for which a rendered page serves everybody, while nothing is committed."""
KEPT_MAX = 64
FORM_TYPE = "application/x-www-form-urlencoded"

_CSRF = f"csrf-{secrets.token_hex(16)}"
"""Stands in rendered pages for the token of whoever gets them; nobody can guess it."""


class Kept(NamedTuple):
    """A page that is rendered, or being rendered, for the state after ``commits`` commits."""

    commits: int
    at: float
    page: asyncio.Future[str]


class RenderedPages:
    """Pages that were just rendered. ``commits`` counts the changes of the database; ``clock`` is monotonic, in seconds."""

    def __init__(self, commits: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._commits = commits
        self._clock = clock
        self._kept: OrderedDict[tuple[object, ...], Kept] = OrderedDict()

    async def get(self, key: tuple[object, ...], make: Callable[[], Awaitable[str]]) -> str:
        """Return the page of ``key``; ``make`` renders it where there is none of the present state."""
        commits, now = self._commits(), self._clock()
        kept = self._kept.pop(key, None)
        if kept is None or kept.commits != commits or now - kept.at >= FRESH_FOR:
            kept = Kept(commits, now, asyncio.ensure_future(make()))
            kept.page.add_done_callback(lambda page: page.cancelled() or page.exception())
        self._kept[key] = kept
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return await asyncio.shield(kept.page)


def routes(
    screens: Sequence[Screen],
    actions: Sequence[Action],
    reads: Reads,
    writes: Writes,
    rendered: RenderedPages,
) -> list[web.RouteDef]:
    """Return the routes of all screens and actions."""
    rows = navigation(screens)
    found = [web.get(screen.path, _showing(screen, rows, reads, rendered)) for screen in screens]
    return [*found, *(web.post(action.path, _doing(action, reads, writes)) for action in actions)]


def navigation(screens: Sequence[Screen]) -> list[tuple[str, str]]:
    """Return the rows of the navigation: path and name."""
    return [(screen.path, screen.nav) for screen in screens if screen.nav]


def frame(
    identity: Identity | None, rows: Sequence[tuple[str, str]] = (), here: str = "", section: str = ""
) -> dict[str, Any]:
    """Return what the layout shows around a screen.

    ``rows``: those of the navigation, of which ``section`` is the screen's. ``here``: the address of the screen, empty
    for one that is not live.
    """
    return {
        "csrf": _CSRF,
        "here": here,
        "identity": identity,
        "may_act": identity is not None and identity.role != "viewer",
        "navigation": rows,
        "now": time.time(),
        "section": section,
    }


def redirect(place: str) -> web.Response:
    """Return the answer that leads a browser to ``place`` by GET."""
    return web.Response(status=303, headers={hdrs.LOCATION: place})


def own_place(place: str) -> str:
    """Return ``place`` where it is a path of the page, otherwise the first screen: no form leads elsewhere."""
    is_own = place.startswith(PAGE) and "\\" not in place and place.isprintable()
    return quote(place, safe="/?&=%#,:@+~{}\"'") if is_own else PAGE


def _showing(
    screen: Screen, rows: Sequence[tuple[str, str]], reads: Reads, rendered: RenderedPages
) -> Handler:
    async def show(request: web.Request) -> web.Response:
        identity = request[IDENTITY]
        asked = Asked(dict(request.match_info), request.query, identity.name)
        around = frame(identity, rows, request.path_qs if screen.live else "", screen.nav or screen.section)

        def page(connection: sa.Connection, context: Context, now: float) -> str:
            # rendered beside the read, off the event loop
            return render(
                screen.template, around | screen.read(connection, context, now, asked) | {"now": now}
            )

        key = (request.path_qs, identity)
        html = (await rendered.get(key, lambda: reads(page))).replace(_CSRF, csrf_token(request))
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:32]}"'
        is_known = etag in request.headers.get(hdrs.IF_NONE_MATCH, "")
        response = web.Response(status=304) if is_known else html_response(html)
        response.headers.update({hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache"})
        return response

    return show


def _doing(action: Action, reads: Reads, writes: Writes) -> Handler:
    async def do(request: web.Request) -> web.Response:
        if request.content_type != FORM_TYPE:
            raise web.HTTPUnsupportedMediaType(reason=f"a form is sent as {FORM_TYPE}")
        try:
            fields = await request.post()
        except ValueError:
            raise Invalid("the form cannot be read: send UTF-8") from None
        texts = fields.copy()
        check_csrf(request, str(texts.popone(FIELD, "")))
        asked = Asked(dict(request.match_info), texts, request[IDENTITY].name)  # type: ignore[arg-type]
        detail = "&".join(f"{name}={quote(str(value), safe=' ,:/@')}" for name, value in texts.items())
        done = await writes(await entry_of(request, detail), action.perform, asked)
        return redirect(own_place(done if action.wait is None else await action.wait(reads, writes, done)))

    return do
