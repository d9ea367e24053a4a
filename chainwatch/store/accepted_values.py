"""Values that invariants are compared with: those that were read first, and those that somebody accepted since.

Times of checks are chain time; ``accepted_at`` is Unix seconds of this machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.store import bulk, occurrences, schema
from chainwatch.store.invariant_tables import invariant_accepted

AS_OF = "invariant_accepted_as_of"
"""The property for as of which transaction they are kept in memory."""
BY_NOBODY = ""
"""The author of what was read first."""


class Accepted(NamedTuple):
    """The values of a check at ``block`` of ``network``, which hold good from it on.

    ``reads`` stands for what was read: values that are read otherwise are compared with no others.
    """

    name: str
    network: str
    block: int
    timestamp: int
    reads: bytes
    content: Mapping[str, Any]
    author: str
    accepted_at: float


_a = invariant_accepted.c
_ORDER = (_a.timestamp, _a.network, _a.block)


def load(connection: sa.Connection) -> dict[str, list[Accepted]]:
    """Return all by their invariants, in the order of their times."""
    found: dict[str, list[Accepted]] = {}
    for row in connection.execute(sa.select(invariant_accepted).order_by(*_ORDER)):
        found.setdefault(row.name, []).append(_accepted(row))
    return found


def newest(connection: sa.Connection, name: str) -> Accepted | None:
    """Return what was accepted last for ``name``."""
    query = sa.select(invariant_accepted).where(_a.name == name)
    row = connection.execute(query.order_by(*(one.desc() for one in _ORDER)).limit(1)).first()
    return None if row is None else _accepted(row)


def save(connection: sa.Connection, accepted: Accepted) -> None:
    """Store ``accepted``, in place of what was accepted of the same check, or of later ones, whose blocks are gone.

    What is kept in memory is loaded again.
    """
    place = (accepted.timestamp, accepted.network, accepted.block)
    begins = sa.tuple_(*(sa.literal(value, key.type) for key, value in zip(_ORDER, place, strict=True)))
    replaced = sa.and_(_a.name == accepted.name, sa.tuple_(*_ORDER) >= begins)
    connection.execute(sa.delete(invariant_accepted).where(replaced))
    values = {**accepted._asdict(), "content": occurrences.encode_facts(dict(accepted.content))}
    connection.execute(sa.insert(invariant_accepted).values(values))
    schema.drop_property(connection, AS_OF)


def roll_back(connection: sa.Connection, network: str, block: int) -> None:
    """Delete what was read first in blocks of ``network`` after ``block``; what somebody accepted stays."""
    gone = sa.and_(_a.network == network, _a.block > block, _a.author == BY_NOBODY)
    connection.execute(sa.delete(invariant_accepted).where(gone))
    schema.drop_property(connection, AS_OF)


def forget(connection: sa.Connection, names: Collection[str]) -> None:
    """Delete all of ``names``."""
    bulk.delete(connection, invariant_accepted, ("name",), [(name,) for name in names])
    schema.drop_property(connection, AS_OF)


def _accepted(row: Any) -> Accepted:
    content = occurrences.decode_facts(bytes(row.content))
    return Accepted(*row)._replace(reads=bytes(row.reads), content=content)
