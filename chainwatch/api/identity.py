"""Who sends a request, and what they may do.

Without any token, programs on this machine may do everything. With one, every request needs one, but for ``/-/healthy``.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from chainwatch.api.problems import Handler, problem
from chainwatch.api.reads import Reads
from chainwatch.operations import access
from chainwatch.operations.access import ROLES
from chainwatch.store.access import StoredToken

TOKENS_FRESH_FOR = 5.0
"""Seconds within which a token that was made or removed is known as such."""
FAILURES_MAX = 10
FAILURES_WITHIN = 60.0
"""After so many failed logins from one address within so many seconds, no further token from there is tried."""
ADDRESSES_MAX = 10_000
PUBLIC = frozenset({"/-/healthy"})
READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
ADMINISTRATION = frozenset({"/-/reload"})
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chainwatch"'}


class Identity(NamedTuple):
    """``name``: the token's, or ``api`` for a program on this machine while there is no token."""

    name: str
    role: str
    has_token: bool


LOCAL = Identity("api", "admin", has_token=False)
IDENTITY = web.RequestKey("identity", Identity)


def role_needed(method: str, path: str) -> str:
    """Return the least role that may send such a request."""
    return "viewer" if method in READING else "admin" if path in ADMINISTRATION else "operator"


class Identities:
    """Identifies who sends a request. ``trusts_machine``: the server is on loopback. ``clock`` is monotonic, in seconds."""

    def __init__(
        self, reads: Reads, *, trusts_machine: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reads = reads
        self._trusts_machine = trusts_machine
        self._clock = clock
        self._tokens: Mapping[str, StoredToken] = {}
        self._fresh_until = -1.0
        self._refreshing = asyncio.Lock()
        self._hashing = asyncio.Lock()
        """Held while a token's hash is made: one core at most is busy with it."""
        self._genuine: dict[str, tuple[str, bytes]] = {}
        """Public part → the stored hash and the digest of a text that was found genuine."""
        self._failures = Failures(clock)

    async def tokens(self) -> Mapping[str, StoredToken]:
        """Return all tokens by their public parts. Raises ``StoreError``."""
        async with self._refreshing:
            if self._clock() >= self._fresh_until:
                self._tokens = await self._reads(access.stored_tokens)
                self._fresh_until = self._clock() + TOKENS_FRESH_FOR
        return self._tokens

    @property
    def middleware(self) -> Middleware:
        """What refuses requests without the token or role that they need, and notes whose the others are."""

        @web.middleware
        async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
            is_preflight = hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
            if request.path in PUBLIC or (request.method == hdrs.METH_OPTIONS and is_preflight):
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
        tokens = await self.tokens()
        scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer":
            if not tokens and self._trusts_machine:
                return LOCAL
            return problem(401, "a token is needed: `Authorization: Bearer TOKEN`", CHALLENGE)
        public = access.public_part(text.strip()) or ""
        token, remote = tokens.get(public), request.remote or ""
        if token is not None and self._is_known(text.strip(), token):
            return Identity(token.name, token.role, has_token=True)
        async with self._hashing:
            if wait := self._failures.wait(remote):
                return problem(
                    429, "too many failed logins from this address", {"Retry-After": f"{wait:.0f}"}
                )
            if token is not None and await asyncio.to_thread(access.is_genuine, text.strip(), token):
                self._genuine[token.id] = (token.hash, _digest(text.strip()))
                return Identity(token.name, token.role, has_token=True)
            self._failures.note(remote)
        return problem(401, "this token is unknown or was removed", CHALLENGE)

    def _is_known(self, text: str, token: StoredToken) -> bool:
        stored, digest = self._genuine.get(token.id, ("", b""))
        return stored == token.hash and hmac.compare_digest(digest, _digest(text))


class Failures:
    """Failed logins by address. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at: dict[str, list[float]] = {}

    def wait(self, remote: str) -> float:
        """Return the seconds until another login from ``remote`` may be tried; 0 for at once."""
        since = self._clock() - FAILURES_WITHIN
        recent = [at for at in self._at.get(remote, []) if at > since]
        return max(1.0, recent[0] - since) if len(recent) >= FAILURES_MAX else 0.0

    def note(self, remote: str) -> None:
        """Note a failed login from ``remote``."""
        self._at[remote] = [*self._at.pop(remote, [])[1 - FAILURES_MAX :], self._clock()]
        if len(self._at) > ADDRESSES_MAX:
            del self._at[next(iter(self._at))]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
