"""Who sends a request, and what they may do.

Without any token, programs on this machine may do everything. With one, every request needs one, but for what is public.
Under ``/ui/`` a session stands for the token with which a person logged in; elsewhere it does not: no other page can use it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from chainwatch.api.problems import Handler, problem
from chainwatch.api.prometheus.paths import is_query_path
from chainwatch.api.reads import Reads
from chainwatch.operations import access
from chainwatch.operations.access import ROLES, Callers
from chainwatch.store.access import StoredToken
from chainwatch.store.errors import StoreError

CALLERS_FRESH_FOR = 5.0
"""Seconds within which a token or session that was made or removed is known as such."""
FAILURES_MAX = 10
FAILURES_WITHIN = 60.0
"""After so many failed logins from one address within so many seconds, none is tried from there for the same token.

Texts that are no token's count together. Behind a proxy all share one address: who guesses must not lock out the others.
"""
FAILING_MAX = 10_000
PAGE = "/ui/"
STATIC = f"{PAGE}static/"
LOGIN = f"{PAGE}login"
LOGOUT = f"{PAGE}logout"
PUBLIC = frozenset({"/", PAGE.rstrip("/"), LOGIN, "/-/healthy"})
SESSION_COOKIE = "chainwatch_session"
READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
ADMINISTRATION = ("/-/reload", "/channels")
"""The beginnings of the paths at which only an admin may change something: a channel sends to any address."""
_BROWSERS = (hdrs.ORIGIN, hdrs.REFERER, "Sec-Fetch-Site")
"""Headers that browsers send, at least one of them with what another page asks for."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chainwatch"'}


class Identity(NamedTuple):
    """``name``: the token's, or ``api`` for a program on this machine while there is no token."""

    name: str
    role: str
    has_token: bool


LOCAL = Identity("api", "admin", has_token=False)
IDENTITY = web.RequestKey("identity", Identity)


def is_public(path: str) -> bool:
    """Return whether anybody may send a request to ``path``."""
    return path in PUBLIC or path.startswith(STATIC)


def role_needed(method: str, path: str) -> str:
    """Return the least role that may send such a request."""
    if method in READING or path == LOGOUT or is_query_path(path):
        return "viewer"
    return "admin" if path.startswith(ADMINISTRATION) else "operator"


class Identities:
    """Identifies who sends a request. ``trusts_machine``: the server is on loopback. ``clock`` is monotonic, in seconds."""

    def __init__(
        self, reads: Reads, *, trusts_machine: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reads = reads
        self._trusts_machine = trusts_machine
        self._clock = clock
        self._callers = Callers({}, {})
        self._fresh_until = -1.0
        self._refreshing = asyncio.Lock()
        self._hashing = asyncio.Lock()
        """Held while a token's hash is made: one core at most is busy with it."""
        self._genuine: dict[str, tuple[str, bytes]] = {}
        """Public part → the stored hash and the digest of a text that was found genuine."""
        self._failures = Failures(clock)

    async def tokens(self) -> Mapping[str, StoredToken]:
        """Return all tokens by their public parts. Raises ``StoreError``."""
        return (await self._known_callers()).tokens

    async def refresh(self) -> None:
        """Read tokens and sessions again for the next request: one of them has just been changed."""
        async with self._refreshing:
            self._fresh_until = -1.0

    async def log_in(self, text: str, remote: str) -> StoredToken | web.Response:
        """Return the token whose text this is, or why it is refused. ``remote``: the address that sends it."""
        tokens = await self.tokens()
        token = tokens.get(access.public_part(text) or "")
        if token is not None and self._is_known(text, token):
            return token
        guessed = f"{remote} {token.id if token is not None else ''}"
        async with self._hashing:
            if wait := self._failures.wait(guessed):
                return problem(
                    429, "too many failed logins from this address", {"Retry-After": f"{wait:.0f}"}
                )
            if token is not None and await asyncio.to_thread(access.is_genuine, text, token):
                self._genuine[token.id] = (token.hash, _digest(text))
                return token
            self._failures.note(guessed)
        return problem(401, "this token is unknown or was removed", CHALLENGE)

    async def still_knows(self, request: web.Request) -> bool:
        """Return whether whoever sent ``request`` may send it still; while the database does not answer, as before."""
        try:
            return not isinstance(await self._identify(request), web.Response)
        except StoreError:
            return True

    @property
    def middleware(self) -> Middleware:
        """What refuses requests without the token or role that they need, and notes whose the others are."""

        @web.middleware
        async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
            is_preflight = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            if is_public(request.path) or (request.method == hdrs.METH_OPTIONS and is_preflight):
                return await handler(request)
            found = await self._identify(request)
            if isinstance(found, web.Response):
                return found
            needed = role_needed(request.method, request.path)
            if ROLES.index(found.role) < ROLES.index(needed):
                return problem(
                    403, f"this needs a token with the role {needed}; this one is a {found.role}'s"
                )
            request[IDENTITY] = found
            return await handler(request)

        return identify

    async def _identify(self, request: web.Request) -> Identity | web.Response:
        tokens, sessions = await self._known_callers()
        if (text := _token_sent(request)) is not None:
            found = await self.log_in(text, request.remote or "")
            return found if isinstance(found, web.Response) else _identity(found)
        if not tokens and self._trusts_machine:
            return LOCAL
        if request.path.startswith(PAGE):
            session = sessions.get(access.session_id(request.cookies.get(SESSION_COOKIE, "")))
            token = tokens.get(session.token_id) if session is not None else None
            if token is not None:
                return _identity(token)
        return problem(401, "a token is needed: `Authorization: Bearer TOKEN`", CHALLENGE)

    async def _known_callers(self) -> Callers:
        async with self._refreshing:
            if self._clock() >= self._fresh_until:
                self._callers = await self._reads(access.callers)
                self._fresh_until = self._clock() + CALLERS_FRESH_FOR
        return self._callers

    def _is_known(self, text: str, token: StoredToken) -> bool:
        stored, digest = self._genuine.get(token.id, ("", b""))
        return stored == token.hash and hmac.compare_digest(digest, _digest(text))


class Failures:
    """Failed logins by an address and the token that is guessed there. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, list[float]] = {}

    def wait(self, whose: str) -> float:
        """Return the seconds until another login of ``whose`` may be tried; 0 for at once."""
        since = self._clock() - FAILURES_WITHIN
        recent = [at for at in self._at.get(whose, []) if at > since]
        return max(1.0, recent[0] - since) if len(recent) >= FAILURES_MAX else 0.0

    def note(self, whose: str) -> None:
        """Note a failed login of ``whose``."""
        self._at[whose] = [*self._at.pop(whose, [])[1 - FAILURES_MAX :], self._clock()]
        if len(self._at) > FAILING_MAX:
            del self._at[next(iter(self._at))]


def _token_sent(request: web.Request) -> str | None:
    """Return the token that a program sends: as Bearer, or as the password of Basic (RFC 7617), all that some know.

    Browsers send Basic by themselves, whatever page asks: theirs is not taken.
    """
    scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        return text.strip()
    if scheme.lower() != "basic" or any(name in request.headers for name in _BROWSERS):
        return None
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _identity(token: StoredToken) -> Identity:
    return Identity(token.name, token.role, has_token=True)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
