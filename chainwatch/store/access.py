"""Tokens of the HTTP server, sessions of its page, and the audit log. Times are Unix seconds of this machine."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store.access_tables import api_tokens, audit_log, page_sessions


class StoredToken(NamedTuple):
    """A token without its secret, of which only the hash is kept."""

    id: str
    name: str
    role: str
    hash: str
    author: str
    created_at: float


class StoredSession(NamedTuple):
    """Somebody who is logged in to the page. ``id``: the SHA-256 of what the browser keeps, in hex."""

    id: str
    token_id: str
    created_at: float
    expires_at: float


class AuditEntry(NamedTuple):
    """Something that was done, by whom."""

    id: int
    at: float
    actor: str
    action: str
    detail: str


def tokens(connection: sa.Connection) -> list[StoredToken]:
    """Return all tokens by their names."""
    rows = connection.execute(sa.select(api_tokens).order_by(api_tokens.c.name))
    return [StoredToken(*row) for row in rows]


def add_token(connection: sa.Connection, token: StoredToken) -> None:
    """Store a new token, whose name no other has."""
    connection.execute(sa.insert(api_tokens).values(token._asdict()))


def remove_token(connection: sa.Connection, name: str) -> bool:
    """Delete the token called ``name`` with its sessions; return whether there was one."""
    of_token = sa.select(api_tokens.c.id).where(api_tokens.c.name == name)
    connection.execute(sa.delete(page_sessions).where(page_sessions.c.token_id.in_(of_token)))
    return connection.execute(sa.delete(api_tokens).where(api_tokens.c.name == name)).rowcount > 0


def sessions(connection: sa.Connection, after: float) -> list[StoredSession]:
    """Return the sessions that expire after ``after``."""
    return [
        StoredSession(*row)
        for row in connection.execute(sa.select(page_sessions).where(page_sessions.c.expires_at > after))
    ]


def add_session(connection: sa.Connection, session: StoredSession, at_most: int) -> None:
    """Store a new session; delete those that have expired, and the oldest of its token where there are ``at_most``."""
    own = page_sessions.c.token_id == session.token_id
    newest = sa.select(page_sessions.c.id).where(own).order_by(page_sessions.c.created_at.desc())
    kept = list(connection.execute(newest.limit(at_most - 1)).scalars())
    too_many = own & page_sessions.c.id.not_in(kept)
    expired = page_sessions.c.expires_at <= session.created_at
    connection.execute(sa.delete(page_sessions).where(expired | too_many))
    connection.execute(sa.insert(page_sessions).values(session._asdict()))


def remove_session(connection: sa.Connection, session_id: str) -> None:
    """Delete a session, if there is one with this id."""
    connection.execute(sa.delete(page_sessions).where(page_sessions.c.id == session_id))


def record(connection: sa.Connection, at: float, actor: str, action: str, detail: str) -> None:
    """Add an entry to the audit log."""
    values = {"at": at, "actor": actor, "action": action, "detail": detail}
    connection.execute(sa.insert(audit_log).values(values))


def entries(connection: sa.Connection, limit: int, before_id: int | None = None) -> list[AuditEntry]:
    """Return up to ``limit`` entries of the audit log, newest first, with ids below ``before_id``."""
    query = sa.select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit_log.c.id < before_id)
    return [AuditEntry(*row) for row in connection.execute(query)]


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` entries of the audit log from before ``before``; return how many."""
    old = sa.select(audit_log.c.id).where(audit_log.c.at < before).limit(limit)
    return connection.execute(sa.delete(audit_log).where(audit_log.c.id.in_(old))).rowcount
