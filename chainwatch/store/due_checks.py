"""Checks of invariants at blocks that were not read yet: one row for each block, however many invariants there are.

So the transaction that stores a new block, for which all observers wait, takes no longer with many invariants.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.invariant_tables import due_checks


class DueChecks(NamedTuple):
    """The invariants, by ``names``, that are to be checked at a block of one network; ``timestamp`` is chain time."""

    network: str
    block: int
    hash: bytes
    timestamp: int
    names: Collection[str]


_COLUMNS = DueChecks._fields
_PLACE = ("network", "block")
_ALL = f"SELECT {', '.join(_COLUMNS)} FROM invariant_due_checks"  # noqa: S608 - our own names


def save(connection: sa.Connection, due: Sequence[DueChecks]) -> None:
    """Store what is due at blocks, in place of what was; rows without names are deleted."""
    bulk.upsert(connection, due_checks, _COLUMNS, [(*one[:4], _json(one.names)) for one in due if one.names])
    bulk.delete(connection, due_checks, _PLACE, [one[:2] for one in due if not one.names])


def load(connection: sa.Connection, network: str | None = None) -> list[DueChecks]:
    """Return what is due, perhaps of one network only, by network and block."""
    if network is None:
        rows = bulk.select(connection, f"{_ALL} ORDER BY network, block")
    else:
        rows = bulk.select(connection, f"{_ALL} WHERE network = ? ORDER BY block", (network,))
    return [_due(row) for row in rows]


def is_any(connection: sa.Connection) -> bool:
    """Return whether anything is due on any network."""
    return bool(bulk.select(connection, "SELECT 1 FROM invariant_due_checks LIMIT 1"))


def roll_back(connection: sa.Connection, network: str, block: int) -> None:
    """Delete what is due at blocks of ``network`` after ``block``."""
    c = due_checks.c
    connection.execute(sa.delete(due_checks).where(c.network == network, c.block > block))


def forget(connection: sa.Connection, gone: Collection[str]) -> None:
    """Delete what is due of the invariants ``gone``."""
    forgotten = set(gone)
    found = [one for one in load(connection) if not forgotten.isdisjoint(one.names)]
    left = [[name for name in one.names if name not in forgotten] for one in found]
    save(connection, [one._replace(names=names) for one, names in zip(found, left, strict=True)])


def names(connection: sa.Connection) -> set[str]:
    """Return the names of the invariants of which anything is due."""
    return {name for one in load(connection) for name in one.names}


def _due(row: Any) -> DueChecks:
    return DueChecks(row[0], row[1], bytes(row[2]), row[3], msgspec.json.decode(row[4], type=list[str]))


def _json(found: Collection[str]) -> str:
    return msgspec.json.encode(list(found)).decode()
