"""Tokens of the HTTP server, sessions of its page, and the audit log of what was done through it."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal, NamedTuple, get_args

import msgspec
import sqlalchemy as sa

from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.operations.paging import Cursors, Page, check_limit
from chainwatch.store import access
from chainwatch.store.access import StoredSession, StoredToken
from chainwatch.support.spelling import did_you_mean
from chainwatch.support.token_hashes import hash_secret, is_secret_of

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may: read; act on alerts and queues; change the process and who may call it."""
TOKENS_MAX = 1_000
SESSION_LASTS = 7 * 86_400.0
"""Seconds after which a person must log in to the page again."""
SESSIONS_MAX = 20
"""Sessions of one token: the oldest ends where there are more."""
CURSORS = Cursors("audit", 1)
DETAIL_MAX = 2_000
"""Characters of an entry's detail."""

_TOKEN = re.compile("cw_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class TokenView(msgspec.Struct, frozen=True):
    """A token. Its text is shown once, when it is made."""

    name: str
    role: str
    author: str
    created_at: float


class NewToken(msgspec.Struct, frozen=True):
    """A token that was just made: ``token`` is its text, which cannot be shown again."""

    name: str
    role: str
    token: str


class Callers(NamedTuple):
    """Who may call the server. ``tokens``: by the public part of their text; ``sessions``: by their ids."""

    tokens: dict[str, StoredToken]
    sessions: dict[str, StoredSession]


class AuditView(msgspec.Struct, frozen=True):
    """Something that was changed: ``actor`` is a token's name or the user who ran a command."""

    at: float
    actor: str
    action: str
    detail: str


def add_token(
    connection: sa.Connection, context: Context, now: float, name: str, role: str, author: str
) -> NewToken:
    """Make a token called ``name``. Raises ``Invalid`` and, where the name is taken, ``Conflict``."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"name: {name[:100]!r}: expected up to 64 letters, digits, and . _ @ - between them")
    if role not in ROLES:
        raise Invalid(f"role: {role[:100]!r} is none of {', '.join(ROLES)}")
    existing = access.tokens(connection)
    if name in {token.name for token in existing}:
        raise Conflict(f"a token is called {name!r} already: remove it first, or choose another name")
    if len(existing) >= TOKENS_MAX:
        raise Conflict(f"there are {TOKENS_MAX} tokens: remove one first")
    public, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    access.add_token(connection, StoredToken(public, name, role, hash_secret(secret), author, now))
    access.record(connection, now, author, "token add", f"{name} ({role})")
    return NewToken(name, role, f"cw_{public}_{secret}")


def list_tokens(connection: sa.Connection, context: Context, now: float) -> list[TokenView]:
    """Return all tokens by their names."""
    return [TokenView(t.name, t.role, t.author, t.created_at) for t in access.tokens(connection)]


def remove_token(connection: sa.Connection, context: Context, now: float, name: str, author: str) -> None:
    """Remove the token called ``name``. Raises ``NotFound``."""
    if not access.remove_token(connection, name):
        near = did_you_mean(name, [token.name for token in access.tokens(connection)])
        raise NotFound(f"no token is called {name!r}; {near or 'see `chainwatch token list`'}")
    access.record(connection, now, author, "token remove", name)


def list_audit(
    connection: sa.Connection, context: Context, now: float, *, limit: int = 100, after: str | None = None
) -> Page[AuditView]:
    """Return the audit log, newest first. ``after``: a cursor. Raises ``Invalid``."""
    (before_id,) = CURSORS.parse(after) or (None,)
    found = access.entries(connection, check_limit(limit) + 1, before_id)
    return CURSORS.page(
        found, limit, lambda e: [e.id], lambda e: AuditView(e.at, e.actor, e.action, e.detail)
    )


def record(
    connection: sa.Connection, context: Context, now: float, actor: str, action: str, detail: str
) -> None:
    """Add what ``actor`` does to the audit log."""
    access.record(connection, now, actor, action, detail[:DETAIL_MAX])


def callers(connection: sa.Connection, context: Context, now: float) -> Callers:
    """Return all tokens, and the sessions that have not expired."""
    return Callers(
        {token.id: token for token in access.tokens(connection)},
        {session.id: session for session in access.sessions(connection, now)},
    )


def open_session(connection: sa.Connection, context: Context, now: float, token_id: str) -> str:
    """Open a session of the page for whoever has the token; return its secret, of which only the hash is stored."""
    secret = secrets.token_urlsafe(32)
    session = StoredSession(session_id(secret), token_id, now, now + SESSION_LASTS)
    access.add_session(connection, session, SESSIONS_MAX)
    return secret


def close_session(connection: sa.Connection, context: Context, now: float, secret: str) -> None:
    """End a session of the page."""
    access.remove_session(connection, session_id(secret))


def session_id(secret: str) -> str:
    """Return the id under which the session with this secret is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def public_part(text: str) -> str | None:
    """Return the public part of a token's text; None where it has not the form of one."""
    match = _TOKEN.fullmatch(text)
    return match and match[1]


def is_genuine(text: str, token: StoredToken) -> bool:
    """Return whether ``text`` is the text of ``token``. It takes some 40 ms of a core: call it off the event loop."""
    match = _TOKEN.fullmatch(text)
    return match is not None and is_secret_of(match[2], token.hash)
