"""What forms send, with the token in every form that changes something, which no page of another origin can read."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from chainwatch.api.identity import IDENTITY, SESSION_COOKIE
from chainwatch.operations.errors import Invalid

FIELD = "csrf"
FORM_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 2_000

_PROCESS = secrets.token_bytes(32)
"""For requests without a session. A reload keeps it, so that forms which are open then can still be sent."""


async def fields_of(request: web.Request) -> MultiDict[str]:
    """Return the fields of a form. Raises ``web.HTTPUnsupportedMediaType`` and ``Invalid``."""
    if request.content_type != FORM_TYPE:
        raise web.HTTPUnsupportedMediaType(reason=f"a form is sent as {FORM_TYPE}")
    try:
        text = (await request.read()).decode()
        return MultiDict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX))
    except ValueError:
        raise Invalid(f"the form cannot be read: send UTF-8, and at most {FIELDS_MAX} fields") from None


def csrf_token(request: web.Request) -> str:
    """Return the token that belongs into forms of whoever sends ``request``."""
    session = request.cookies.get(SESSION_COOKIE, "") if request[IDENTITY].has_token else ""
    key = session.encode("utf-8", "surrogateescape") or _PROCESS
    return hmac.new(key, b"csrf", hashlib.sha256).hexdigest()


def check_csrf(request: web.Request, given: str) -> None:
    """Raise ``web.HTTPForbidden`` unless ``given`` is the token of whoever sends ``request``."""
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), csrf_token(request).encode()):
        raise web.HTTPForbidden(reason="this form is out of date: go back, load the page again, and repeat")
