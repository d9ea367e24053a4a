"""Samples on disk: what is acknowledged is there after a restart, whatever happened; rows are bounded; damage is skipped."""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
import sqlalchemy as sa

from chainwatch.promql.series import STALE, Labels
from chainwatch.promql.syntax import Matcher
from chainwatch.rule_engine import persistence as module
from chainwatch.rule_engine.persistence import Persistence
from chainwatch.rule_engine.sample_rows import seal
from chainwatch.store import samples
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.tsdb.model import HOUR
from chainwatch.tsdb.stored import CHUNK
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.waiting import PATIENCE

NOW = 1_700_000_000_000
STEP = 15_000
EVERY = (Matcher("__name__", "=~", ".+"),)


def labels(number: int) -> Labels:
    return Labels({"__name__": "m", "x": str(number), "odd": 'é"\0\n'})


class Process:
    """One life of chainwatch: its samples, the task that stores them, and a clock that is set by hand."""

    def __init__(self, database: Database, window: int = 24 * HOUR) -> None:
        self.database = database
        self.now = NOW
        self.seconds = 0.0
        self.tsdb = Tsdb(journal=True)
        self.tsdb.keep([(EVERY, window)])
        self.persistence = Persistence(
            self.tsdb, asyncio.Event(), lambda: self.now / 1000, lambda: self.seconds
        )

    async def push(self, count: int = 1, series: int = 3, value: float = 1.0, together: int = 1) -> None:
        """Append, wait until ``together`` of that are stored, and let time pass."""
        for turn in range(count):
            self.now += STEP
            self.seconds += STEP / 1000
            self.tsdb.append(
                [(labels(n), [self.now], [value + n if n else value]) for n in range(series)], self.now
            )
            if turn % together == together - 1:
                await self.step()

    async def step(self) -> None:
        waiting = asyncio.ensure_future(self.persistence.stored())
        await asyncio.sleep(0)
        try:
            await self.persistence.step(self.database)
        finally:
            with suppress(StoreError):
                await waiting


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url, durable=False)
    yield opened
    opened.close()


async def started(database: Database, now: int = NOW, window: int = 24 * HOUR) -> Process:
    process = Process(database, window)
    process.now = now
    await process.persistence.load(database)
    return process


def held(tsdb: Tsdb) -> dict[Labels, tuple[list[int], bytes]]:
    """All samples, bit for bit."""
    found = {series.labels: series.reaching(0) for series in tsdb.select(EVERY)}
    return {key: (list(times), values.tobytes()) for key, (times, values) in found.items()}


def count(database: Database, table: str) -> int:
    with database.reading() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())


async def test_a_restart_brings_back_every_sample_bit_for_bit(database: Database) -> None:
    first = await started(database)
    await first.push(5)
    for value in (STALE, float("nan"), float("inf"), -0.0, 0.1 + 0.2):
        await first.push(1, 2, value)
    await first.push(600, 1, together=5)
    second = await started(database, first.now)
    assert held(second.tsdb) == held(first.tsdb)
    await second.push(3)
    third = await started(database, second.now)
    assert held(third.tsdb) == held(second.tsdb)
    (series,) = (series for series in third.tsdb.select(EVERY) if series.labels == labels(0))
    assert struct.pack("<d", STALE) in [struct.pack("<d", value) for value in series.reaching(0)[1]]
    assert series.ends


async def test_batches_become_chunks_and_are_deleted(database: Database) -> None:
    process = await started(database)
    await process.push(1000, 2, together=5)
    assert count(database, "sample_batches") < 2 * CHUNK + 50
    assert 2 * 5 <= count(database, "sample_chunks") <= 2 * 12
    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)


async def test_series_with_few_samples_do_not_keep_batches(database: Database) -> None:
    process = await started(database)
    process.tsdb.append([(labels(9), [process.now], [1.0])], process.now)
    await process.push(int(module.BATCHES_SECONDS / 15) + 5, 1, together=5)
    process.tsdb.append([(labels(9), [process.now], [2.0])], process.now)
    await process.push(int(module.BATCHES_SECONDS / 15) + 5, 1, together=5)
    assert count(database, "sample_batches") <= module.BATCHES_SECONDS / 15 + 3
    with database.reading() as connection:
        (rare,) = (number for number, data in samples.series(connection) if b'"9"' in bytes(data))
        assert [chunk.series for chunk in samples.chunks(connection)].count(rare) == 1
    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)


async def test_what_left_the_window_leaves_the_database(database: Database) -> None:
    process = await started(database, window=2 * HOUR)
    await process.push(1500, 2, together=10)
    assert 2 * 3 <= count(database, "sample_chunks") <= 2 * 8
    process.now += 3 * HOUR
    process.seconds += 3 * HOUR / 1000
    await process.push(3, 1)
    assert len(process.tsdb) == 1
    assert count(database, "sample_series") == 1
    assert len((await started(database, process.now)).tsdb) == 1


async def test_a_refusal_of_the_database_is_not_an_acknowledgement_and_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await started(database)
    await process.push()

    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(samples, "add", refuse)
        process.tsdb.append([(labels(7), [process.now], [7.0])], process.now)
        waiting = asyncio.ensure_future(process.persistence.stored())
        await asyncio.sleep(0)
        with pytest.raises(StoreError):
            await process.persistence.step(database)
        with pytest.raises(StoreError):
            await waiting
    # the same again, as a client would: it is there in memory, and must be on disk before it is acknowledged
    again = process.tsdb.append([(labels(7), [process.now], [7.0])], process.now)
    assert again.accepted == 1
    await process.step()
    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)


async def test_more_than_may_wait_for_the_database_is_saved_as_chunks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLES_MAX", 100)
    process = await started(database)
    for turn in range(200):
        process.tsdb.append([(labels(n), [process.now + turn], [float(turn)]) for n in range(3)], process.now)
    await process.step()
    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)


async def test_damaged_rows_are_skipped(database: Database) -> None:
    process = await started(database)
    await process.push(400, 3, together=5)
    await process.push()
    before = held(process.tsdb)
    with database.transaction() as connection:
        ids = sorted(number for number, _ in samples.series(connection))
        for table, condition, column in (
            ("sample_series", f"id = {ids[0]}", "labels"),
            ("sample_chunks", f"series_id = {ids[1]}", "samples"),
        ):
            connection.execute(
                sa.text(f"UPDATE {table} SET {column} = :data WHERE {condition}"),
                {"data": b"\xff" * 40},
            )
        last = connection.execute(sa.text("SELECT max(id) FROM sample_batches")).scalar_one()
        connection.execute(
            sa.text("UPDATE sample_batches SET samples = :data WHERE id = :last"),
            {"data": b"no", "last": last},
        )
    after = await started(database, process.now)
    left = held(after.tsdb)
    whole = max(before, key=lambda key: len(left.get(key, ([], b""))[0]))
    assert left[whole][0] == before[whole][0][:-1]  # without those of the damaged batch
    assert len(left) == 2
    await after.push(2)
    assert count(database, "sample_series") == 3
    assert held((await started(database, after.now)).tsdb) == held(after.tsdb)


async def test_what_was_appended_before_it_was_loaded_stays(database: Database) -> None:
    first = await started(database)
    await first.push(50, 2)
    second = Process(database)
    second.now = first.now + STEP
    second.tsdb.append([(labels(n), [second.now], [5.0]) for n in (1, 2)], second.now)
    await second.persistence.load(database)
    assert len(held(second.tsdb)) == 3
    assert len(held(second.tsdb)[labels(1)][0]) == 51
    await second.push(200, 3, together=5)
    assert held((await started(database, second.now)).tsdb) == held(second.tsdb)


async def test_a_series_that_was_forgotten_and_came_again_is_one(database: Database) -> None:
    process = await started(database, window=HOUR)
    await process.push(300, 2, together=10)
    process.now += 3 * HOUR
    process.tsdb.expire(process.now)  # and it is killed before the rows are deleted
    await process.push(5, 1)
    assert count(database, "sample_series") == 3
    after = await started(database, process.now, HOUR)
    assert held(after.tsdb)[labels(0)] == held(process.tsdb)[labels(0)]
    await after.push(1, 1)
    assert count(database, "sample_series") == 2
    after.tsdb.expire(after.now)


async def test_rows_of_anything_are_skipped(database: Database) -> None:
    chance = random.Random(1)
    process = await started(database)
    await process.push(300, 2, together=5)
    garbage = [bytes(chance.randrange(256) for _ in range(size)) for size in (0, 1, 3, 5, 11, 40, 200)]
    garbage += [seal(b"\1"), b"\0\0\0\0" + zlib.compress(b""), b"[]", b'{"a": 1}', b"[" * 9999]
    with database.transaction() as connection:
        for number, data in enumerate(garbage, 1_000):
            samples.add(connection, [(number, data)], 1_000_000 + number, data)
            chunk = samples.StoredChunk(number % 3, NOW - number, NOW, data)
            samples.save(connection, [chunk], [])
    after = await started(database, process.now)
    assert held(after.tsdb) == held(process.tsdb)


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[None]:
    task = asyncio.ensure_future(process.persistence.run(process.database))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_who_waits_goes_on_once_it_is_committed_in_each_run(database: Database) -> None:
    process = Process(database)
    process.persistence = Persistence(process.tsdb, asyncio.Event(), lambda: NOW / 1000)
    for turn in range(2):
        async with running(process):
            for number in range(20):
                process.tsdb.append([(labels(turn), [NOW + number], [1.0])], NOW)
                await asyncio.wait_for(process.persistence.stored(), PATIENCE)
                with database.reading() as connection:
                    stored = sum(len(data) for _, data in samples.batches(connection))
                assert stored
    restored = await started(database)
    assert held(restored.tsdb) == held(process.tsdb)
    assert {key: value[0] for key, value in held(restored.tsdb).items()} == {
        labels(turn): [NOW + number for number in range(20)] for turn in range(2)
    }
    assert array("d", held(restored.tsdb)[labels(0)][1]) == array("d", [1.0] * 20)


async def test_batches_of_the_last_process_beyond_their_bound_are_saved_soon(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await started(database)
    await first.push(20, 3)
    assert count(database, "sample_batches") == 20
    monkeypatch.setattr(module, "BATCHES_BYTES", 500)
    second = await started(database, first.now)
    await second.push(3)
    assert count(database, "sample_batches") <= 3
    assert held((await started(database, second.now)).tsdb) == held(second.tsdb)


@pytest.mark.parametrize("before", [3, 200])
@pytest.mark.parametrize("wrong", [2, 300])
@pytest.mark.parametrize("seconds", [11, 3_600])
async def test_samples_of_a_clock_that_was_ahead_keep_no_others_out(
    database: Database, before: int, wrong: int, seconds: int
) -> None:
    process = await started(database)
    await process.push(before, together=before)
    last = process.now
    process.now += 5 * HOUR
    await process.push(wrong, together=wrong)
    process.now = last
    process = await started(database, process.now)
    await process.push(4)
    process.seconds += seconds
    for _ in range(20):
        await process.step()
    right = [last + (turn - before + 1) * STEP for turn in range(before + 4)]
    assert {tuple(times) for times, _ in held(process.tsdb).values()} == {tuple(right)}
    assert len(held(process.tsdb)) == 3
    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)


@pytest.mark.parametrize("before", [3, 30, 130])
@pytest.mark.parametrize("wrong", [2, 100])
@pytest.mark.parametrize("ahead", [STEP, 5 * HOUR])
@pytest.mark.parametrize("after", [4, 300])
async def test_what_comes_after_a_clock_is_set_back_survives_at_once(
    database: Database, before: int, wrong: int, ahead: int, after: int
) -> None:
    process = await started(database)
    await process.push(before, together=before)
    process.seconds += 3_600
    await process.step()  # in chunks
    last = process.now
    process.now += ahead
    await process.push(wrong, together=wrong)
    process.seconds += 3_600
    await process.step()

    process.now = last
    seconds = process.seconds
    await process.push(after, together=after + 1)
    process.seconds = seconds
    await process.step()  # before it is time to save chunks

    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)
    process.seconds += 3_600
    await process.step()
    assert held((await started(database, process.now)).tsdb) == held(process.tsdb)
