"""The lists over which invariants are made, as contracts gave them last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.invariant_tables import invariant_elements

Lists: TypeAlias = Mapping[str, Sequence[str | int]]
"""By label, the elements in their order."""


def load(connection: sa.Connection) -> dict[str, Lists]:
    """Return the lists of all invariants, by the invariant's name in the configuration."""
    c = invariant_elements.c
    rows = connection.execute(sa.select(c.name, c.lists).order_by(c.name))
    return {row.name: msgspec.json.decode(row.lists) for row in rows}


def save(connection: sa.Connection, name: str, lists: Lists) -> None:
    """Store the lists of the invariant ``name``, with a new revision."""
    newest = connection.execute(sa.select(sa.func.max(invariant_elements.c.revision))).scalar() or 0
    values = {"lists": msgspec.json.encode(lists).decode(), "revision": newest + 1}
    here = invariant_elements.c.name == name
    if not connection.execute(sa.update(invariant_elements).where(here).values(values)).rowcount:
        connection.execute(sa.insert(invariant_elements).values(name=name, **values))


def revision(connection: sa.Connection) -> int:
    """Return a number that grows whenever a list changes."""
    return bulk.scalar(connection, "SELECT max(revision) FROM invariant_elements") or 0
