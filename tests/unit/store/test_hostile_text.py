"""Text from outside that a database refuses: every column of text takes it, by every way in, and gives it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
import sqlalchemy as sa

from chainwatch.model import PackedLogs
from chainwatch.store import blocks, bulk, schema
from chainwatch.store.bulk import COPY_FROM
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.packed_logs import pack_logs
from chainwatch.store.tables import logs, network_states, transfers

HOSTILE = {
    "a zero byte": "a\0b",
    "zero bytes alone": "\0\0",
    "the mark of escapes": "\x1a0\x1a1 \x1a\x1a",
    "what an escape looks like": "a\x1a0b \\x00 \\udcff",
    "separators of lines": "\u2028\u2029\x85\r\n",
    "marks of direction": "\u202egnp.exe\u200f\u061c",
    "beyond the basic plane": "\U0010ffff\ufffe\ufeff",
    "quotes": "'\"\\;--%s ? :x {}\t\\N",
    "a million characters": "x\0" * 500_000,
    "nothing": "",
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
tables = pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)


def indexed(table: sa.Table) -> set[str]:
    """The columns that a unique constraint or index holds."""
    held = {column.name for index in table.indexes for column in index.columns}
    held |= {c.name for one in table.constraints if isinstance(one, sa.UniqueConstraint) for c in one.columns}
    return held | {column.name for column in table.primary_key.columns}


def row(table: sa.Table, text: str, number: int) -> dict[str, object]:
    """A row with ``text`` in each column of text, cut where that is indexed, and distinguished from others by ``number``."""
    held = indexed(table)

    def value(column: sa.Column[object]) -> object:
        if isinstance(column.type, sa.Text):
            return f"{text[:100]}{number}" if column.name in held else text
        if isinstance(column.type, sa.Boolean):
            return number % 2 == 0
        return b"%d" % number if isinstance(column.type, sa.LargeBinary) else number

    return {column.name: value(column) for column in table.columns}


def in_order(table: sa.Table, rows: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    keys = [column.name for column in table.primary_key.columns]
    plain = [{k: bytes(v) if isinstance(v, memoryview) else v for k, v in one.items()} for one in rows]
    return sorted(plain, key=lambda one: [str(one[key]) for key in keys])


@pytest.mark.slow
@tables
def test_every_table_takes_any_text_by_every_way_and_gives_it_back(
    connection: sa.Connection, table: sa.Table
) -> None:
    texts = [text[:10_000] for text in HOSTILE.values()]
    given = [row(table, text, n) for n, text in enumerate(texts * (2 * COPY_FROM // len(texts)), 1)]
    columns = list(given[0])
    values = [tuple(one.values()) for one in given]
    connection.execute(sa.delete(table))
    connection.execute(sa.insert(table), given[: len(texts)])
    bulk.upsert(connection, table, columns, values[: 2 * len(texts)])
    bulk.insert(connection, table, columns, values[2 * len(texts) :])

    found = connection.execute(sa.select(table))
    assert in_order(table, map(sa.Row._asdict, found)) == in_order(table, given)
    names = [c.name for c in table.primary_key.columns]
    for name in names:
        rows = bulk.select_in(connection, table, names, name, [one[name] for one in given])
        assert {tuple(one) for one in rows} == {tuple(one[n] for n in names) for one in given}
        equal = sa.select(sa.func.count()).select_from(table).where(table.c[name] == given[0][name])
        assert connection.execute(equal).scalar_one() == 1


@hostile
def test_packed_logs_take_any_text(database: Database, text: str) -> None:
    if database.dialect != "postgresql":
        pytest.skip("logs are packed for PostgreSQL")
    given = (1 << 20, 5, text, b"t" * 32, b"a" * 20, b"", b"", text)
    packed = pack_logs(1, [given])
    with database.transaction() as connection:
        assert isinstance(packed, PackedLogs)
        blocks.save_logs(connection, 1, packed)

    with database.reading() as connection:
        assert connection.execute(sa.select(logs.c.contract, logs.c.error)).one() == (text, text)


def test_half_a_pair_of_surrogates_is_stored_as_its_escape(connection: sa.Connection) -> None:
    """It is no text, and would break whoever reads it."""
    state = blocks.NetworkState("alpha", "blind", 1, 1, "odd \ud800 \udcff", 1.0)
    blocks.save_states(connection, [state])

    assert blocks.states(connection)["alpha"].error == r"odd \ud800 \udcff"


def test_different_texts_stay_different(connection: sa.Connection) -> None:
    texts = ["a\0", "a\x1a0", "a\x1a1", "a\x1a", "a\x1a\0", "a\x1a10", "a"]
    columns = ("name", "state", "updated_at")
    bulk.upsert(connection, network_states, columns, [(text, "live", 1.0) for text in texts])

    assert sorted(connection.execute(sa.select(network_states.c.name)).scalars()) == sorted(texts)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**100], ids=["over", "under", "long"])
@pytest.mark.parametrize("size", [1, COPY_FROM])
async def test_a_number_beyond_64_bits_is_an_error_of_the_store_and_of_that_job_alone(
    database: Database, number: int, size: int
) -> None:
    def bad(connection: sa.Connection) -> None:
        rows = [(f"n{place}", "live", number, 1.0) for place in range(size)]
        bulk.insert(connection, network_states, ("name", "state", "head", "updated_at"), rows)

    with pytest.raises(StoreError, match="64 bits"):
        await database.write(bad)
    with pytest.raises(StoreError, match="64 bits"), database.reading() as connection:
        connection.execute(sa.select(transfers.c.id).where(transfers.c.id == number)).all()
    with pytest.raises(StoreError, match="64 bits"), database.reading() as connection:
        list(bulk.select_in(connection, transfers, ("id",), "id", [number, 1]))

    await database.write(lambda c: blocks.save_states(c, [blocks.NetworkState("n", "live", 1, 1, None, 1.0)]))


async def test_what_is_not_a_number_is_no_time(database: Database) -> None:
    """SQLite would take it for a missing value."""
    state = blocks.NetworkState("alpha", "live", 1, 1, None, float("nan"))
    with pytest.raises(StoreError, match="not a number"):
        await database.write(lambda c: blocks.save_states(c, [state]))
