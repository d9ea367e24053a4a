"""The way of samples into the database: large batches in parts, room that other programs cannot fill."""

from __future__ import annotations

import asyncio
import threading

from chainwatch.promql.series import Labels
from chainwatch.rule_engine import intake
from chainwatch.rule_engine.intake import JSON, OWN, PUSH, SCRAPE, Intake, next_time
from chainwatch.support.counters import SAMPLES, SAMPLES_REFUSED
from chainwatch.tsdb.model import Batch, TsdbLimits
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.waiting import PATIENCE

NOW = 1_795_316_389_000


def batch(name: str, count: int) -> Batch:
    return [(Labels({"__name__": name, "n": str(number)}), (NOW,), (1.0,)) for number in range(count)]


async def test_other_programs_leave_room_for_own_metrics_and_each_for_the_others() -> None:
    tsdb = Tsdb(TsdbLimits(series=20))
    taking = Intake(tsdb, asyncio.Event())
    before, refused = SAMPLES[PUSH,], SAMPLES_REFUSED[PUSH, "too many series"]
    pushed = taking.append(PUSH, batch("a", 30), NOW)
    assert (pushed.accepted, pushed.refused) == (16, {"too many series": 14})
    assert taking.append(PUSH, batch("a", 16), NOW).accepted == 16
    assert taking.append(SCRAPE, batch("b", 3), NOW).accepted == 2
    assert taking.append(OWN, batch("own", 3), NOW).accepted == 2
    assert (SAMPLES[PUSH,], SAMPLES_REFUSED[PUSH, "too many series"]) == (before + 32, refused + 14)


async def test_a_large_batch_is_appended_in_parts_that_hold_nobody_up() -> None:
    tsdb = Tsdb()
    parts: list[int] = []
    tsdb.listen(lambda changed: parts.append(len(changed)))
    appended = Intake(tsdb, asyncio.Event()).append(PUSH, batch("a", 2 * intake.TOGETHER + 1), NOW)
    assert parts == [intake.TOGETHER, intake.TOGETHER, 1]
    assert (appended.accepted, len(appended.changed)) == (2 * intake.TOGETHER + 1,) * 2


async def test_nothing_is_taken_before_what_is_older_is_there() -> None:
    loaded = asyncio.Event()
    taking = Intake(Tsdb(), loaded)
    work = asyncio.ensure_future(taking.run(PUSH, lambda: 5))
    await asyncio.sleep(0.05)
    assert not work.done()
    loaded.set()
    assert await work == 5


async def test_a_source_that_sends_much_holds_up_no_other() -> None:
    loaded = asyncio.Event()
    loaded.set()
    taking, is_read = Intake(Tsdb(), loaded), threading.Event()
    much = asyncio.ensure_future(taking.run(SCRAPE, lambda: is_read.wait(2 * PATIENCE)))
    try:
        assert await asyncio.wait_for(taking.run(PUSH, lambda: 5), PATIENCE) == 5
    finally:
        is_read.set()
        await much


async def test_what_is_large_holds_up_nothing_small_of_its_source() -> None:
    loaded = asyncio.Event()
    loaded.set()
    taking, is_read = Intake(Tsdb(), loaded), threading.Event()
    much = asyncio.ensure_future(taking.run(JSON, lambda: is_read.wait(2 * PATIENCE), intake.LARGE))
    try:
        assert await asyncio.wait_for(taking.run(JSON, lambda: 5, intake.LARGE - 1), PATIENCE) == 5
    finally:
        is_read.set()
        await much


def test_times_of_samples_rise_but_follow_a_clock_that_was_ahead() -> None:
    assert next_time(lambda: NOW / 1000, NOW - 15_000) == NOW
    assert next_time(lambda: NOW / 1000, NOW) == NOW + 1
    assert next_time(lambda: NOW / 1000, NOW + 5_000) == NOW + 5_001
    assert next_time(lambda: NOW / 1000, NOW + 60_000) == NOW
