"""Answers to requests with an idempotency key. Times are Unix seconds of this machine."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store.access_tables import idempotency_keys

KEPT_FOR = 86_400.0
"""Seconds for which an answer is kept."""
KEPT_MAX = 5_000
"""Answers that are kept for one caller: the newest ones."""


class StoredAnswer(NamedTuple):
    """``request``: the SHA-256 of the request that was answered so."""

    request: bytes
    status: int
    content_type: str
    body: bytes


def find(connection: sa.Connection, key: bytes, now: float) -> StoredAnswer | None:
    """Return the answer that is kept under ``key``, if there is one."""
    table = idempotency_keys.c
    query = sa.select(table.request, table.status, table.content_type, table.body)
    row = connection.execute(query.where(table.id == key, table.at >= now - KEPT_FOR)).one_or_none()
    return None if row is None else StoredAnswer(*row)


def keep(connection: sa.Connection, key: bytes, actor: str, answer: StoredAnswer, now: float) -> None:
    """Keep ``answer`` under ``key``, which nothing is kept under; delete what is too old, or too much for ``actor``."""
    table = idempotency_keys.c
    connection.execute(sa.delete(idempotency_keys).where(table.at < now - KEPT_FOR))
    newest = sa.select(table.id).where(table.actor == actor).order_by(table.at.desc(), table.id)
    too_many = list(connection.execute(newest.offset(KEPT_MAX - 1)).scalars())
    connection.execute(sa.delete(idempotency_keys).where(table.id.in_(too_many)))
    values = {"id": key, "actor": actor, "at": now, **answer._asdict()}
    connection.execute(sa.insert(idempotency_keys).values(values))
