"""The events that are a step of all transfers whose keys end in an integer of a range.

Ranges of similar size are found together: of those that hold at most 2^size integers and contain n, the first integer lies
in the 2^size before n. So what one integer costs depends on how many ranges contain it, not on how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.model import Occurrence
from chainwatch.store import bulk, occurrences
from chainwatch.store.tables import step_events, step_ranges

_OFFSET, _WIDTH = 2**264, 34
"""Integers are stored as so many bytes that sort as they do; an expression's have less than 264 bits."""


class Range(NamedTuple):
    """An event that covers the integers from ``first`` to ``last`` of a name; ``event`` is MessagePack."""

    name: bytes
    size: int
    first: bytes
    step: str
    network: str
    block: int
    log_index: int
    item: int
    last: bytes
    timestamp: int
    flow: str
    event: bytes

    @property
    def occurrence(self) -> Occurrence:
        """The event."""
        return occurrences.decode(self.event)


_COLUMNS = Range._fields
_KEY = _COLUMNS[:8]
_NAMES = ", ".join(_COLUMNS)


def encode(number: int) -> bytes:
    """Return ``number`` as bytes that sort as the numbers do."""
    return (number + _OFFSET).to_bytes(_WIDTH)


def decode(number: bytes) -> int:
    """Return what `encode` was given."""
    return int.from_bytes(number) - _OFFSET


def make(name: bytes, first: int, last: int, flow: str, event: Occurrence) -> Range:
    """Return the row of ``event``."""
    where = event.step, event.network, event.block, event.log_index, event.item
    size = (last - first).bit_length()
    packed = occurrences.encode(event)
    return Range(name, size, encode(first), *where, encode(last), event.timestamp, flow, packed)


def insert(connection: sa.Connection, rows: Sequence[Range]) -> None:
    """Store new rows; one that is stored already stays as it is."""
    bulk.insert(connection, step_ranges, _COLUMNS, rows)


def delete(connection: sa.Connection, rows: Sequence[Range]) -> None:
    """Delete ``rows``."""
    bulk.delete(connection, step_ranges, _KEY, [row[:8] for row in rows])


def of_name(connection: sa.Connection, name: bytes, network: str, after: int = -1) -> list[Range]:
    """Return the ranges of ``name`` on ``network`` in blocks ``after`` that."""
    statement = f"SELECT {_NAMES} FROM step_ranges WHERE name = ? AND network = ? AND block > ?"  # noqa: S608
    return [Range(*row) for row in bulk.select(connection, statement, (name, network, after))]


def meeting(connection: sa.Connection, name: bytes, first: int, last: int) -> Iterator[Range]:
    """Yield the ranges of ``name`` with an integer from ``first`` to ``last``."""
    statement = (
        f"SELECT {_NAMES} FROM step_ranges"  # noqa: S608
        " WHERE name = ? AND size = ? AND first > ? AND first <= ? AND last >= ?"
    )
    size = -1
    while True:
        known = "SELECT MIN(size) FROM step_ranges WHERE name = ? AND size > ?"
        size = bulk.scalar(connection, known, (name, size))
        if size is None:
            return
        before = encode(max(first - 2**size, 1 - _OFFSET))
        for row in bulk.select(connection, statement, (name, size, before, encode(last), encode(first))):
            yield Range(*row)


def covered(
    connection: sa.Connection, name: bytes, first: bytes, last: bytes, after: tuple[bytes, str], limit: int
) -> list[tuple[bytes, str]]:
    """Return up to ``limit`` openings of ``name`` with an integer from ``first`` to ``last``: integer, transfer's key.

    In order, and only those ``after`` such a pair.
    """
    statement = (
        "SELECT DISTINCT value, transfer FROM step_events WHERE name = ? AND value >= ? AND value <= ?"
        " AND (value, transfer) > (?, ?) ORDER BY value, transfer LIMIT ?"
    )
    values = (name, max(first, after[0]), last, *after, limit)
    return [(value, transfer) for value, transfer in bulk.select(connection, statement, values)]


def forget(connection: sa.Connection, flows: Sequence[str] | None) -> None:
    """Delete the ranges of ``flows``; of all where they are None."""
    statement = sa.delete(step_ranges)
    connection.execute(statement if flows is None else statement.where(step_ranges.c.flow.in_(flows)))


def prune(connection: sa.Connection, before: int, limit: int) -> int:
    """Delete up to ``limit`` ranges from before ``before`` (chain time) that cover no opening still stored."""
    opening = sa.exists().where(
        step_events.c.name == step_ranges.c.name,
        step_events.c.value >= step_ranges.c.first,
        step_events.c.value <= step_ranges.c.last,
    )
    old = sa.select(*(step_ranges.c[name] for name in _KEY)).where(step_ranges.c.timestamp < before, ~opening)
    rows = connection.execute(old.limit(limit)).all()
    bulk.delete(connection, step_ranges, _KEY, [tuple(row) for row in rows])
    return len(rows)
