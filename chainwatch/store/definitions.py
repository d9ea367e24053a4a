"""Definitions of invariants that were made while this runs. Times are Unix seconds of this machine."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store import invariants
from chainwatch.store.invariant_tables import stored_invariants


class Definition(NamedTuple):
    """An invariant that was made while this runs: ``settings`` is JSON, ``kind`` says of which shape."""

    name: str
    settings: str
    kind: str
    is_running: bool
    is_deleted: bool
    revision: int
    author: str
    created_at: float
    updated_at: float


def find(connection: sa.Connection, name: str) -> Definition | None:
    """Return the definition called ``name``, deleted or not."""
    query = sa.select(stored_invariants).where(stored_invariants.c.name == name)
    row = connection.execute(query).first()
    return None if row is None else Definition(*row)


def running(connection: sa.Connection) -> list[Definition]:
    """Return the definitions of what is to be checked, by name."""
    c = stored_invariants.c
    query = sa.select(stored_invariants).where(c.is_running, sa.not_(c.is_deleted)).order_by(c.name)
    return [Definition(*row) for row in connection.execute(query)]


def kept(connection: sa.Connection) -> list[Definition]:
    """Return the definitions that are not deleted, by name."""
    c = stored_invariants.c
    query = sa.select(stored_invariants).where(sa.not_(c.is_deleted)).order_by(c.name)
    return [Definition(*row) for row in connection.execute(query)]


def save(connection: sa.Connection, definition: Definition) -> None:
    """Store ``definition``, with a new revision; the checks of one of its name begin anew."""
    revision = invariants.newest_revision(connection) + 1
    values = definition._replace(revision=revision)._asdict()
    c = stored_invariants.c
    invariants.forget_checks(connection, [definition.name])
    changed = sa.update(stored_invariants).where(c.name == definition.name).values(values)
    if not connection.execute(changed).rowcount:
        connection.execute(sa.insert(stored_invariants).values(values))


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` definitions that were deleted before ``before``; return how many.

    The newest one stays: its revision says that something has changed.
    """
    c = stored_invariants.c
    newest = sa.select(sa.func.max(c.revision)).scalar_subquery()
    old = sa.select(c.name).where(c.is_deleted, c.updated_at < before, c.revision < newest).limit(limit)
    return connection.execute(sa.delete(stored_invariants).where(c.name.in_(old))).rowcount
