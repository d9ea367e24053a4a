"""Engines on SQLite and PostgreSQL: how each driver connects, sends values, and begins writing.

One process writes at a time, on either database: SQLite by its own lock, PostgreSQL by an advisory lock that every writing
transaction takes first. So what a transaction has read is still true when it writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import NoSuchModuleError, OperationalError

from chainwatch.store import texts
from chainwatch.store.errors import StoreError

BUSY_TIMEOUT = 15.0
"""Seconds that a writer waits for another process's transaction before it gives up."""
BUSY_STEP = 0.5
"""Seconds after which a waiting writer checks whether the database is being closed: then it stops waiting."""
READERS = 4
WRITERS_LOCK = 0x636861696E77 + 1
"""The key of the advisory lock of PostgreSQL that a writing transaction holds; `claim` has the one before it."""

_LOCK_NOT_AVAILABLE = "55P03"
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 10, "keepalives_count": 3}
"""Seconds and tries after which either side gives up a peer that does not answer (power cut, network)."""


def new_engine(url: sa.URL, *, writer: bool, durable: bool = True, pooled: bool = True) -> sa.Engine:
    """Return an engine for one writer or several readers, at a ``url`` from `parse_url`; text is escaped by `texts`.

    Raises ``StoreError`` where the driver is not installed.
    """
    sqlite = url.get_backend_name() == "sqlite"
    options: dict[str, Any] = {
        "hide_parameters": True,  # a statement's values have no place in errors and logs
        "poolclass": sa.QueuePool if pooled else sa.NullPool,
    }
    if pooled:
        options |= {"pool_size": 1 if writer else READERS, "max_overflow": 0}
    options |= _for_sqlite() if sqlite else _for_postgres(writer)
    try:
        engine = sa.create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError("PostgreSQL needs its driver: install chainwatch[postgres]") from error
    if sqlite:
        _set_up_sqlite(engine, writer=writer, durable=durable)
    else:
        _set_up_postgres(engine, durable=durable)
    _escape_values(engine)
    return engine


def begin_patiently(engine: sa.Engine, is_closing: Callable[[], bool]) -> None:
    """Make each transaction of the writer ``engine`` wait for those of other processes, and theirs for its own.

    The wait is made in steps, since one wait cannot be interrupted; after ``BUSY_TIMEOUT`` the driver's error is raised.
    """
    begin = _begin_sqlite if engine.dialect.name == "sqlite" else _begin_postgres

    @event.listens_for(engine, "begin")
    def wait(connection: sa.Connection) -> None:
        until = time.monotonic() + BUSY_TIMEOUT
        while not begin(connection):
            if is_closing() or time.monotonic() >= until:
                raise StoreError(
                    "cannot write: database is locked: another process is writing to it; stop that one or wait",
                    transient=True,
                )


def _begin_sqlite(connection: sa.Connection) -> bool:
    """Begin at once as a writer. The driver's BEGIN is deferred: it would fail when another process writes meanwhile."""
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _begin_postgres(connection: sa.Connection) -> bool:
    """Take the lock, which ends with the transaction, or with the connection if its process dies."""
    try:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        connection.connection.rollback()  # a retry needs a transaction that has not failed
        return False
    return True


def _for_sqlite() -> dict[str, Any]:
    return {
        "connect_args": {
            "check_same_thread": False,
            "timeout": BUSY_TIMEOUT,
            "isolation_level": None,
        }
    }


def _for_postgres(writer: bool) -> dict[str, Any]:
    settings = {f"tcp_{name}": str(value) for name, value in _KEEPALIVES.items()}
    if writer:
        settings["lock_timeout"] = f"{int(BUSY_STEP * 1000)}ms"
    else:
        settings["default_transaction_read_only"] = "on"
    options: dict[str, Any] = {
        "pool_pre_ping": True,
        "connect_args": {
            "connect_timeout": 10,
            "application_name": "chainwatch",
            "client_encoding": "utf8",  # the encoding of our values, whatever the server or the environment says
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            **_KEEPALIVES,
        },
    }
    if not writer:
        options["isolation_level"] = "REPEATABLE READ"
    return options


def _set_up_sqlite(engine: sa.Engine, *, writer: bool, durable: bool) -> None:
    pragmas = ["PRAGMA journal_mode=WAL"] if writer else ["PRAGMA query_only=ON"]
    pragmas += [
        f"PRAGMA synchronous={'FULL' if durable else 'OFF'}",
        f"PRAGMA cache_size={-32768 if writer else -8192}",
        "PRAGMA temp_store=MEMORY",
        f"PRAGMA wal_autocheckpoint={4_000 if durable else 40_000}",
    ]
    if writer:
        pragmas.append(f"PRAGMA busy_timeout={int(BUSY_STEP * 1000)}")

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.text_factory = _text
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()


def _text(stored: bytes) -> str:
    return texts.unescaped(stored.decode())


def _set_up_postgres(engine: sa.Engine, *, durable: bool) -> None:
    from psycopg.adapt import Loader

    class Unescaped(Loader):
        def load(self, data: Any) -> str:
            return texts.unescaped(str(data, "utf-8"))

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.adapters.register_loader("text", Unescaped)
        if not durable:
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = off")
            connection.commit()


def _escape_values(engine: sa.Engine) -> None:
    """Escape the values of every statement, SQLAlchemy's and our own, but not of COPY."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def escape(
        _connection: sa.Connection, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        try:
            return statement, texts.storable(values)
        except texts.Unstorable as error:
            raise StoreError(f"the database does not take {error}") from None
