"""Values of invariants as they were, for conditions that read changes over a time. Times are chain time.

Of each span of time, a bucket, the first check counts, so that what is stored follows from the checks alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.store import bulk, occurrences
from chainwatch.store.invariant_tables import invariant_history


class Past(NamedTuple):
    """The values of a check at ``block`` of ``network``."""

    network: str
    block: int
    timestamp: int
    content: Mapping[str, Any]


_h = invariant_history.c


def note(connection: sa.Connection, name: str, bucket: int, past: Past) -> None:
    """Store ``past`` as the values of ``bucket``, unless an earlier check in it is known."""
    here = sa.and_(_h.name == name, _h.bucket == bucket)
    known = connection.execute(sa.select(_h.timestamp, _h.network, _h.block).where(here)).first()
    if known is not None and tuple(known) < (past.timestamp, past.network, past.block):
        return
    content = occurrences.encode_facts(dict(past.content))
    connection.execute(sa.delete(invariant_history).where(here))
    connection.execute(
        sa.insert(invariant_history).values(
            name=name, bucket=bucket, **{**past._asdict(), "content": content}
        )
    )


def newest_until(connection: sa.Connection, name: str, timestamp: int) -> Mapping[str, Any] | None:
    """Return the values of the newest check of ``name`` at ``timestamp`` or before that is stored."""
    query = sa.select(_h.content).where(_h.name == name, _h.timestamp <= timestamp)
    found = connection.execute(query.order_by(_h.bucket.desc()).limit(1)).scalar()
    return None if found is None else occurrences.decode_facts(bytes(found))


def drop_before(connection: sa.Connection, name: str, timestamp: int) -> None:
    """Delete the values of ``name`` from before ``timestamp``, but for the newest of them."""
    newest = sa.select(sa.func.max(_h.bucket)).where(_h.name == name, _h.timestamp <= timestamp)
    here = sa.and_(_h.name == name, _h.bucket < newest.scalar_subquery())
    connection.execute(sa.delete(invariant_history).where(here))


def roll_back(connection: sa.Connection, network: str, block: int) -> None:
    """Delete the values of checks at blocks of ``network`` after ``block``."""
    connection.execute(sa.delete(invariant_history).where(_h.network == network, _h.block > block))


def forget(connection: sa.Connection, names: Collection[str]) -> None:
    """Delete all values of ``names``."""
    bulk.delete(connection, invariant_history, ("name",), [(name,) for name in names])
