"""The index of transfers as rows: what changed, by what transfers are found, and how long their steps took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.index_tables import step_counts, transfer_changes, transfer_index, transfer_terms
from chainwatch.store.tables import transfers

HOUR = 3_600
_EXACT = 6
"""Lengths of time keep so many binary digits: below 64 seconds they are exact, above to one part in 32."""
_KEY_BYTES = 24
"""How much of a key's beginning is a term."""
_TAIL = 8
"""How many bytes of the end of a hash or an address are a term."""


class Route(NamedTuple):
    """Under what the steps of a transfer are counted: the first second of the hour in which it opened, and its route."""

    hour: int
    flow: str
    origin: str
    destination: str


class Counted(NamedTuple):
    """A step that was counted, empty for the whole transfer. ``late``: 1 where it came after its deadline."""

    step: str
    seconds: int
    late: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What the index has of one transfer. ``route`` is None where no step is counted."""

    terms: frozenset[bytes] = frozenset()
    route: Route | None = None
    counted: tuple[Counted, ...] = ()


class Update(NamedTuple):
    """The entries that transfers have now, after their changes up to ``last``."""

    last: int
    is_full: bool
    entries: Mapping[int, Entry]

    def save(self, connection: sa.Connection) -> None:
        """Store the entries; note that these changes are indexed.

        What they replace is read here: a commit of which the answer was lost is repeated, and counts nothing twice.
        """
        replaced = self._replaced(connection)
        counts: Counter[tuple[str | int, ...]] = Counter()
        late: Counter[tuple[str | int, ...]] = Counter()
        for before, after in replaced.values():
            for sign, entry in ((-1, before), (1, after)):
                for step, seconds, is_late in entry.counted:
                    key = (*(entry.route or ()), step, seconds)
                    counts[key] += sign
                    late[key] += sign * is_late
        changed = replaced.items()
        bulk.delete(
            connection,
            transfer_terms,
            ("term", "transfer_id"),
            [(term, number) for number, (old, new) in changed for term in sorted(old.terms - new.terms)],
        )
        bulk.insert(
            connection,
            transfer_terms,
            ("term", "transfer_id"),
            sorted((term, number) for number, (old, new) in changed for term in new.terms - old.terms),
        )
        rows = [(*key, number, late[key]) for key, number in sorted(counts.items()) if number or late[key]]
        bulk.change(connection, _ADD, rows)
        bulk.delete(
            connection, transfer_index, ("transfer_id",), [(n,) for n, (_, new) in changed if new == Entry()]
        )
        bulk.upsert(
            connection,
            transfer_index,
            ("transfer_id", "content"),
            [(number, _encode(new)) for number, (_, new) in changed if new != Entry()],
        )
        connection.execute(sa.delete(transfer_changes).where(transfer_changes.c.seq <= self.last))

    def _replaced(self, connection: sa.Connection) -> dict[int, tuple[Entry, Entry]]:
        """Return the entries before and after, but for transfers that were deleted since ``entries`` were made.

        Those are forgotten already (see `forget`), or their deletion is a later change.
        """
        ids = list(self.entries)
        before = entries(connection, ids)
        present = {number for (number,) in bulk.select_in(connection, transfers, ("id",), "id", ids)}
        return {
            number: (before.get(number, Entry()), after)
            for number, after in self.entries.items()
            if number in present or after == Entry()
        }


_ADD = (
    "INSERT INTO step_counts (hour, flow, origin, destination, step, seconds, number, late) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hour, flow, origin, destination, step, seconds) DO UPDATE "
    "SET number = step_counts.number + excluded.number, late = step_counts.late + excluded.late"
)


class StepCount(NamedTuple):
    """How often a step took so many ``seconds``, of the transfers that opened in the period that begins ``at``."""

    at: int
    flow: str
    origin: str
    destination: str
    step: str
    seconds: int
    number: int
    late: int


def note(connection: sa.Connection, ids: Iterable[int]) -> None:
    """Note that transfers changed."""
    changed = list(ids)
    if connection.dialect.name == "sqlite":  # in one statement: this is done for each transfer that is judged
        connection.exec_driver_sql(_NOTE, (msgspec.json.encode(changed).decode(),))
    else:
        bulk.insert(connection, transfer_changes, ("transfer_id",), [(number,) for number in changed])


_NOTE = "INSERT INTO transfer_changes (transfer_id) SELECT value FROM json_each(?)"


def changes(connection: sa.Connection, limit: int) -> list[tuple[int, int]]:
    """Return up to ``limit`` changes that are not indexed yet, in order: each its number and its transfer's id."""
    statement = sa.select(transfer_changes).order_by(transfer_changes.c.seq).limit(limit)
    return [(row.seq, row.transfer_id) for row in connection.execute(statement)]


def last_change(connection: sa.Connection) -> int:
    """Return the number of the newest change that is not indexed yet; 0 for none."""
    newest = sa.select(sa.func.max(transfer_changes.c.seq))
    return connection.execute(newest).scalar() or 0


def changed_since(connection: sa.Connection, change: int) -> set[int]:
    """Return the ids of the transfers that changed after ``change``, in this transaction."""
    later = sa.select(transfer_changes.c.transfer_id).where(transfer_changes.c.seq > change)
    return set(connection.execute(later).scalars())


def waiting(connection: sa.Connection) -> int:
    """Return how many changes are not indexed yet, at most."""
    ends = sa.select(sa.func.min(transfer_changes.c.seq), sa.func.max(transfer_changes.c.seq))
    first, last = connection.execute(ends).one()
    return 0 if last is None else int(last - first + 1)


def entries(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Entry]:
    """Return what the index has of these transfers, where it has any."""
    rows = bulk.select_in(connection, transfer_index, ("transfer_id", "content"), "transfer_id", list(ids))
    return {number: _decode(content) for number, content in rows}


def forget(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Find these transfers no more, as they were deleted for their age; how long their steps took stays known."""
    known = entries(connection, ids)
    terms = [(term, number) for number, entry in known.items() for term in sorted(entry.terms)]
    bulk.delete(connection, transfer_terms, ("term", "transfer_id"), terms)
    bulk.delete(connection, transfer_index, ("transfer_id",), [(number,) for number in known])


def prune(connection: sa.Connection, before: int, limit: int) -> int:
    """Delete how long steps took of transfers that opened in hours before ``before``; return how many rows."""
    if limit <= 0:
        return 0
    hours = sa.select(step_counts.c.hour).where(step_counts.c.hour < before - HOUR)
    first = connection.execute(hours.order_by(step_counts.c.hour).limit(1)).scalar()
    if first is None:
        return 0
    return connection.execute(sa.delete(step_counts).where(step_counts.c.hour == first)).rowcount


def counts(
    connection: sa.Connection,
    since: int,
    until: int,
    period: int,
    *,
    flow: str | None = None,
    step: str | None = None,
) -> Iterator[StepCount]:
    """Yield how often steps took how long, of transfers that opened in the hours from ``since`` until before ``until``.

    By periods of ``period`` seconds (whole hours) from ``since`` on, in the order of `StepCount`; of one flow and one
    step where these are given.
    """
    c = step_counts.c
    number = (c.hour - since) // period
    keys = (number.label("at"), c.flow, c.origin, c.destination, c.step, c.seconds)
    statement = (
        sa.select(*keys, sa.func.sum(c.number), sa.func.sum(c.late))
        .where(c.hour >= since, c.hour < until)
        .where(
            *([c.flow == flow] if flow is not None else []), *([c.step == step] if step is not None else [])
        )
        .group_by(*keys)
        .order_by(*keys)
    )
    for row in connection.execute(statement):
        yield StepCount(since + int(row[0]) * period, *row[1:6], int(row[6]), int(row[7]))


def rounded(seconds: int) -> int:
    """Return a length of time as it is counted: exact below 64 seconds, else to one part in 32."""
    size = abs(seconds)
    shift = size.bit_length() - _EXACT
    if shift <= 0:
        return seconds
    middle = (size >> shift << shift) + (1 << shift) // 2
    return middle if seconds > 0 else -middle


def key_term(key: str) -> bytes:
    """Return the term of a key, or of its beginning: terms of keys begin with those of their beginnings."""
    return b"k" + key.encode("utf-8", "replace").lower()[:_KEY_BYTES]


def transaction_term(tx_hash: bytes) -> bytes:
    """Return the term of a transaction."""
    return b"t" + tx_hash[-_TAIL:]


def address_term(address: bytes) -> bytes:
    """Return the term of an address of 20 bytes."""
    return b"a" + address[-_TAIL:]


def ids_with_beginning(connection: sa.Connection, term: bytes, limit: int) -> list[int]:
    """Return the ids of up to ``limit`` transfers with a term that begins with ``term``."""
    end = term + b"\xff" * _KEY_BYTES
    within = (transfer_terms.c.term >= term, transfer_terms.c.term < end)
    return list(
        connection.execute(sa.select(transfer_terms.c.transfer_id).where(*within).limit(limit)).scalars()
    )


def ids_with(connection: sa.Connection, term: bytes, before: int | None, limit: int) -> list[int]:
    """Return the ids of the newest ``limit`` transfers with ``term``, of those with ids less than ``before``."""
    statement = sa.select(transfer_terms.c.transfer_id).where(transfer_terms.c.term == term)
    if before is not None:
        statement = statement.where(transfer_terms.c.transfer_id < before)
    return list(
        connection.execute(statement.order_by(transfer_terms.c.transfer_id.desc()).limit(limit)).scalars()
    )


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Entry).decode
