"""Pushed groups: pushed at once, repeated, bounded, the same after a restart; a database that refuses loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from chainwatch.ingestion.model import IngestionError
from chainwatch.ingestion.push_groups import group_labels
from chainwatch.promql.series import Labels, is_stale
from chainwatch.rule_engine import pushing
from chainwatch.rule_engine.intake import Intake
from chainwatch.rule_engine.pushing import PushGroups, TooMuchPushed
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.waiting import eventually

GROUP = group_labels("job/a")


class Pushed:
    """Groups on a database, with a clock that is moved by hand."""

    def __init__(self, database: Database) -> None:
        self.now = 1_795_316_389.0
        self.tsdb, loaded = Tsdb(), asyncio.Event()
        loaded.set()
        self.groups = PushGroups(database, Intake(self.tsdb, loaded), lambda: self.now)

    async def push(self, text: str, labels: Labels = GROUP, *, replaces_all: bool = False) -> None:
        await self.groups.push(labels, text.encode(), content_type="text/plain", replaces_all=replaces_all)

    def values(self) -> dict[str, list[float]]:
        found = {one.labels["__name__"]: list(one.values) for one in self.tsdb.select(())}
        return {name: ["end" if is_stale(v) else v for v in values] for name, values in found.items()}  # type: ignore[misc]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database.open(database_url, durable=False)) as database:
        yield database


async def test_groups_are_repeated_after_a_restart_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "REPEAT_EVERY", 0.02)
    first = Pushed(database)
    await first.push('# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 2\nh_count 1\nb 7')
    await first.push("b 8")
    again = Pushed(database)
    again.now = first.now + 100
    repeating = asyncio.ensure_future(again.groups.repeat())
    await eventually(lambda: len(again.values().get("b", ())) >= 3)
    repeating.cancel()
    assert set(again.values()) == {
        "h_bucket",
        "h_sum",
        "h_count",
        "b",
        "push_time_seconds",
        "push_failure_time_seconds",
    }
    assert set(again.values()["b"]) == {8}
    assert set(again.values()["push_time_seconds"]) == {first.now}


async def test_a_histogram_is_replaced_whole(database: Database) -> None:
    pushed = Pushed(database)
    await pushed.push('# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 2\nh_count 1\nh_other 5')
    await pushed.push("# TYPE h histogram\nh_sum 3\nh_count 2")
    found = pushed.values()
    assert (found["h_bucket"], found["h_sum"], found["h_other"]) == ([1, "end"], [2, 3], [5, 5])


async def test_a_push_that_fails_is_noted_in_a_group_that_there_is(database: Database) -> None:
    pushed = Pushed(database)
    with pytest.raises(IngestionError):
        await pushed.push("a 1 5")
    assert pushed.values() == {}
    await pushed.push("a 1")
    pushed.now += 60
    with pytest.raises(IngestionError):
        await pushed.push("a 2 5")
    assert pushed.values()["push_failure_time_seconds"][-1] == pushed.now
    assert pushed.values()["a"][-1] == 1


async def test_pushes_at_one_moment_and_a_clock_that_goes_back_a_little_lose_nothing(
    database: Database,
) -> None:
    pushed = Pushed(database)
    await asyncio.gather(*(pushed.push(f"a {number}") for number in range(20)))
    pushed.now -= 3
    await pushed.push("a 99")
    assert sorted(pushed.values()["a"]) == [*range(20), 99]
    assert pushed.values()["a"][-1] == 99


async def test_a_push_is_of_now_after_the_clock_was_set_back(database: Database) -> None:
    pushed = Pushed(database)
    await pushed.push("a 1")
    pushed.now -= 100
    await pushed.push("a 99")
    assert pushed.values()["a"] == [99]
    await pushed.push("a 98")
    assert pushed.values()["a"] == [99, 98]


async def test_groups_and_their_series_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "GROUPS_MAX", 2)
    monkeypatch.setattr(pushing, "SERIES_MAX", 3)
    pushed = Pushed(database)
    await pushed.push("a 1\nb 1")
    await pushed.push("a 1", group_labels("job/b"))
    with pytest.raises(TooMuchPushed, match="2 groups"):
        await pushed.push("", group_labels("job/c"))
    with pytest.raises(TooMuchPushed, match="3 series"):
        await pushed.push("c 1")
    await pushed.push("c 1", replaces_all=True)
    await pushed.groups.delete(group_labels("job/b"))
    await pushed.push("d 1\ne 1")
    assert set(pushed.values()) >= {"c", "d", "e"}


async def test_a_push_that_is_not_stored_is_not_confirmed(database: Database) -> None:
    pushed = Pushed(database)
    await pushed.push("a 1")
    database.close()
    with pytest.raises(StoreError):
        await pushed.push("a 2")
