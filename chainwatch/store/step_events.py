"""The events of flows in which a key alone does not say to which transfer an event belongs, and to which each does.

The events of one key, step and network are a *lane*: they are numbered in the order of the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeAlias

import sqlalchemy as sa

from chainwatch.model import Occurrence
from chainwatch.store import bulk, occurrences
from chainwatch.store.tables import step_events
from chainwatch.store.transfers import digest

Position: TypeAlias = tuple[int, int, int]
"""Block, log index and item: where an event is in its lane."""

position = attrgetter("block", "log_index", "item")
"""Of an `Occurrence` or a `Row`: its `Position`."""


class Lane(NamedTuple):
    """The events of one step on one network with the same key; ``base`` is the digest of flow and key."""

    base: bytes
    step: str
    network: str


class Row(NamedTuple):
    """An event and the key of the transfer that it belongs to; ``event`` is MessagePack.

    ``name`` and ``value``: by what other steps find its transfer, if they do.
    """

    base: bytes
    step: str
    network: str
    block: int
    log_index: int
    item: int
    number: int
    flow: str
    transfer: str
    digest: bytes
    name: bytes | None
    value: bytes | None
    event: bytes

    @property
    def occurrence(self) -> Occurrence:
        """The event."""
        return occurrences.decode(self.event)

    @property
    def lane(self) -> Lane:
        """Its lane."""
        return Lane(self.base, self.step, self.network)

    def moved(self, transfer: str, number: int) -> Row:
        """Return it as an event of another transfer."""
        return self._replace(transfer=transfer, number=number, digest=digest(self.flow, transfer))


def make(
    lane: Lane,
    flow: str,
    transfer: str,
    number: int,
    event: Occurrence,
    name: bytes | None,
    value: bytes | None,
) -> Row:
    """Return the row of ``event``."""
    where = event.block, event.log_index, event.item
    packed = occurrences.encode(event)
    return Row(*lane, *where, number, flow, transfer, digest(flow, transfer), name, value, packed)


_COLUMNS = Row._fields
_KEY = ("base", "step", "network", "block", "log_index", "item")
_NAMES = ", ".join(_COLUMNS)
_IN_LANE = "base = ? AND step = ? AND network = ?"
_ORDER = "block, log_index, item"
_BACKWARDS = "block DESC, log_index DESC, item DESC"


def insert(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Store new rows; one that is stored already stays as it is."""
    bulk.insert(connection, step_events, _COLUMNS, rows)


def move(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Store that the events of ``rows`` belong to other transfers."""
    changes = [(r.number, r.transfer, r.digest, *r[:6]) for r in rows]
    where = " AND ".join(f"{name} = ?" for name in _KEY)
    statement = f"UPDATE step_events SET number = ?, transfer = ?, digest = ? WHERE {where}"  # noqa: S608
    bulk.change(connection, statement, changes)


def delete(connection: sa.Connection, rows: Iterable[Row]) -> None:
    """Delete ``rows``."""
    bulk.delete(connection, step_events, _KEY, [row[:6] for row in rows])


def last(
    connection: sa.Connection, lane: Lane, before: Position | None = None
) -> tuple[Position, int] | None:
    """Return position and number of the last event of ``lane``, or of the last before a position; None without any."""
    bound = f" AND ({_ORDER}) < (?, ?, ?)" if before else ""
    statement = (
        f"SELECT {_ORDER}, number FROM step_events WHERE {_IN_LANE}{bound} ORDER BY {_BACKWARDS} LIMIT 1"  # noqa: S608
    )
    for block, log_index, item, number in bulk.select(connection, statement, (*lane, *(before or ()))):
        return (block, log_index, item), number
    return None


def since(connection: sa.Connection, lane: Lane, first: Position) -> list[Row]:
    """Return the events of ``lane`` from a position on, in order."""
    statement = (
        f"SELECT {_NAMES} FROM step_events WHERE {_IN_LANE} AND ({_ORDER}) >= (?, ?, ?) ORDER BY {_ORDER}"  # noqa: S608
    )
    return [Row(*row) for row in bulk.select(connection, statement, (*lane, *first))]


def of_keys(connection: sa.Connection, bases: Sequence[bytes]) -> Iterator[Row]:
    """Yield the events with these keys, given as digests."""
    return (Row(*row) for row in bulk.select_in(connection, step_events, _COLUMNS, "base", bases))


def of_transfers(connection: sa.Connection, digests: Sequence[bytes]) -> Iterator[Row]:
    """Yield the events of transfers, given by their digests."""
    return (Row(*row) for row in bulk.select_in(connection, step_events, _COLUMNS, "digest", digests))


def with_names(connection: sa.Connection, names: Sequence[bytes]) -> Iterator[Row]:
    """Yield the events with these names."""
    return (Row(*row) for row in bulk.select_in(connection, step_events, _COLUMNS, "name", names))


def forget(connection: sa.Connection, flows: Sequence[str] | None) -> None:
    """Delete the events of ``flows``; of all where they are None."""
    statement = sa.delete(step_events)
    connection.execute(statement if flows is None else statement.where(step_events.c.flow.in_(flows)))


def prune(connection: sa.Connection, transfers: Sequence[bytes]) -> int:
    """Delete the events of ``transfers``, which were deleted; return how many.

    While other transfers of the same key are stored, the last event of each lane stays: it says how many there were.
    """
    old = list(of_transfers(connection, transfers))
    if not old:
        return 0
    bases = sorted({row.base for row in old})
    living = "step_events JOIN transfers ON transfers.digest = step_events.digest"
    alive = {base for (base,) in bulk.select_in(connection, living, ("base",), "base", bases)}
    gone = [
        row
        for row in old
        if row.base in alive and (end := last(connection, row.lane)) and end[0] != position(row)
    ]
    gone += of_keys(connection, [base for base in bases if base not in alive])
    delete(connection, gone)
    return len(gone)
