"""The token in every form that changes something, which no page of another origin can read."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from aiohttp import web

from chainwatch.api.identity import IDENTITY, SESSION_COOKIE

FIELD = "csrf"

_PROCESS = secrets.token_bytes(32)
"""For requests without a session. A reload keeps it, so that forms which are open then can still be sent."""


def csrf_token(request: web.Request) -> str:
    """Return the token that belongs into forms of whoever sends ``request``."""
    session = request.cookies.get(SESSION_COOKIE, "") if request[IDENTITY].has_token else ""
    key = session.encode("utf-8", "surrogateescape") or _PROCESS
    return hmac.new(key, b"csrf", hashlib.sha256).hexdigest()


def check_csrf(request: web.Request, given: str) -> None:
    """Raise ``web.HTTPForbidden`` unless ``given`` is the token of whoever sends ``request``."""
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), csrf_token(request).encode()):
        raise web.HTTPForbidden(reason="this form is out of date: go back, load the page again, and repeat")
