"""One writer and its readers: commits shared, failures kept apart, and clear words when the database refuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from chainwatch.store import bulk, drivers
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.tables import deadlines
from tests.support.waiting import PATIENCE, eventually

ROOT = Path(__file__).parents[3]


COLUMNS = ("transfer_id", "step", "network", "due_at")
MANY = [(number, "x" * 1000, "alpha", number) for number in range(2, 2000)]


def put(number: int, step: str = "fill") -> sa.Insert:
    """A row with the primary key (``number``, ``step``)."""
    return sa.insert(deadlines).values(transfer_id=number, step=step, network="alpha", due_at=number)


def putting(number: int) -> Callable[[sa.Connection], object]:
    """A job that writes such a row."""
    return lambda connection: connection.execute(put(number))


def numbers(connection: sa.Connection) -> list[int]:
    """The rows there are."""
    return list(
        connection.execute(sa.select(deadlines.c.transfer_id).order_by(deadlines.c.transfer_id)).scalars()
    )


async def all_numbers(database: Database) -> list[int]:
    return await database.read(numbers)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    opened = Database.open(sqlite_url)
    yield opened
    opened.close()


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


# --- transactions -------------------------------------------------------------------------------------


def test_a_transaction_is_there_after_its_end_and_not_after_an_exception(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(put(1))
    with contextlib.suppress(ZeroDivisionError), database.transaction() as connection:
        connection.execute(put(2))
        1 / 0  # noqa: B018

    with database.reading() as connection:
        assert numbers(connection) == [1]


def test_what_is_read_does_not_change_while_it_is_read(database: Database) -> None:
    with database.reading() as reader:
        assert numbers(reader) == []
        with database.transaction() as writer:
            writer.execute(put(1))
        assert numbers(reader) == []


def test_readers_do_not_wait_for_a_transaction_that_writes(database: Database) -> None:
    with database.transaction() as writer:
        writer.execute(put(1))
        with database.reading() as reader:
            assert numbers(reader) == []


async def test_readers_do_not_wait_for_what_else_is_done_in_threads_s8(database: Database) -> None:
    others = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(others)
    over = threading.Event()
    hanging = asyncio.create_task(asyncio.to_thread(over.wait))
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            assert await all_numbers(database) == []
    finally:
        over.set()
        await hanging


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="read-only"), database.reading() as connection:
        connection.execute(put(1))


# --- the writer thread --------------------------------------------------------------------------------


async def test_writes_return_what_their_job_returns_once_it_is_committed(database: Database) -> None:
    def job(connection: sa.Connection) -> str:
        connection.execute(put(1))
        return "done"

    assert await database.write(job) == "done"
    assert await all_numbers(database) == [1]


async def holding_up(database: Database) -> tuple[asyncio.Future[object], threading.Event]:
    """A write that has begun, and goes on once the event is set."""
    has_begun, may_go_on = threading.Event(), threading.Event()

    def hold(_: sa.Connection) -> None:
        has_begun.set()
        may_go_on.wait(PATIENCE)

    write: asyncio.Future[object] = asyncio.ensure_future(database.write(hold))
    await eventually(has_begun.is_set)
    return write, may_go_on


async def test_writes_that_wait_share_one_commit(database: Database) -> None:
    commits = 0

    def count(_connection: sa.Connection) -> None:
        nonlocal commits
        commits += 1

    first, gate = await holding_up(database)
    sa.event.listen(database._writer, "commit", count)
    others = [asyncio.ensure_future(database.write(putting(n))) for n in range(20)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)

    assert commits == 2
    assert await all_numbers(database) == list(range(20))


async def test_a_job_that_raises_is_undone_alone(database: Database) -> None:
    def fails(connection: sa.Connection) -> None:
        connection.execute(put(2))
        raise ValueError("mine")

    results = await together(database, lambda c: c.execute(put(1)), fails, lambda c: c.execute(put(3)))

    assert [str(r) if isinstance(r, Exception) else "done" for r in results] == ["done", "mine", "done"]
    assert await all_numbers(database) == [1, 3]


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_a_job_may_raise_anything_and_the_next_is_done(
    sqlite: Database, error: BaseException, together: bool
) -> None:  # S8
    def fail(_connection: sa.Connection) -> None:
        raise error

    begun, go_on = threading.Event(), threading.Event()

    def hold(_connection: sa.Connection) -> None:
        begun.set()
        go_on.wait(PATIENCE)

    if together:
        holding = sqlite.hand_over(hold)
        begun.wait(PATIENCE)
    writes = [asyncio.create_task(sqlite.write(job)) for job in (putting(1), fail, putting(2))]
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(PATIENCE):
        done = await asyncio.gather(*writes, return_exceptions=True)
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await sqlite.read(fail)
    if together:
        holding.result()
    assert isinstance(done[1], RuntimeError)
    assert type(error).__name__ in str(done[1])
    assert await all_numbers(sqlite) == [1, 2]


async def test_a_job_that_breaks_a_constraint_is_undone_alone(database: Database) -> None:
    """S8: one bad statement must not hold up the batches of all networks."""

    def twice(connection: sa.Connection) -> None:
        connection.execute(put(2))
        connection.execute(put(2))

    results = await together(database, lambda c: c.execute(put(1)), twice, lambda c: c.execute(put(3)))

    assert isinstance(results[1], StoreError)
    assert not any(isinstance(r, Exception) for r in (results[0], results[2]))
    assert await all_numbers(database) == [1, 3]


async def test_a_job_with_a_statement_that_makes_no_sense_is_undone_alone(database: Database) -> None:
    """S8: SQLite cannot distinguish such a statement from trouble of its own, so each is tried by itself."""

    def nonsense(connection: sa.Connection) -> None:
        connection.execute(put(2))
        connection.execute(sa.text("SELECT * FROM nowhere"))

    results = await together(database, lambda c: c.execute(put(1)), nonsense, lambda c: c.execute(put(3)))

    assert isinstance(results[1], StoreError)
    assert not any(isinstance(r, Exception) for r in (results[0], results[2]))
    assert await all_numbers(database) == [1, 3]


async def test_when_the_database_itself_refuses_all_that_share_the_commit_are_reported(
    sqlite: Database,
) -> None:
    def refuses(connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("", None, sqlite3.OperationalError("database or disk is full"))

    results = await together(sqlite, lambda c: c.execute(put(1)), refuses)

    for result in results:
        assert isinstance(result, StoreError)
        assert result.transient
        assert "full" in str(result)
    assert await all_numbers(sqlite) == []


async def test_a_write_that_nobody_waits_for_any_more_is_not_begun(database: Database) -> None:
    first, gate = await holding_up(database)
    given_up = asyncio.ensure_future(database.write(lambda c: c.execute(put(1))))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    gate.set()
    await first

    assert await all_numbers(database) == []


async def test_closing_finishes_the_writes_that_were_handed_over(database_url: str) -> None:
    database = Database.open(database_url)
    gate = threading.Event()
    writes: list[asyncio.Future[object]] = [
        asyncio.ensure_future(database.write(lambda _: gate.wait(PATIENCE)))
    ]
    writes += [asyncio.ensure_future(database.write(putting(n))) for n in range(600)]
    await asyncio.sleep(0)
    gate.set()
    database.close()
    await asyncio.gather(*writes)

    again = Database.open(database_url)
    assert await all_numbers(again) == list(range(600))
    again.close()


async def test_a_write_after_closing_is_refused_instead_of_never_answered(database_url: str) -> None:
    database = Database.open(database_url)
    database.close()

    with pytest.raises(StoreError, match="closed"):
        await asyncio.wait_for(database.write(lambda c: c.execute(put(1))), PATIENCE)


async def together(database: Database, *jobs: Callable[[sa.Connection], object]) -> list[object]:
    """Run ``jobs`` in one commit."""
    first, gate = await holding_up(database)
    futures = [asyncio.ensure_future(database.write(job)) for job in jobs]
    await asyncio.sleep(0)
    gate.set()
    await first
    return list(await asyncio.gather(*futures, return_exceptions=True))


# --- a database that refuses --------------------------------------------------------------------------


def test_a_locked_database_is_reported_as_such_and_loses_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "BUSY_TIMEOUT", 0.05)
    database = Database.open(sqlite_url)
    with database.transaction() as connection:
        connection.execute(put(1))
    other = sqlite3.connect(path_of(sqlite_url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match="another process") as refused, database.transaction() as connection:
        connection.execute(put(2))
    other.execute("ROLLBACK")
    with database.transaction() as connection:
        connection.execute(put(3))

    assert refused.value.transient
    with database.reading() as connection:
        assert numbers(connection) == [1, 3]
    other.close()
    database.close()


async def test_closing_waits_no_longer_for_the_lock_of_another_process(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    other = sqlite3.connect(str(sa.make_url(sqlite_url).database), isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        writes = [database.hand_over(lambda _: None) for _ in range(3)]
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        await asyncio.to_thread(database.close)
        assert time.monotonic() - begun < drivers.BUSY_TIMEOUT / 2
    for write in writes:
        with pytest.raises(StoreError, match="locked"):
            write.result()


def test_a_full_disk_is_reported_as_such_and_what_was_written_stays(sqlite: Database) -> None:
    with sqlite.transaction() as connection:
        connection.execute(put(1))
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    with sqlite.transaction() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")

    with pytest.raises(StoreError, match="full") as refused, sqlite.transaction() as connection:
        bulk.insert(connection, deadlines, COLUMNS, MANY)

    assert refused.value.transient
    with sqlite.reading() as connection:
        assert numbers(connection) == [1]
    with sqlite.transaction() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        connection.execute(put(2))
    with sqlite.reading() as connection:
        assert numbers(connection) == [1, 2]


async def test_a_disk_that_was_full_for_a_while_takes_writes_again(sqlite: Database) -> None:
    def fill(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        bulk.insert(connection, deadlines, COLUMNS, MANY)

    with pytest.raises(StoreError, match="full"):
        await sqlite.write(fill)
    await sqlite.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").scalar())
    await sqlite.write(lambda c: c.execute(put(1)))

    assert await all_numbers(sqlite) == [1]


def test_a_read_only_database_is_reported_as_such(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)

    def forbid(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only=ON")

    sa.event.listen(database._writer, "begin", forbid)

    with pytest.raises(StoreError, match="read-only") as refused, database.transaction() as connection:
        connection.execute(put(1))

    assert refused.value.transient
    database.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission_is_reported_as_such(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="permissions"):
        Database.open(f"sqlite:///{tmp_path / 'new.db'}")


def test_a_file_that_is_no_database_is_reported_as_such(sqlite_url: str) -> None:
    path_of(sqlite_url).write_bytes(b"this is not a database, " * 100)

    with pytest.raises(StoreError, match="not an SQLite database"):
        Database.open(sqlite_url)


def test_a_damaged_file_is_reported_as_such(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    with database.transaction() as connection:
        bulk.insert(connection, deadlines, COLUMNS, MANY)
    database.close()
    content = bytearray(path_of(sqlite_url).read_bytes())
    half = len(content) // 2
    content[half:] = b"\xff" * (len(content) - half)
    path_of(sqlite_url).write_bytes(content)

    damaged = Database.open(sqlite_url)
    with pytest.raises(StoreError, match="damaged") as refused, damaged.reading() as connection:
        numbers(connection)

    assert not refused.value.transient
    damaged.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "malformed"),
        ("mysql://host/name", "not supported"),
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("sqlite:////no/such/folder/chainwatch.db", "does not exist"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "does not answer"),
    ],
)
def test_a_url_that_leads_nowhere_is_reported_as_such(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as refused:
        Database.open(url)

    assert "secret" not in str(refused.value)


def test_what_else_does_not_exist_is_not_taken_for_a_missing_database(postgres_url: str) -> None:
    with (
        contextlib.closing(Database.open(postgres_url)) as database,
        pytest.raises(StoreError, match="does not exist") as refused,
        database.reading() as connection,
    ):
        connection.execute(sa.text("SELECT * FROM nothing"))
    assert "create it" not in str(refused.value)


def test_a_postgresql_database_that_does_not_exist_is_reported_as_such(postgres_url: str) -> None:
    with pytest.raises(StoreError, match="no such database"):
        Database.open(postgres_url.rsplit("/", 1)[0] + "/nowhere")


def test_a_postgresql_connection_that_was_cut_is_made_anew(postgres_url: str) -> None:
    database = Database.open(postgres_url)
    with database.transaction() as connection:
        connection.execute(put(1))
    with pytest.raises(StoreError) as refused:
        write_and_be_cut_off(database)

    with database.transaction() as connection:
        connection.execute(put(4))

    assert refused.value.transient
    with database.reading() as connection:
        assert numbers(connection) == [1, 4]
    database.close()


def write_and_be_cut_off(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(put(2))
        with database.reading() as other:
            other.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        connection.execute(put(3))


# --- kill -9 ------------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
import sqlalchemy as sa
from chainwatch.store.database import Database
from chainwatch.store.tables import deadlines

async def main(url):
    database = Database.open(url)
    for number in range(100_000):
        def job(connection):
            for step in ("first", "second"):
                row = {"transfer_id": number, "step": step, "network": "alpha", "due_at": number}
                connection.execute(sa.insert(deadlines).values(row))
        await database.write(job)
        print(number, flush=True)

asyncio.run(main(sys.argv[1]))
"""


def test_a_killed_writer_leaves_a_usable_database_with_all_that_was_acknowledged(database_url: str) -> None:
    """S2."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, database_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(25)][-1]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, writer.stdout.read().split()[:-1])])
    writer.wait(PATIENCE)

    database = Database.open(database_url)
    with database.transaction() as connection:
        found = numbers(connection)
        connection.execute(put(10**6))
    database.close()

    assert max(found) >= acknowledged
    assert found == sorted([*range(max(found) + 1), *range(max(found) + 1)])
