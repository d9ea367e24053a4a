"""Many rows at once, on both databases, below and above the size from which PostgreSQL copies."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from chainwatch.model import Occurrence, Transfer
from chainwatch.store import bulk, transfers
from chainwatch.store.bulk import COPY_FROM, IN_LIST_MAX
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.tables import deadlines, headers, logs

COLUMNS = ("transfer_id", "step", "network", "due_at")
sizes = pytest.mark.parametrize("size", [1, COPY_FROM - 1, COPY_FROM, 2 * COPY_FROM])


def rows(size: int, due_at: int = 0) -> list[tuple[int, str, str, int]]:
    return [(number, "fill", "alpha", due_at) for number in range(size)]


def stored(connection: sa.Connection) -> list[tuple[int, str, str, int]]:
    found = connection.execute(sa.select(deadlines).order_by(deadlines.c.transfer_id, deadlines.c.step))
    return [(n, step, network, due_at) for n, step, network, due_at in found]


@sizes
def test_rows_are_stored_and_nothing_else_happens_without_any(connection: sa.Connection, size: int) -> None:
    bulk.insert(connection, deadlines, COLUMNS, rows(size))
    bulk.insert(connection, deadlines, COLUMNS, [])
    bulk.upsert(connection, deadlines, COLUMNS, [])
    bulk.delete(connection, deadlines, ("transfer_id",), [])

    assert stored(connection) == rows(size)


@sizes
def test_inserting_leaves_rows_that_are_there_as_they_are(connection: sa.Connection, size: int) -> None:
    bulk.insert(connection, deadlines, COLUMNS, rows(1, due_at=5))

    bulk.insert(connection, deadlines, COLUMNS, rows(size, due_at=9))

    assert stored(connection) == [*rows(1, due_at=5), *rows(size, due_at=9)[1:]]


@sizes
def test_upserting_replaces_them(connection: sa.Connection, size: int) -> None:
    bulk.upsert(connection, deadlines, COLUMNS, rows(size, due_at=5))

    bulk.upsert(connection, deadlines, COLUMNS, rows(size, due_at=9))

    assert stored(connection) == rows(size, due_at=9)


@sizes
def test_rows_are_deleted_by_the_columns_given(connection: sa.Connection, size: int) -> None:
    bulk.insert(connection, deadlines, COLUMNS, [*rows(size), (0, "settle", "alpha", 7)])

    bulk.delete(connection, deadlines, ("transfer_id", "step"), [(n, "fill") for n in range(size)])

    assert stored(connection) == [(0, "settle", "alpha", 7)]


def test_any_number_of_values_can_be_looked_for(connection: sa.Connection) -> None:
    many = 2 * IN_LIST_MAX + 5
    bulk.insert(connection, deadlines, COLUMNS, rows(many))

    found = bulk.select_in(connection, deadlines, ("transfer_id",), "transfer_id", list(range(-5, many + 5)))

    assert sorted(n for (n,) in found) == list(range(many))
    assert list(bulk.select_in(connection, deadlines, ("step",), "transfer_id", [])) == []


def test_bytes_of_any_length_can_be_looked_for(connection: sa.Connection) -> None:
    values = [b"", b"a", b"bb", b"\x00"]
    columns = ("id", "timestamp", "contract", "tx_hash", "address", "topics", "data", "error")
    bulk.insert(
        connection, logs, columns, [(n, 0, "c", b"", b"", b"", v, None) for n, v in enumerate(values)]
    )

    for some in ([b""], [b"a", b"\x00"], [b"a", b"bb"], values, [b"c"]):
        found = bulk.select_in(connection, logs, ("data",), "data", some)
        assert sorted(bytes(row[0]) for row in found) == sorted(set(some) & set(values))


def test_thousands_of_digests_are_looked_for_in_one_piece(connection: sa.Connection) -> None:
    stored = [Transfer("bridge", str(n), status="complete") for n in range(IN_LIST_MAX + 10)]
    made = Occurrence("sent", "alpha", 1, 0, 1, bytes(32), {})
    changed = [(t, msgspec.structs.replace(t, occurrences=(made,))) for t in stored]
    transfers.save(connection, changed)
    unknown = [("bridge", f"x{n}") for n in range(IN_LIST_MAX)]

    found = transfers.load(connection, [*((t.flow, t.key) for t in stored), *unknown])

    assert found.keys() == {(t.flow, t.key) for t in stored}
    assert transfers.load(connection, unknown) == {}
    assert transfers.load(connection, []) == {}


@sizes
def test_bytes_nulls_text_and_the_largest_integers_come_back_as_they_were(
    connection: sa.Connection, size: int
) -> None:
    columns = ("id", "timestamp", "contract", "tx_hash", "address", "topics", "data", "error")
    given = [
        (2**63 - 1 - n, 2**62, "brücke ☃", bytes(range(32)), b"", b"\x00\xff" * 64, b"\x00", error)
        for n, error in zip(range(size), [None, "a\tb\n\\N"] * size, strict=False)
    ]

    bulk.insert(connection, logs, columns, given)

    found = connection.execute(sa.select(logs).order_by(logs.c.id.desc())).all()
    assert [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in found] == given


def test_several_tables_can_be_filled_in_turn_in_one_transaction(connection: sa.Connection) -> None:
    for turn in range(2):
        bulk.insert(connection, deadlines, COLUMNS, rows(2 * COPY_FROM))
        columns = ("network_id", "number", "hash", "parent_hash", "timestamp")
        bulk.upsert(connection, headers, columns, [(1, n, b"h", b"p", turn) for n in range(2 * COPY_FROM)])

    assert len(stored(connection)) == 2 * COPY_FROM
    assert set(connection.execute(sa.select(headers.c.timestamp)).scalars()) == {1}


@sizes
async def test_a_value_that_the_database_refuses_is_an_error_of_the_store_and_of_that_job_alone(
    database: Database, size: int
) -> None:
    """Also where the rows go past SQLAlchemy, through the driver's COPY."""

    def bad(connection: sa.Connection) -> None:
        bulk.insert(connection, deadlines, COLUMNS, [*rows(size), (size, "fill", None, 0)])

    with pytest.raises(StoreError) as refused:
        await database.write(bad)
    await database.write(lambda c: bulk.insert(c, deadlines, COLUMNS, rows(size)))

    assert isinstance(refused.value.__cause__, DBAPIError)
    with database.reading() as connection:
        assert stored(connection) == rows(size)
