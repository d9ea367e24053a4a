"""Screens and actions as routes. What many people look at is read and rendered once."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from aiohttp import hdrs, web

from chainwatch.api.identity import IDENTITY, PAGE, Identity
from chainwatch.api.kept import KeptAnswers
from chainwatch.api.page.forms import FIELD, check_csrf, csrf_token, fields_of
from chainwatch.api.page.rendering import html_response, render
from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.api.problems import Handler
from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes, entry_of
from chainwatch.operations.context import Context

_CSRF = f"csrf-{secrets.token_hex(16)}"
"""Stands in rendered pages for the token of whoever gets them; nobody can guess it."""


def routes(
    screens: Sequence[Screen],
    actions: Sequence[Action],
    rows: Sequence[tuple[str, str]],
    reads: Reads,
    writes: Writes,
    rendered: KeptAnswers[str],
) -> list[web.RouteDef]:
    """Return the routes of all screens and actions. ``rows``: those of the navigation."""
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


def personal(html: str, request: web.Request) -> str:
    """Return a rendered page with the CSRF token of whoever sends ``request`` in its forms."""
    return html.replace(_CSRF, csrf_token(request))


def redirect(place: str) -> web.Response:
    """Return the answer that leads a browser to ``place`` by GET."""
    return web.Response(status=303, headers={hdrs.LOCATION: place})


def own_place(place: str) -> str:
    """Return ``place`` where it is a path of the page, otherwise the first screen: no form leads elsewhere."""
    is_own = place.startswith(PAGE) and "\\" not in place and place.isprintable()
    return quote(place, safe="/?&=%#,:@+~{}\"'") if is_own else PAGE


def _showing(
    screen: Screen, rows: Sequence[tuple[str, str]], reads: Reads, rendered: KeptAnswers[str]
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
        html = personal(await rendered.get(key, lambda: reads(page)), request)
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:32]}"'
        is_known = etag in request.headers.get(hdrs.IF_NONE_MATCH, "")
        response = web.Response(status=304) if is_known else html_response(html)
        response.headers.update({hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache"})
        return response

    return show


def _doing(action: Action, reads: Reads, writes: Writes) -> Handler:
    async def do(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        check_csrf(request, fields.popone(FIELD, ""))
        asked = Asked(dict(request.match_info), fields, request[IDENTITY].name)
        detail = "&".join(f"{name}={quote(value, safe=' ,:/@')}" for name, value in fields.items())
        done = await writes(await entry_of(request, detail), action.perform, asked)
        return redirect(own_place(done if action.wait is None else await action.wait(reads, writes, done)))

    return do
