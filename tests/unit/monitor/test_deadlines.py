"""Deadlines in, deadlines that have come out; APScheduler is real, so is its clock: waits are of milliseconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Self

import pytest

from chainwatch.model import Deadline, Signal
from chainwatch.monitor import deadlines as schedulers
from chainwatch.monitor.deadlines import DeadlineScheduler, Position
from chainwatch.support import supervise
from chainwatch.support.supervise import Supervisor
from chainwatch.support.wakeup import SystemClock
from tests.support.waiting import eventually


class Table:
    """The open deadlines, as a database would give them, and what was handed over."""

    def __init__(self) -> None:
        self.rows: list[Deadline] = []
        self.reads: list[int] = []
        self.handed: list[Deadline] = []
        self.calls = 0
        self.failures = 0
        self.failure: BaseException = RuntimeError("the database is away")
        self.during_load: Callable[[], None] = lambda: None

    async def load(self, after: Position, until: int, limit: int) -> Sequence[Deadline]:
        found = sorted(
            (d for d in self.rows if (d.due_at, d.transfer_id, d.step) > after and d.due_at <= until),
            key=lambda d: (d.due_at, d.transfer_id, d.step),
        )[:limit]
        self.during_load()
        self.reads.append(len(found))
        return found

    async def due(self, deadlines: list[Deadline]) -> None:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise self.failure
        self.handed += deadlines


@pytest.fixture
def table() -> Table:
    return Table()


class Kept(DeadlineScheduler):
    """One that is kept going as in a monitor."""

    async def start(self) -> None:
        self._supervisor = Supervisor(self._report)
        self._supervisor.start("deadlines", self.run)

    async def stop(self) -> None:
        await self._supervisor.stop(1.0, first=lambda _: True)

    async def _report(self, signals: Sequence[Signal]) -> None:
        self.alerts = [signal.labels["alertname"] for signal in signals]


@pytest.fixture
async def scheduler(table: Table) -> AsyncIterator[Kept]:
    scheduler = Kept(table.load, table.due)
    yield scheduler
    await scheduler.stop()


def _due_in(seconds: float, transfer_id: int = 1) -> Deadline:
    return Deadline(transfer_id, "execute", "optimism", int(time.time() + seconds))


async def test_deadlines_missed_while_the_process_was_down_are_handed_over_at_start_once(
    table: Table, scheduler: Kept
) -> None:
    table.rows = [_due_in(-86_400, 1), _due_in(-5, 2), _due_in(3600, 3)]
    await scheduler.start()
    await eventually(lambda: len(table.handed) >= 2)
    await asyncio.sleep(0.05)
    assert table.handed == table.rows[:2]


async def test_a_deadline_is_handed_over_when_it_comes_due_and_not_at_the_next_reading(
    table: Table, scheduler: Kept
) -> None:
    deadline = _due_in(1)
    await scheduler.start()
    await eventually(lambda: table.reads == [0])
    scheduler.add([deadline])
    await eventually(lambda: table.handed == [deadline])
    assert 0 <= time.time() - deadline.due_at < schedulers.REFILL_EVERY / 2


async def test_a_cancelled_deadline_is_not_handed_over(table: Table, scheduler: Kept) -> None:
    await scheduler.start()
    await eventually(lambda: table.reads == [0])
    scheduler.add([_due_in(2, 1), _due_in(2, 2)])
    scheduler.cancel([(1, "execute"), (99, "never held")])  # before anything else runs: they may be due soon
    await eventually(lambda: len(table.handed) >= 1)
    await asyncio.sleep(0.05)
    assert [d.transfer_id for d in table.handed] == [2]


async def test_many_that_come_due_at_once_are_handed_over_together(table: Table, scheduler: Kept) -> None:
    table.rows = [_due_in(1, n) for n in range(500)]
    await scheduler.start()
    await eventually(lambda: len(table.handed) == 500)
    assert table.calls <= 3


async def test_a_deadline_committed_while_the_table_is_read_is_not_missed(
    table: Table, scheduler: Kept
) -> None:
    deadline = _due_in(1)
    table.during_load = lambda: scheduler.add([deadline])
    await scheduler.start()
    await eventually(lambda: bool(table.handed))
    assert table.handed == [deadline]


async def test_more_than_can_be_held_are_read_page_by_page_s10(
    table: Table, scheduler: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedulers, "JOBS_MAX", 10)
    table.rows = [_due_in(-9, n) for n in range(95)]
    await scheduler.start()
    await eventually(lambda: len(table.handed) == 95)
    assert table.handed == table.rows
    assert max(table.reads) <= 10


async def test_those_beyond_the_room_are_held_once_there_is_room_again(
    table: Table, scheduler: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedulers, "JOBS_MAX", 4)
    await scheduler.start()
    await eventually(lambda: table.reads == [0])
    table.rows = [_due_in(1, n) for n in range(12)]
    scheduler.add(table.rows)
    await eventually(lambda: len({d.transfer_id for d in table.handed}) == 12)
    assert {d.transfer_id for d in table.handed} == set(range(12))


async def test_deadlines_that_could_not_be_handed_over_are_handed_over_again(
    table: Table, scheduler: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.01)
    table.rows = [_due_in(-5)]
    table.failures = 2
    await scheduler.start()
    await eventually(lambda: table.handed == table.rows)
    assert table.failures == 0
    assert table.calls == 3
    assert scheduler.alerts == [supervise.TASK_FAILED]


async def test_a_table_that_cannot_be_read_is_read_again(
    table: Table, scheduler: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.01)
    table.rows = [_due_in(-5)]
    failures = iter([True, True])

    def fail() -> None:
        if next(failures, False):
            raise RuntimeError("the database is away")

    table.during_load = fail
    await scheduler.start()
    await eventually(lambda: bool(table.handed))
    assert table.handed == table.rows
    assert not next(failures, False), "both failures were met"


async def test_a_deadline_is_handed_over_again_only_when_it_was_armed_again(
    table: Table, scheduler: Kept
) -> None:
    deadline = _due_in(-5)
    await scheduler.start()
    await eventually(lambda: table.reads == [0])
    scheduler.add([deadline])
    await eventually(lambda: table.handed == [deadline])
    await asyncio.sleep(0.02)
    assert table.handed == [deadline]
    scheduler.add([deadline])
    await eventually(lambda: len(table.handed) > 1)
    assert table.handed == [deadline, deadline]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1), MemoryError()])
async def test_no_error_of_any_class_ends_the_handing_over(
    table: Table, scheduler: Kept, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE", 0.01)
    table.rows = [_due_in(-5)]
    table.failures, table.failure = 1, error
    await scheduler.start()
    await eventually(lambda: table.handed == table.rows)
    assert table.failures == 0


async def test_after_the_clock_was_put_back_the_table_is_read_as_often_as_before(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedulers, "REFILL_EVERY", 0.05)
    ahead = 3600.0
    scheduler = Kept(table.load, table.due, SystemClock(lambda: time.time() + ahead))
    await scheduler.start()
    await eventually(lambda: len(table.reads) >= 1)
    ahead = 0.0
    read = len(table.reads)
    await eventually(lambda: len(table.reads) >= read + 3)
    await scheduler.stop()


async def test_a_deadline_whose_job_waits_by_a_clock_that_was_set_back_is_handed_over(
    table: Table, scheduler: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedulers, "REFILL_EVERY", 0.05)

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(hours=1)

    monkeypatch.setattr(
        schedulers, "datetime", SetBack
    )  # what jobs are made by: an hour ahead of what they run by
    deadline = _due_in(1)
    table.rows = [deadline]
    await scheduler.start()
    await eventually(lambda: table.handed == [deadline])
    assert time.time() >= deadline.due_at
