"""The events of flows in which a key alone does not say to which transfer an event belongs, and to which each does.

The events of one key, step and network are a *lane*. In flows with ``match = "nth"`` openings are numbered in the order of
the chain from 1 on, and each other event has the number of the opening that it takes; one that takes none is `UNOPENED`.
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

UNOPENED = -1
"""The number of an event that takes no opening."""

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
_END = 2**62
_NUMBERED = "base = ? AND number != 0 AND step || '' = ?"
"""So written, both databases read the index ``step_events_number``, in the order of numbers, and not the whole lane."""


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


def last(connection: sa.Connection, lane: Lane) -> tuple[Position, int] | None:
    """Return position and number of the last event of ``lane``; None without any."""
    statement = f"SELECT {_ORDER}, number FROM step_events WHERE {_IN_LANE} ORDER BY {_BACKWARDS} LIMIT 1"  # noqa: S608
    return _placed(bulk.select(connection, statement, lane))


def last_numbered(
    connection: sa.Connection, lane: Lane, before: Position | None = None, below: int = _END
) -> tuple[Position, int] | None:
    """Return position and number of the last event of ``lane`` that has a number; None without any.

    Only of events before the position ``before`` and of numbers less than ``below``, where these are given.
    """
    bound = f" AND ({_ORDER}) < (?, ?, ?)" if before else ""
    statement = (
        f"SELECT {_ORDER}, number FROM step_events WHERE {_NUMBERED} AND network || '' = ?"  # noqa: S608
        f" AND number > 0 AND number < ?{bound} ORDER BY number DESC LIMIT 1"
    )
    return _placed(bulk.select(connection, statement, (*lane, below, *(before or ()))))


def least_number(connection: sa.Connection, lane: Lane) -> int | None:
    """Return the lowest number of ``lane``, None without any: it is above 1 once retention has deleted the first events."""
    statement = (
        f"SELECT number FROM step_events WHERE {_NUMBERED} AND network || '' = ? AND number > 0"  # noqa: S608
        " ORDER BY number LIMIT 1"
    )
    return next((number for (number,) in bulk.select(connection, statement, lane)), None)


def numbered_after(
    connection: sa.Connection, base: bytes, step: str, number: int, limit: int
) -> list[tuple[int, bytes]]:
    """Return up to ``limit`` events of ``step`` on any network with numbers above ``number``: number and MessagePack."""
    statement = (
        f"SELECT number, event FROM step_events WHERE {_NUMBERED} AND number > ? ORDER BY number LIMIT ?"  # noqa: S608
    )
    return [tuple(row) for row in bulk.select(connection, statement, (base, step, number, limit))]


def lanes_from(connection: sa.Connection, base: bytes, number: int) -> list[Lane]:
    """Return the lanes of a key with events that take no opening, or one of at least ``number``."""
    statement = (
        "SELECT step, network FROM step_events WHERE base = ? AND number != 0 AND number < 0 UNION "
        "SELECT step, network FROM step_events WHERE base = ? AND number != 0 AND number >= ?"
    )
    return [Lane(base, *row) for row in sorted(bulk.select(connection, statement, (base, base, number)))]


def with_unopened(connection: sa.Connection, bases: Sequence[bytes]) -> set[bytes]:
    """Return those of these keys, given as digests, that have events which take no opening."""
    rows = bulk.select_in(
        connection, step_events, ("base",), "base", bases, " AND number != 0 AND number < 0"
    )
    return {base for (base,) in rows}


def since(connection: sa.Connection, lane: Lane, first: Position, limit: int | None = None) -> list[Row]:
    """Return the events of ``lane`` from a position on, in order: all, or up to ``limit``."""
    bound = "" if limit is None else f" LIMIT {limit}"
    statement = f"SELECT {_NAMES} FROM step_events WHERE {_IN_LANE} AND ({_ORDER}) >= (?, ?, ?) ORDER BY {_ORDER}{bound}"  # noqa: S608
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

    While other transfers of the same key are stored, the last number of each lane stays: it says how many there were.
    """
    old = list(of_transfers(connection, transfers))
    if not old:
        return 0
    bases = sorted({row.base for row in old})
    living = "step_events JOIN transfers ON transfers.digest = step_events.digest"
    alive = {base for (base,) in bulk.select_in(connection, living, ("base",), "base", bases)}
    kept = {lane: last_numbered(connection, lane) for lane in {row.lane for row in old if row.base in alive}}
    gone = [row for row in old if row.base in alive and kept[row.lane] != (position(row), row.number)]
    gone += of_keys(connection, [base for base in bases if base not in alive])
    delete(connection, gone)
    return len(gone)


def _placed(rows: Sequence[Sequence[int]]) -> tuple[Position, int] | None:
    return next((((block, log_index, item), number) for block, log_index, item, number in rows), None)
