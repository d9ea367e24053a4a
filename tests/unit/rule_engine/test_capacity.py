"""The alert that there is no room for new series, and the numbers of what is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainwatch.promql.series import Labels
from chainwatch.rule_engine import capacity
from chainwatch.rule_engine.intake import JSON, SCRAPE
from chainwatch.store.alerting import alerts
from chainwatch.support.counters import SAMPLES_MEMORY, SAMPLES_SERIES
from chainwatch.tsdb.model import Appended, TsdbLimits
from tests.support.ruling import Ruling, ruling

LIMIT = 5_000


@pytest.fixture(autouse=True)
def checks_are_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    SAMPLES_SERIES.clear()  # what a test before has noted is not what this one waits for
    monkeypatch.setattr(capacity, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(capacity, "END_AFTER", 0.1)


def send(running: Ruling, source: str, name: str, number: int) -> Appended:
    now = int(running.running.alerting.clock() * 1000)
    some = [(Labels({"__name__": name, "n": str(n)}), (now,), (1.0,)) for n in range(number)]
    return running.engine.intake.append(source, some, now)


def states(running: Ruling) -> list[tuple[str, str]]:
    with running.running.database.reading() as connection:
        found = alerts.list_alerts(connection, name=capacity.SAMPLES_FULL)
    return [(alert.state, alert.annotations["summary"]) for alert in found]


async def test_who_begins_too_many_series_is_named_and_keeps_nobody_out(tmp_path: Path) -> None:
    async with ruling(f"sqlite:///{tmp_path}/a.db") as running:
        running.engine.tsdb.limit(TsdbLimits(series=LIMIT))
        await running.until(lambda: SAMPLES_SERIES.get((capacity.LIMIT,)) == LIMIT)
        assert states(running) == []
        assert send(running, JSON, "bomb", 2 * LIMIT).refused
        assert send(running, SCRAPE, "up", 10).accepted == 10
        await running.until(lambda: states(running))
        assert states(running)[0][1] == "chainwatch's samples: new series are refused (json)"
        assert SAMPLES_SERIES[JSON,] == LIMIT * 8 // 10
        assert SAMPLES_MEMORY[JSON,] > LIMIT * 1_000
        await running.until(lambda: states(running)[0][0] == "resolved")


async def test_that_there_will_soon_be_no_room_is_told_before(tmp_path: Path) -> None:
    async with ruling(f"sqlite:///{tmp_path}/a.db") as running:
        running.engine.tsdb.limit(TsdbLimits(series=LIMIT))
        for source in (JSON, SCRAPE):
            assert not send(running, source, source, LIMIT * 43 // 100).refused
        await running.until(lambda: states(running))
        assert states(running) == [("firing", "chainwatch's samples: they are nearly full")]


async def test_what_is_used_is_not_more_with_each_look(tmp_path: Path) -> None:
    async with ruling(f"sqlite:///{tmp_path}/a.db") as running:
        send(running, JSON, "x", 7)
        await running.until(lambda: SAMPLES_SERIES.get((JSON,)))
        used, room = SAMPLES_SERIES[JSON,], running.engine.tsdb.room
        SAMPLES_SERIES[capacity.LIMIT,] = 0
        await running.until(lambda: SAMPLES_SERIES[capacity.LIMIT,])  # it has looked again
        assert used == SAMPLES_SERIES[JSON,] == room.series[JSON] == 7
        assert SAMPLES_MEMORY[JSON,] == room.bytes[JSON]
