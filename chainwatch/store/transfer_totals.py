"""How many transfers are stored, by flow, route and status: kept with each change, so that nothing has to count them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa

from chainwatch.model import EXCLUDED, Transfer
from chainwatch.store import bulk
from chainwatch.store.tables import transfer_totals

UNKNOWN = "?"
"""Stands for all networks that are not configured: chains may name any number of them."""


class Total(NamedTuple):
    """What the transfers of one total have in common. ``origin`` and ``destination`` are empty where there is none yet."""

    flow: str
    origin: str
    destination: str
    status: str


_Key: TypeAlias = tuple[str, str, str, str]
"""A `Total`, or the same values."""


def place(network: str | None) -> str:
    """Return ``network`` as totals name it."""
    return "" if not network else UNKNOWN if network[0] == UNKNOWN else network


def change(connection: sa.Connection, changed: Sequence[tuple[Transfer, Transfer]]) -> None:
    """Count transfers as (before, after).

    ``before`` has no id where it was not stored, ``after`` no events and no alerts where it is deleted.
    """
    differences: dict[_Key, int] = {}
    for before, after in changed:  # plain tuples, as there are many
        if before.id:
            key = (before.flow, place(before.origin), place(before.destination), before.status)
            differences[key] = differences.get(key, 0) - 1
        if after.occurrences or after.raised:
            key = (after.flow, place(after.origin), place(after.destination), after.status)
            differences[key] = differences.get(key, 0) + 1
    add(connection, differences.items())


def add(connection: sa.Connection, differences: Iterable[tuple[_Key, int]]) -> None:
    """Add ``differences``, which may be negative, to the stored totals."""
    bulk.change(connection, _ADD, [(*total, number) for total, number in differences if number])


def totals(connection: sa.Connection) -> dict[Total, int]:
    """Return the totals that are not zero, but for transfers that flows leave out."""
    columns = [transfer_totals.c[name] for name in (*Total._fields, "number")]
    query = sa.select(*columns).where(transfer_totals.c.number != 0, transfer_totals.c.status != EXCLUDED)
    return {Total(*row[:-1]): row[-1] for row in connection.execute(query)}


def by_status(found: Iterable[tuple[Total, int]]) -> dict[str, dict[str, int]]:
    """Return totals by flow and status."""
    sums: dict[str, dict[str, int]] = {}
    for total, number in found:
        statuses = sums.setdefault(total.flow, {})
        statuses[total.status] = statuses.get(total.status, 0) + number
    return sums


_ADD = (
    "INSERT INTO transfer_totals (flow, origin, destination, status, number) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (flow, origin, destination, status) DO UPDATE SET number = transfer_totals.number + excluded.number"
)
