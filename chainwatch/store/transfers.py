"""Transfers and their open deadlines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.model import DISPUTED, RESOLVED, Deadline, Occurrence, Raised, Transfer
from chainwatch.store import bulk, occurrences, transfer_index, transfer_totals
from chainwatch.store.tables import PRUNABLE, deadlines, transfers
from chainwatch.store.transfer_search import Filter as Filter
from chainwatch.store.transfer_search import find
from chainwatch.support import bounds

_COLUMNS = (
    "id",
    "digest",
    "flow",
    "key",
    "status",
    "origin",
    "destination",
    "opened_at",
    "last_at",
    "firing",
    "state",
)
_READ = ("id", "flow", "key", "status", "origin", "destination", "opened_at", "state")


class DeadlineChanges(NamedTuple):
    """The deadlines that became open, and those (by transfer id and step) that no longer are."""

    opened: list[Deadline]
    closed: list[tuple[int, str]]

    def add(self, more: DeadlineChanges) -> None:
        """Add ``more``, which happened after these."""
        self.opened.extend(more.opened)
        self.closed.extend(more.closed)


def load(connection: sa.Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Transfer]:
    """Return the stored transfers among ``keys`` (flow, key)."""
    digests = [digest(flow, key) for flow, key in keys]
    rows = bulk.select_in(connection, transfers, _READ, "digest", digests)
    return {(row[1], row[2]): _transfer(row) for row in rows}


def labelled(connection: sa.Connection, labels: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Transfer]:
    """Return the stored transfers that alerts name by ``labels`` (flow, key), in which long keys are cut."""
    wanted = list(labels)
    found = load(connection, wanted)
    for flow, label in wanted:
        if (flow, label) not in found and bounds.beginning(label) is not None:
            for one in select(connection, Filter(flow=flow, key=label), limit=1):
                found[flow, label] = one
    return found


def load_ids(connection: sa.Connection, ids: Iterable[int]) -> list[Transfer]:
    """Return the stored transfers with these ids, ascending."""
    rows = bulk.select_in(connection, transfers, _READ, "id", sorted(ids))
    return [_transfer(row) for row in sorted(rows, key=itemgetter(0))]


def save(connection: sa.Connection, changed: Sequence[tuple[Transfer, Transfer]]) -> DeadlineChanges:
    """Store transfers given as (before, after) with the deadlines that open and close between the two.

    A transfer that lost its last event is deleted. Returns the changed deadlines, for the scheduler after the commit.
    """
    opened: list[Deadline] = []
    closed: list[tuple[int, str]] = []
    new: list[tuple[Any, ...]] = []
    known: list[tuple[Any, ...]] = []
    gone: list[tuple[int]] = []
    next_id = connection.execute(sa.select(sa.func.coalesce(sa.func.max(transfers.c.id), 0))).scalar_one() + 1
    for before, after in changed:
        number = before.id
        if not after.occurrences and not after.raised:
            if number:
                gone.append((number,))
                closed += [(number, step) for step in before.deadlines]
            continue
        rows = known if number else new
        if not number:
            number, next_id = next_id, next_id + 1
        for step, (network, due_at) in after.deadlines.items():
            if before.deadlines.get(step) != (network, due_at):
                opened.append(Deadline(number, step, network, due_at))
        closed += [(number, step) for step in before.deadlines if step not in after.deadlines]
        rows.append(
            (
                number,
                digest(after.flow, after.key),
                after.flow,
                after.key,
                after.status,
                after.origin,
                after.destination,
                after.opened_at,
                _last_at(after),
                int(any(r.ends_at is None for r in after.raised.values())) if after.raised else 0,
                _State.encoded(after),
            )
        )
    transfer_totals.change(connection, changed)
    bulk.insert(connection, transfers, _COLUMNS, new)
    bulk.upsert(connection, transfers, _COLUMNS, known)
    bulk.delete(connection, transfers, ("id",), gone)
    transfer_index.note(connection, [row[0] for row in (*new, *known, *gone)])
    bulk.delete(connection, deadlines, ("transfer_id", "step"), closed)
    bulk.upsert(
        connection,
        deadlines,
        ("transfer_id", "step", "network", "due_at"),
        [(d.transfer_id, d.step, d.network, d.due_at) for d in opened],
    )
    return DeadlineChanges(opened, closed)


def _last_at(transfer: Transfer) -> int:
    """Return the chain time of the newest event of ``transfer``, or of the last end of an alert if it has no events."""
    if transfer.occurrences:
        return transfer.occurrences[-1].timestamp
    return max((one.ends_at or 0 for one in transfer.raised.values()), default=0)


def due_before(connection: sa.Connection, network: str, before: int, limit: int) -> list[Deadline]:
    """Return up to ``limit`` open deadlines on ``network`` due strictly before chain time ``before``, earliest first."""
    statement = (
        sa.select(deadlines.c.transfer_id, deadlines.c.step, deadlines.c.network, deadlines.c.due_at)
        .where(deadlines.c.network == network, deadlines.c.due_at < before)
        .order_by(deadlines.c.due_at, deadlines.c.transfer_id, deadlines.c.step)
        .limit(limit)
    )
    return [Deadline(*row) for row in connection.execute(statement)]


def due_after(
    connection: sa.Connection, position: tuple[int, int, str], until: int, limit: int
) -> list[Deadline]:
    """Return up to ``limit`` open deadlines on any network due up to chain time ``until``.

    In the order of (due_at, transfer_id, step), and in that order after ``position``.
    """
    order = (deadlines.c.due_at, deadlines.c.transfer_id, deadlines.c.step)
    statement = (
        sa.select(deadlines.c.transfer_id, deadlines.c.step, deadlines.c.network, deadlines.c.due_at)
        .where(deadlines.c.due_at >= position[0], deadlines.c.due_at <= until)
        .where(sa.tuple_(*order) > sa.tuple_(*position))
        .order_by(*order)
        .limit(limit)
    )
    return [Deadline(*row) for row in connection.execute(statement)]


def discard(connection: sa.Connection, rows: Sequence[Deadline]) -> None:
    """Delete these deadlines."""
    bulk.delete(connection, deadlines, ("transfer_id", "step"), [(d.transfer_id, d.step) for d in rows])


def waiting_on(connection: sa.Connection, network: str, limit: int) -> list[Transfer]:
    """Return the transfers of the ``limit`` earliest open deadlines on ``network``."""
    found = due_before(connection, network, 2**62, limit)
    return load_ids(connection, {d.transfer_id for d in found})


def page(
    connection: sa.Connection, after: int, limit: int, flows: Sequence[str] | None = None
) -> list[Transfer]:
    """Return up to ``limit`` transfers, of ``flows`` only where they are given, with ids above ``after``, ascending."""
    statement = sa.select(*(transfers.c[name] for name in _READ)).where(transfers.c.id > after)
    if flows is not None:
        statement = statement.where(transfers.c.flow.in_(flows))
    return [_transfer(row) for row in connection.execute(statement.order_by(transfers.c.id).limit(limit))]


def flow_names(connection: sa.Connection) -> list[str]:
    """Return the names of the flows of which transfers are stored."""
    return list(connection.execute(sa.select(transfers.c.flow).distinct()).scalars())


def forget_events(connection: sa.Connection, some: Sequence[Transfer]) -> None:
    """Store these transfers without their events, which are found again later; their alerts and deadlines stay."""
    rows = [(_State.encoded(msgspec.structs.replace(t, occurrences=(), searched=False)), t.id) for t in some]
    bulk.change(connection, "UPDATE transfers SET state = ? WHERE id = ?", rows)


def select(connection: sa.Connection, wanted: Filter, limit: int | None = None) -> Iterator[Transfer]:
    """Yield the transfers that ``wanted`` describes, newest first."""
    return map(_transfer, find(connection, wanted, _READ, limit))


def counts(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """Return how many transfers there are, by flow and status."""
    return transfer_totals.by_status(transfer_totals.totals(connection).items())


def oldest_in_flight(connection: sa.Connection) -> dict[tuple[str, str, str], int]:
    """Return by flow, origin and destination when the oldest transfer that is open or overdue was opened (chain time)."""
    places = [sa.func.coalesce(column, "") for column in (transfers.c.origin, transfers.c.destination)]
    statement = (
        sa.select(transfers.c.flow, *places, sa.func.min(transfers.c.opened_at))
        .where(*_IN_FLIGHT, transfers.c.opened_at.is_not(None))
        .group_by(transfers.c.flow, *places)
    )
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(statement)}


class InFlight(NamedTuple):
    """A transfer that is open or overdue, of which only what is wanted is decoded: there may be many."""

    flow: str
    origin: str
    destination: str
    opened_at: int | None
    state: bytes

    def first_event(self, fact: str) -> Occurrence | None:
        """Return its first event that has ``fact``; None where none has."""
        events = map(occurrences.decode, _decode_events(self.state).occurrences)
        return next((event for event in events if fact in event.facts), None)


def in_flight(connection: sa.Connection) -> Iterator[InFlight]:
    """Yield the transfers that are open or overdue; places are empty where they are not known."""
    t = transfers.c
    statement = sa.select(t.flow, t.origin, t.destination, t.opened_at, t.state).where(*_IN_FLIGHT)
    for flow, origin, destination, opened_at, state in connection.execute(
        statement.execution_options(yield_per=1000)
    ):
        yield InFlight(flow, origin or "", destination or "", opened_at, state)


def alive_since(connection: sa.Connection, flow: str, since: int) -> Iterator[Transfer]:
    """Yield the transfers of ``flow`` that may have been under way after ``since`` (chain time): others ended before."""
    t = transfers.c
    read = sa.select(*(t[name] for name in _READ)).where(t.flow == flow)
    for wanted in _alive_since(since):
        for row in connection.execute(read.where(*wanted).execution_options(yield_per=1000)):
            yield _transfer(row)


def has_alive_since(connection: sa.Connection, flow: str, since: int, more_than: int) -> bool:
    """Return whether `alive_since` yields more transfers than a number."""
    t = transfers.c
    found = 0
    for wanted in _alive_since(since):
        some = sa.select(t.id).where(t.flow == flow, *wanted).limit(more_than + 1).subquery()
        found += connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
    return found > more_than


def _alive_since(since: int) -> Sequence[tuple[sa.ColumnElement[bool] | sa.TextClause, ...]]:
    """Return the conditions on transfers that are not finished, and on those that have ended after ``since``."""
    t = transfers.c
    unfinished = (
        t.status != sa.literal_column("'complete'"),  # as the index has it
        t.status.in_(["open", "overdue", "orphan", DISPUTED, RESOLVED]),
    )
    return unfinished, (PRUNABLE, t.status == "complete", t.last_at > since)


def newest_unopened(connection: sa.Connection, flow: str) -> dict[str, int]:
    """Return by network the chain time of the newest event of transfers of ``flow`` that nothing opens so far."""
    t = transfers.c
    unfinished = (t.status != sa.literal_column("'complete'"), t.status.in_(["open", "orphan"]))
    newest = sa.select(sa.func.coalesce(t.destination, ""), sa.func.max(t.last_at))
    wanted = newest.where(t.flow == flow, t.opened_at.is_(None), *unfinished).group_by(t.destination)
    return {row[0]: row[1] for row in connection.execute(wanted)}


_IN_FLIGHT = (
    transfers.c.status != sa.literal_column("'complete'"),  # as the index has it
    transfers.c.status.in_(["open", "overdue"]),
)


@lru_cache(maxsize=16_384)  # what was just loaded is saved next
def digest(flow: str, key: str) -> bytes:
    """Return the 16 bytes by which a transfer is found."""
    return blake2b(f"{flow}\0{key}".encode(), digest_size=16).digest()


class _State(msgspec.Struct, array_like=True):
    """What of a transfer is stored as MessagePack."""

    occurrences: tuple[Occurrence, ...]
    searched: bool
    raised: dict[str, Raised]
    deadlines: dict[str, tuple[str, int]]

    @classmethod
    def encoded(cls, transfer: Transfer) -> bytes:
        """Return the state of ``transfer``."""
        packed = tuple(map(occurrences.packed, transfer.occurrences))
        return _encode(cls(packed, transfer.searched, transfer.raised, transfer.deadlines))


class _Events(msgspec.Struct, array_like=True):
    """The beginning of a `_State`, with its events as they are stored."""

    occurrences: tuple[msgspec.Raw, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode_events = msgspec.msgpack.Decoder(_Events).decode
_decode = msgspec.msgpack.Decoder(_State, ext_hook=occurrences.unpack).decode


def _transfer(row: Any) -> Transfer:
    number, flow, key, status, origin, destination, opened_at, state = row
    s = _decode(state)
    return Transfer(
        flow,
        key,
        number,
        status,
        origin,
        destination,
        opened_at,
        s.occurrences,
        s.searched,
        s.raised,
        s.deadlines,
    )
