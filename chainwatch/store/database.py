"""One database behind one writer: transactions for what must commit together, readers that never wait for it.

SQLite (WAL, ``synchronous=FULL``) by default, PostgreSQL by URL. All writes of a process go through one connection;
``Database.write`` runs them in a thread of its own and commits those that wait together in one go.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)

from chainwatch.store import drivers, schema
from chainwatch.store.errors import NoDatabase, StoreError, explain
from chainwatch.support.counters import TRANSACTION_SECONDS
from chainwatch.support.private_files import touch_private

T = TypeVar("T")

GROUP_COMMIT_MAX = 256
"""The most waiting writes that share one commit."""

_JOBS_OWN_FAULT = (DataError, IntegrityError, ProgrammingError)
"""Errors of a statement; anything else that a driver raises is a failure of the database."""

_log = logging.getLogger(__name__)


class Database:
    """An open database with an up-to-date schema.

    Use ``Database.open``; ``close`` waits for the writes that were submitted. All methods raise ``StoreError``
    for what the database itself refuses (locked, full, read-only, unreachable), with nothing half written.
    """

    def __init__(self, url: sa.URL, durable: bool) -> None:
        self._writer = drivers.new_engine(url, writer=True, durable=durable)
        self._reader = drivers.new_engine(url, writer=False, durable=durable)
        drivers.begin_patiently(self._writer, lambda: self._closed)
        if url.get_backend_name() == "sqlite":
            event.listen(self._reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        self._readers = ThreadPoolExecutor(drivers.READERS, thread_name_prefix="chainwatch-reader")
        self._write_lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hand_over_lock = threading.Lock()
        self._closed = False
        self.dialect: str = url.get_backend_name()
        self.commits = 0
        """Transactions that were committed through this object: another number means that something may have changed."""

    @classmethod
    def open(cls, url: str, *, durable: bool = True, create: bool = True) -> Database:
        """Open the database at ``url``; with ``create``, make it where it is missing, or bring its schema up to date.

        Without ``create`` nothing is changed: a database that is missing or of another version is refused.

        ``durable=False`` gives up safety against a power cut for speed: only for databases that can be made again.
        """
        parsed = parse_url(url)
        if not create and parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
            raise NoDatabase(f"there is no file {parsed.database}")
        database = cls(parsed, durable)
        try:
            with _explained("open the database"):
                if create:
                    if parsed.get_backend_name() == "sqlite":
                        _make_private(Path(str(parsed.database)))
                    schema.prepare(database._writer)
                else:
                    schema.check(database._reader)
        except StoreError:
            database.close()
            raise
        return database

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open a write transaction in the calling thread: committed at the end, rolled back on an exception."""
        with self._write_lock:
            with _timed(("write",)), _explained("write"), self._writer.begin() as connection:
                yield connection
            self.commits += 1

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a consistent read-only view in the calling thread."""
        with _timed(("read",)), _explained("read"), self._reader.begin() as connection:
            yield connection

    async def write(self, job: Callable[[sa.Connection], T]) -> T:
        """Run ``job`` in the writer thread and return its result once it is committed.

        A job that raises is undone alone; others that share its commit are not affected.
        """
        return await asyncio.wrap_future(self.hand_over(job))

    def hand_over(self, job: Callable[[sa.Connection], T]) -> Future[T]:
        """As `write`, from any thread: what is submitted first is written first."""
        future: Future[T] = Future()
        with self._hand_over_lock:
            if self._closed:
                raise StoreError("cannot write: the database is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="chainwatch-writer", daemon=True)
                self._thread.start()
            self._jobs.put(_Job(job, future))
        return future

    async def read(self, job: Callable[[sa.Connection], T]) -> T:
        """Run ``job`` on a reader connection in a thread that serves only readers (S8)."""

        def run() -> T:
            try:
                with self.reading() as connection:
                    return job(connection)
            except BaseException as error:
                bearable = _for_future(error)
                if bearable is error:
                    raise
                raise bearable from error

        if self._closed:
            raise StoreError("cannot read: the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def close(self) -> None:
        """Finish the writes that were submitted, then release every connection.

        Writes that wait for another process's lock are refused within ``BUSY_STEP`` seconds.
        """
        with self._hand_over_lock:
            self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        self._readers.shutdown(wait=False)
        self._writer.dispose()
        self._reader.dispose()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            ended = False
            while len(jobs) < GROUP_COMMIT_MAX:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                    break
                jobs.append(more)
            jobs = [j for j in jobs if j.future.set_running_or_notify_cancel()]
            if len(jobs) == 1:
                self._commit(jobs[0])
            else:
                self._commit_together(jobs)
            if ended:
                return

    def _commit(self, job: _Job) -> None:
        """Run the only job of a commit, which needs no savepoint."""
        try:
            with self.transaction() as connection:
                result = job.run(connection)
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            job.future.set_exception(_for_future(error))
        else:
            job.future.set_result(result)

    def _commit_together(self, jobs: list[_Job]) -> None:
        done: list[tuple[_Job, Any]] = []
        try:
            with self.transaction() as connection:
                for job in jobs:
                    savepoint = connection.begin_nested()
                    try:
                        result = job.run(connection)
                    except _JOBS_OWN_FAULT as error:
                        savepoint.rollback()
                        refusal = explain(error, "write")
                        refusal.__cause__ = error
                        job.future.set_exception(refusal)
                    except DBAPIError:
                        # The database failed, not this job, so all jobs do. The savepoint is not touched: SQLite
                        # may have rolled back everything, and to miss it would hide what is wrong.
                        raise
                    except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                        savepoint.rollback()
                        job.future.set_exception(_for_future(error))
                    else:
                        savepoint.commit()
                        done.append((job, result))
        except BaseException as error:  # noqa: BLE001 - raised wherever this commit is awaited
            waiting = [job for job in jobs if not job.future.done()]
            if len(jobs) > 1 and not (isinstance(error, StoreError) and error.transient):
                for job in waiting:  # perhaps only one of them is at fault
                    self._commit_together([job])
                return
            for job in waiting:
                job.future.set_exception(_for_future(error))
            return
        for job, result in done:
            job.future.set_result(result)


def _for_future(error: BaseException) -> Exception:
    """Return ``error``, or another in its place where a future would lose it or treat it as a cancellation or an exit."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    stand_in = RuntimeError(f"a job raised {type(error).__name__}")
    stand_in.__cause__ = error
    return stand_in


class _Job:
    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[sa.Connection], Any], future: Future[Any]) -> None:
        self.run = run
        self.future = future


@contextmanager
def _timed(kind: tuple[str]) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        TRANSACTION_SECONDS.observe(kind, time.perf_counter() - began)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise explain(error, doing) from error


def _make_private(file: Path) -> None:
    """Make a new SQLite file that others cannot read; the files that SQLite makes beside it take its permissions."""
    with suppress(OSError):  # SQLite reports what is wrong
        touch_private(file)


def parse_url(url: str) -> sa.URL:
    """Return ``url`` for SQLAlchemy. Raises ``StoreError`` for one that is malformed or of an unsupported database."""
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):  # their texts may hold the password
        raise StoreError("the database URL is malformed; expected sqlite:///PATH or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(
            f"databases of the kind {backend!r} are not supported; use sqlite:///PATH or postgresql://…"
        )
    if parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "an in-memory SQLite database cannot outlive a restart; name a file: sqlite:///chainwatch.db"
        )
    folder = Path(str(parsed.database)).parent
    if not folder.is_dir():
        raise StoreError(f"the folder {folder} of the SQLite database does not exist; make it first")
    return parsed
