"""When invariants did not hold. Times are chain time."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.invariant_tables import invariant_breaches

_b = invariant_breaches.c


class Breach(NamedTuple):
    """A time in which the invariant ``name`` did not hold: since ``block`` of ``network``; ``read`` are the values then.

    ``ends_at`` is None while it lasts. ``held_block`` is the last block before it at which the invariant held, where that is
    known.
    """

    name: str
    network: str
    block: int
    starts_at: int
    read: str
    held_block: int | None = None
    held_at: int | None = None
    ends_at: int | None = None
    reason: str | None = None


def save(connection: sa.Connection, breach: Breach) -> None:
    """Store a breach, in place of one that began at the same block."""
    bulk.upsert(connection, invariant_breaches, Breach._fields, [breach])


def end(connection: sa.Connection, name: str, network: str, block: int, at: int, reason: str) -> None:
    """Note that the breach since ``block`` has ended ``at``, and why."""
    here = sa.and_(_b.name == name, _b.network == network, _b.block == block)
    connection.execute(sa.update(invariant_breaches).where(here).values(ends_at=at, reason=reason))


def of(connection: sa.Connection, name: str, since: float, limit: int) -> list[Breach]:
    """Return up to ``limit`` breaches of ``name`` that lasted after ``since``, the newest first."""
    columns = [_b[field] for field in Breach._fields]
    lasted = sa.or_(_b.ends_at.is_(None), _b.ends_at >= since)
    query = sa.select(*columns).where(_b.name == name, lasted)
    rows = connection.execute(query.order_by(_b.starts_at.desc(), _b.block.desc()).limit(limit))
    return [Breach(*row) for row in rows]


def prune(connection: sa.Connection, before: float, limit: int) -> int:
    """Delete up to ``limit`` breaches that ended before ``before``; return how many."""
    query = sa.select(_b.name, _b.network, _b.block).where(_b.ends_at < before).limit(max(0, limit))
    rows = [tuple(row) for row in connection.execute(query)]
    bulk.delete(connection, invariant_breaches, ("name", "network", "block"), rows)
    return len(rows)
