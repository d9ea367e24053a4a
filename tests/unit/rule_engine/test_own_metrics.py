"""Own metrics as series: all of them regularly, what invariants read as it changes, the ends of what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.config import read_dict
from chainwatch.monitor.companions import Running
from chainwatch.monitor.heartbeat import Health
from chainwatch.operations import live_alerting
from chainwatch.plan import make_plan
from chainwatch.promql.series import is_stale
from chainwatch.rule_engine import own_metrics
from chainwatch.rule_engine.intake import Intake
from chainwatch.rule_engine.own_metrics import OwnMetrics
from chainwatch.store import invariants
from chainwatch.store.database import Database
from chainwatch.store.invariants import Check, Reading
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.waiting import eventually

CONFIG: dict[str, Any] = {
    "networks": {"a": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}},
    "receivers": {"ops": {"provider": "console"}},
    "routes": [{"receivers": ["ops"]}],
    "invariants": {
        "funded": {
            "values": {"held": {"network": "a", "balance": True, "address": "0x" + "11" * 20}},
            "assert": "held > 0",
        }
    },
}


@asynccontextmanager
async def sampling(url: str, every: str) -> AsyncIterator[tuple[Database, Tsdb]]:
    """Sample until the end of the block."""
    plan = make_plan(read_dict({**CONFIG, "store": {"url": url}, "evaluation": {"sample_every": every}}))
    with closing(Database.open(url, durable=False)) as database:
        alerting = AlertingRuntime(database, live_alerting.alerting(plan.settings))
        await alerting.resume()
        tsdb, loaded = Tsdb(), asyncio.Event()
        loaded.set()
        running = Running(plan, database, alerting, Health([]))
        task = asyncio.ensure_future(OwnMetrics(running, Intake(tsdb, loaded)).sample())
        try:
            yield database, tsdb
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await alerting.close()


def values(tsdb: Tsdb, name: str) -> dict[str, float]:
    found = {repr(one.labels): one.values[-1] for one in tsdb.select(()) if one.labels["__name__"] == name}
    return {labels: value for labels, value in found.items() if not is_stale(value)}


async def until(tsdb: Tsdb, name: str, wanted: dict[str, float]) -> None:
    await eventually(lambda: values(tsdb, name) == wanted)


def check(database: Database, block: int, held: object, holds: bool) -> None:
    with database.transaction() as connection:
        one = Check("a", block, 1_700_000_000 + block, positions={"a": block})
        invariants.add_checks(connection, [("funded", one)])
        invariants.save_checks(connection, [("funded", one._replace(holds=holds))])
        content = {"held": held, "owner": "0x" + "22" * 20}
        reading = Reading("funded", "a", block, b"h", 1_700_000_000 + block, False, content)
        invariants.add_readings(connection, [reading])


HELD = 'chainwatch_invariant_value{invariant="funded", job="chainwatch", network="a", value="held"}'
HOLDS = 'chainwatch_invariant_holds{invariant="funded", job="chainwatch"}'


async def test_what_an_invariant_reads_is_a_sample_as_soon_as_it_changes(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_metrics, "CHANGES_EVERY", 0.02)
    monkeypatch.setattr(own_metrics, "SHARE", 1)
    async with sampling(sqlite_url, "1h") as (database, tsdb):
        await until(tsdb, "chainwatch_invariant_unread", {HOLDS.replace("holds", "unread"): 0.0})
        assert values(tsdb, HELD.partition("{")[0]) == {}
        for block, held, holds in ((1, 10**30, True), (2, 0, False), (3, True, True)):
            check(database, block, held, holds)
            await until(tsdb, "chainwatch_invariant_value", {HELD: float(held)})
            await until(tsdb, "chainwatch_invariant_holds", {HOLDS: float(holds)})
        unchanged = next(one for one in tsdb.select(()) if one.labels["__name__"] == "chainwatch_queue_depth")
        assert len(unchanged.values) == 1
        assert tsdb.metadata("chainwatch_samples_total")["chainwatch_samples_total"].type == "counter"


async def test_all_metrics_are_sampled_again_and_what_is_gone_ends(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_metrics, "SHARE", 0)
    async with sampling(sqlite_url, "50ms") as (database, tsdb):
        check(database, 1, 5, True)
        await until(tsdb, "chainwatch_invariant_value", {HELD: 5.0})
        with database.transaction() as connection:
            invariants.forget_checks(connection, ["funded"])
        await until(tsdb, "chainwatch_invariant_value", {})
        depth = next(one for one in tsdb.select(()) if one.labels["__name__"] == "chainwatch_queue_depth")
        await eventually(lambda: len(depth.values) >= 3)
        assert depth.labels["job"] == "chainwatch"


async def test_a_counter_that_begins_was_zero_unless_it_counts_a_networks_past(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {"a": 5.0, "late": 7_000.0}
    routes: dict[tuple[str, ...], float] = {("f", "a", "b"): 3.0}

    def metrics(*_: object) -> list[Metric]:
        opened = CounterMetricFamily("chainwatch_opened", "", labels=["flow", "origin", "destination"])
        for route, number in routes.items():
            opened.add_metric(route, number)
        ages = GaugeMetricFamily("chainwatch_network_seen_age_seconds", "", labels=["network"])
        for network, age in seen.items():
            ages.add_metric([network], age)
        return [opened, ages]

    def opened(tsdb: Tsdb, origin: str) -> list[float]:
        found = [one for one in tsdb.select(()) if one.labels["__name__"] == "chainwatch_opened_total"]
        return [value for one in found if one.labels["origin"] == origin for value in one.values]

    monkeypatch.setattr(own_metrics, "families", metrics)
    monkeypatch.setattr(own_metrics, "SHARE", 0)
    async with sampling(sqlite_url, "50ms") as (_, tsdb):
        await eventually(lambda: len(opened(tsdb, "a")) > 1)
        assert set(opened(tsdb, "a")) == {3}
        routes |= {("f", "a", "c"): 4.0, ("f", "late", "a"): 5.0}
        await eventually(lambda: {0, 4} <= set(opened(tsdb, "a")) and opened(tsdb, "late"))
        assert 0 not in opened(tsdb, "late")
        series = [one for one in tsdb.select(()) if one.labels.get("destination") == "c"]
        assert [list(one.values)[:2] for one in series] == [[0, 4]]
