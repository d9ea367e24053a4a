"""Samples on disk against a plain dict: after any number of kills, at any moment, what was acknowledged is there."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwatch.promql.series import STALE, Labels
from chainwatch.promql.syntax import Matcher
from chainwatch.rule_engine import persistence as module
from chainwatch.rule_engine.persistence import Persistence
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.tsdb.tsdb import Tsdb

NOW = 1_700_000_000_000
WINDOW = 3_600_000
EVERY = (Matcher("__name__", "=~", ".+"),)
NAMES = [Labels({"__name__": f"m{n % 3}", "x": str(n)}) for n in range(8)]

Samples = dict[Labels, dict[int, bytes]]


class Flaky:
    """A database some writes of which fail, or are committed although their caller never hears of it."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self._database, self._chance = database, chance
        self.read = database.read

    async def write(self, job: Callable[[sa.Connection], object]) -> object:
        kind = self._chance.random()
        if kind < 0.1:
            raise StoreError("refused")
        result = await self._database.write(job)
        if kind < 0.2:
            raise StoreError("committed, and the answer was lost")
        return result


def held(tsdb: Tsdb, since: int) -> Samples:
    found: Samples = {}
    for series in tsdb.select(EVERY):
        times, values = series.reaching(0)
        assert list(times) == sorted(set(times))
        kept = {t: struct.pack("<d", v) for t, v in zip(times, values, strict=True) if t > since}
        if kept:
            found[series.labels] = kept
    return found


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 2**32))
def test_what_was_acknowledged_is_there(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    asyncio.run(_play(tmp_path_factory.mktemp("samples") / "chainwatch.db", random.Random(seed)))


async def _play(file: Path, chance: random.Random) -> None:
    clock = {"now": NOW, "seconds": 0.0}
    acknowledged: Samples = {}
    appended: Samples = {}
    with (
        pytest.MonkeyPatch.context() as patched,
        closing(Database.open(f"sqlite:///{file}", durable=False)) as database,
    ):
        patched.setattr(module, "BATCHES_SECONDS", 300.0)
        patched.setattr(module, "SAMPLES_MAX", 300)
        for _ in range(5):
            tsdb = Tsdb(journal=True)
            persistence = Persistence(
                tsdb, asyncio.Event(), lambda: clock["now"] / 1000, lambda: clock["seconds"]
            )
            await persistence.load(database)
            tsdb.keep([(EVERY, WINDOW)])
            since = int(clock["now"]) - WINDOW
            back = held(tsdb, since)
            for labels, samples in acknowledged.items():
                for time, bits in samples.items():
                    assert time <= since or back[labels][time] == bits
            for labels, samples in back.items():
                assert samples.items() <= appended[labels].items()
            appended = {labels: dict(samples) for labels, samples in back.items()}
            flaky = Flaky(database, chance)
            for _ in range(chance.randrange(5, 60)):
                step = chance.choice([0.5, 15.0, 15.0, 60.0])
                clock["now"] += int(step * 1000)
                clock["seconds"] += step
                now = int(clock["now"])
                for labels in chance.sample(NAMES, chance.randrange(1, 8)):
                    times = sorted(
                        {now - chance.randrange(5_000) for _ in range(chance.choice([1, 1, 5, 60]))}
                    )
                    values = [chance.choice([STALE, 0.1, float(time % 1000)]) for time in times]
                    last = max(appended.get(labels, {}), default=0)
                    tsdb.append([(labels, times, values)], now)
                    for time, value in zip(times, values, strict=True):
                        if time > last:
                            appended.setdefault(labels, {})[time] = struct.pack("<d", value)
                waiting = asyncio.ensure_future(persistence.stored())
                await asyncio.sleep(0)
                with suppress(StoreError):
                    await persistence.step(flaky)  # type: ignore[arg-type]
                with suppress(StoreError):
                    await waiting
                    acknowledged = {labels: dict(samples) for labels, samples in appended.items()}
