"""Which browsers may call the server: a page of any origin can send requests to a loopback address.

A page cannot choose the header ``Origin``, and after DNS rebinding its requests have its own name as ``Host``. So requests
with a foreign name in either are refused, unless they have a token, which no page can know.
"""

from __future__ import annotations

from typing import NamedTuple, Self
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from chainwatch.api.identity import IDENTITY, is_public
from chainwatch.api.problems import Handler, problem
from chainwatch.config.api import ApiSettings, parse_listen

PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, POST, PUT, PATCH, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}
"""The answer to a browser of an allowed origin that asks before it calls (Fetch standard, CORS preflight)."""


class Guard(NamedTuple):
    """``hosts``: the names, without ports, under which the server may be called. ``origins``: those of allowed pages."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, settings: ApiSettings) -> Self:
        """Return the guard of a server that listens by ``settings``."""
        proxies = (urlsplit(origin).hostname or "" for origin in settings.allowed_origins)
        own = {"localhost", "127.0.0.1", "::1", parse_listen(settings.listen).host}
        return cls(frozenset({*own, *proxies}), frozenset(settings.allowed_origins))

    def refusal(self, host: str, origin: str | None, scheme: str) -> str | None:
        """Return why a request with these headers is refused; None where it is not. ``scheme``: the connection's."""
        if _host_name(host) not in self.hosts:
            return "the Host of this request is foreign: add its origin to allowed_origins of [api]"
        if not self.is_own_origin(host, origin, scheme):
            return "pages of this origin may not call chainwatch: add it to allowed_origins of [api]"
        return None

    def is_own_origin(self, host: str, origin: str | None, scheme: str) -> bool:
        """Return whether a request with these headers comes from our own page, an allowed one, or no page."""
        return origin is None or origin == f"{scheme}://{host.lower()}" or origin in self.origins

    @property
    def naming(self) -> Middleware:
        """What names an allowed origin in every answer to its pages, so that these may read it."""

        @web.middleware
        async def name_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is not None and origin in self.origins:
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.VARY] = "Origin"
            return response

        return name_origin

    @property
    def refusing(self) -> Middleware:
        """What refuses such requests, and answers browsers that ask before they call."""

        @web.middleware
        async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
            origin = request.headers.get(hdrs.ORIGIN)
            reason = self.refusal(request.headers.get(hdrs.HOST, ""), origin, request.scheme)
            is_harmless = is_public(request.path) or (IDENTITY in request and request[IDENTITY].has_token)
            if reason is not None and not is_harmless:
                return problem(403, reason)
            is_preflight = (
                request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            )
            if is_preflight and origin in self.origins:
                return web.Response(status=204, headers=PREFLIGHT)
            return await handler(request)

        return refuse_foreign


def _host_name(host: str) -> str:
    """Return the host of a ``Host`` header in small letters, without port and brackets; empty for a malformed one."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
