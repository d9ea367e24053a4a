"""Many rows at once, the way each driver does it fastest, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from chainwatch.store.errors import StoreError
from chainwatch.store.texts import Unstorable, storable

COPY_FROM = 50
"""Rows from which on PostgreSQL's COPY through a staging table is faster than executemany."""
IN_LIST_MAX = 1000

Row = Sequence[Any]


def insert(connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert ``rows`` (values in the order of ``columns``); a row whose primary key is stored already stays as it is."""
    if connection.dialect.name == "postgresql" and len(rows) >= COPY_FROM:
        _copy_new(connection, table, columns, _rows(table, columns, rows))
    else:
        _write(connection, table, columns, rows, _unless_there(table))


def insert_packed(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], data: bytes | bytearray
) -> None:
    """As `insert`, into PostgreSQL, rows in the binary format of COPY."""
    _copy_new(connection, table, columns, lambda copy: copy.write(data))


def upsert(connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert ``rows``, or replace the given columns where the primary key is stored already."""
    keys = [c.name for c in table.primary_key.columns]
    assignments = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in keys)
    action = f"DO UPDATE SET {assignments}" if assignments else "DO NOTHING"
    _write(connection, table, columns, rows, f"ON CONFLICT ({', '.join(keys)}) {action}")


def delete(connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Delete the rows whose ``columns`` equal each of ``rows``."""
    if not rows:
        return
    mark = _mark(connection)
    where = " AND ".join(f"{c} = {mark}" for c in columns)
    connection.exec_driver_sql(f"DELETE FROM {table.name} WHERE {where}", [tuple(r) for r in rows])  # noqa: S608


def change(connection: sa.Connection, statement: str, rows: Sequence[Row]) -> None:
    """Run one of our own statements, with a ``?`` for each value, for each of ``rows``."""
    if rows:
        connection.exec_driver_sql(_marked(connection, statement), [tuple(row) for row in rows])


def change_in(connection: sa.Connection, statement: str, values: Sequence[Any]) -> None:
    """Run one of our own statements, with one ``IN ?``, for ``values``."""
    if connection.dialect.name == "postgresql":
        if values:
            connection.exec_driver_sql(statement.replace("IN ?", "= ANY(%s)"), (list(values),))
        return
    for start in range(0, len(values), IN_LIST_MAX):
        some = tuple(values[start : start + IN_LIST_MAX])
        connection.exec_driver_sql(statement.replace("IN ?", f"IN ({','.join('?' * len(some))})"), some)


def select(connection: sa.Connection, statement: str, values: Row = ()) -> Sequence[Any]:
    """Return the rows of one of our own statements, often run, with a ``?`` for each of ``values``."""
    return connection.exec_driver_sql(_marked(connection, statement), tuple(values)).all()


def scalar(connection: sa.Connection, statement: str, values: Row = ()) -> Any:
    """Return the first value of the only row."""
    return select(connection, statement, values)[0][0]


def select_in(
    connection: sa.Connection,
    table: sa.Table | str,
    columns: Sequence[str],
    key: str,
    values: Sequence[Any],
    tail: str = "",
) -> Iterator[Any]:
    """Yield the ``columns`` of the rows whose ``key`` is one of ``values``, as plain tuples.

    ``table`` may be a join; ``tail`` ends the statement, which is run for at most ``IN_LIST_MAX`` values at a time.
    """
    source = table if isinstance(table, str) else table.name
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        if values:
            array, parameters = _array(values)
            statement = f"SELECT {names} FROM {source} WHERE {key} = ANY({array}){tail}"  # noqa: S608
            yield from connection.exec_driver_sql(statement, parameters)
        return
    for start in range(0, len(values), IN_LIST_MAX):
        some = tuple(values[start : start + IN_LIST_MAX])
        marks = ",".join("?" * len(some))
        yield from connection.exec_driver_sql(
            f"SELECT {names} FROM {source} WHERE {key} IN ({marks}){tail}",  # noqa: S608
            some,
        )


def _array(values: Sequence[Any]) -> tuple[str, Row]:
    """Return the SQL for ``values`` as an array in PostgreSQL, and its parameters.

    Digests are sent as one value and split by the server: lists of bytes are slow in the driver, and to plan.
    """
    size = len(values[0]) if isinstance(values[0], bytes) else 0
    if not size or any(len(value) != size for value in values):
        return "%s", (list(values),)
    cut = "SELECT substr(%s::bytea, 1 + %s * place, %s) FROM generate_series(0, %s) AS place"
    return f"ARRAY({cut})", (b"".join(values), size, size, len(values) - 1)


def _write(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[Row], conflict: str
) -> None:
    if not rows:
        return
    if connection.dialect.name == "postgresql" and len(rows) >= COPY_FROM:
        _copy_and_merge(connection, table, columns, _rows(table, columns, rows), conflict)
        return
    names = ", ".join(columns)
    marks = ", ".join([_mark(connection)] * len(columns))
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks}) {conflict}"  # noqa: S608
    connection.exec_driver_sql(statement, [tuple(r) for r in rows])


Fill = Callable[[Any], None]
"""Writes rows to a COPY of psycopg's."""


def _rows(table: sa.Table, columns: Sequence[str], rows: Sequence[Row]) -> Fill:
    types = [_POSTGRES_TYPES[type(table.c[name].type)] for name in columns]

    def fill(copy: Any) -> None:
        copy.set_types(types)
        for row in rows:
            copy.write_row(_storable(row))

    return fill


def _storable(row: Row) -> Row:
    try:
        taken: Row = storable(tuple(row))
    except Unstorable as error:
        raise StoreError(f"the database does not take {error}") from None
    return taken


def _unless_there(table: sa.Table) -> str:
    keys = ", ".join(c.name for c in table.primary_key.columns)
    return f"ON CONFLICT ({keys}) DO NOTHING"


def _copy_new(connection: sa.Connection, table: sa.Table, columns: Sequence[str], fill: Fill) -> None:
    try:
        with connection.begin_nested():
            _copy(connection, table.name, columns, fill)
    except IntegrityError:  # some are stored already, which is rare
        _copy_and_merge(connection, table, columns, fill, _unless_there(table))


def _copy_and_merge(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], fill: Fill, conflict: str
) -> None:
    names, staging = ", ".join(columns), f"staging_{table.name}"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} (LIKE {table.name}) ON COMMIT DELETE ROWS"
    )
    _copy(connection, staging, columns, fill)
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {staging} {conflict}")  # noqa: S608
    connection.exec_driver_sql(f"TRUNCATE {staging}")


def _copy(connection: sa.Connection, into: str, columns: Sequence[str], fill: Fill) -> None:
    copying = f"COPY {into} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    driver_error = connection.dialect.loaded_dbapi.Error
    try:
        with closing(connection.connection.cursor()) as cursor, cursor.copy(copying) as copy:
            fill(copy)
    except driver_error as error:  # the driver's own, which SQLAlchemy did not wrap
        raise DBAPIError.instance(copying, None, error, driver_error) from error


_POSTGRES_TYPES: dict[type, str] = {
    sa.BigInteger: "int8",
    sa.SmallInteger: "int2",
    sa.Integer: "int4",
    sa.Boolean: "bool",
    sa.Double: "float8",
    sa.Text: "text",
    sa.LargeBinary: "bytea",
}


def _marked(connection: sa.Connection, statement: str) -> str:
    return statement.replace("?", "%s") if connection.dialect.name == "postgresql" else statement


def _mark(connection: sa.Connection) -> str:
    return "%s" if connection.dialect.name == "postgresql" else "?"
