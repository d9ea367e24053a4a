"""Rules while chainwatch runs: evaluated when samples come, alerts that outlast restarts; none delays others (S8)."""

import asyncio
import threading
import time
from array import array
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chainwatch.alerting.engine.submission import parse
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.live_group import Evaluated, LiveGroup
from chainwatch.rule_engine.sample_rows import write_labels
from chainwatch.store import samples
from chainwatch.store.database import Database
from chainwatch.support.clock import SteadyClock
from chainwatch.tsdb.journal import encode_batch
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.ruling import Ruling, ruling

HIGH: dict[str, Any] = {
    "alert": "High",
    "query": "load > 1",
    "severity": "P1",
    "annotations": {"summary": "{{ $value }}"},
}

SELDOM = {"interval": "1h"}
"""So that only a change can be why a rule is evaluated."""


async def test_a_pushed_sample_fires_and_another_resolves(database_url: str) -> None:
    async with ruling(database_url, [HIGH], evaluation=SELDOM) as world:
        await world.evaluated()
        world.push("load", 2.5, job="a")
        (alert,) = await world.until(lambda: world.alerts("High"))
        assert alert.state == "firing"
        assert {name: alert.labels[name] for name in ("alertname", "job", "severity")} == {
            "alertname": "High",
            "job": "a",
            "severity": "P1",
        }
        assert (alert.annotations["summary"], alert.annotations["value"]) == ("2.5", "2.5")
        assert alert.annotations["query"] == "load > 1"

        world.push("load", 0.5, job="a")
        await world.until(lambda: world.states("High") == ["resolved"])


async def test_an_alert_that_others_send_with_the_same_labels_is_another_one(sqlite_url: str) -> None:
    async with ruling(sqlite_url, [HIGH]) as world:
        world.push("load", 2.5)
        (alert,) = await world.until(lambda: world.alerts("High"))
        (sent,) = parse([{"labels": {"alertname": "High", "severity": "P1"}}])
        await asyncio.wrap_future(world.running.alerting.accept([sent]))
        assert sent.fingerprint != alert.fingerprint
        await asyncio.wrap_future(world.running.alerting.end(sent.fingerprint, "by hand"))
        assert world.states("High") == ["firing"]


async def test_an_alert_that_fires_goes_on_after_a_restart_without_another_episode(database_url: str) -> None:
    now = time.time() * 1000
    async with ruling(database_url, [HIGH]) as world:
        world.push("load", 2)
        (first,) = await world.until(lambda: world.alerts("High"))
    samples = {Labels({"__name__": "load"}): [(int(now), 2.0)]}
    async with ruling(database_url, [HIGH], samples=samples) as world:
        await world.evaluated()
        (alert,) = world.alerts("High")
        assert (alert.id, alert.state, alert.starts_at) == (first.id, "firing", first.starts_at)
        world.push("load", 0)
        await world.until(lambda: world.states("High") == ["resolved"])


async def test_pending_goes_on_where_it_was_after_a_restart(database_url: str) -> None:
    rule: dict[str, Any] = {**HIGH, "for": "40s"}
    async with ruling(database_url, [rule]) as world:
        await world.evaluated()
        world.push("load", 2)
        began = time.time()
        await world.until(
            lambda: world.engine.groups()[0].rules[0].state == "pending" and world.engine.is_idle
        )
        active_at = world.engine.groups()[0].rules[0].alerts[0].active_at
    samples = {Labels({"__name__": "load"}): [(int(began * 1000), 2.0)]}
    later = SteadyClock(lambda: time.time() + 45)
    async with ruling(database_url, [rule], samples=samples, clock=later) as world:
        (alert,) = await world.until(lambda: world.alerts("High"))
        assert world.engine.groups()[0].rules[0].alerts[0].active_at == active_at
        assert 40 <= alert.starts_at - active_at / 1000 < 80, "it would begin anew"


async def test_a_restart_delays_no_pending_alert_of_a_group_that_is_evaluated_seldom(sqlite_url: str) -> None:
    rule: dict[str, Any] = {**HIGH, "query": "last_over_time(load[1h]) > 1", "for": "20m"}
    earlier = time.time() - 1_200
    started = SteadyClock(lambda: earlier, lambda: 0.0)
    async with ruling(sqlite_url, [rule], evaluation=SELDOM, clock=started) as world:
        await world.evaluated()
        world.push("load", 2)
        await world.until(lambda: world.engine.groups()[0].rules[0].alerts and world.engine.is_idle)
        active_at = world.engine.groups()[0].rules[0].alerts[0].active_at
    assert abs(active_at / 1000 - earlier) < 1
    sampled_last(sqlite_url, time.time() - 30)
    async with ruling(sqlite_url, [rule], evaluation=SELDOM) as world:
        (alert,) = await world.until(lambda: world.alerts("High"))
        assert (alert.state, world.engine.groups()[0].rules[0].alerts[0].active_at) == ("firing", active_at)


def sampled_last(url: str, at: float) -> None:
    """Store that a process took a sample of its own metrics at these Unix seconds."""
    labels = Labels({"__name__": "chainwatch_alerts_raised_total", "job": "chainwatch"})
    data = encode_batch([10_000], array("q", [int(at * 1000)]), array("d", [1.0]))
    with closing(Database.open(url, durable=False)) as database, database.transaction() as connection:
        samples.add(connection, [(10_000, write_labels(labels))], 10_000, data)


async def test_a_rule_that_is_gone_ends_its_alerts_and_others_go_on(sqlite_url: str) -> None:
    other = {"alert": "Other", "query": "load > 1"}
    async with ruling(sqlite_url, [HIGH, other]) as world:
        world.push("load", 2)
        await world.until(lambda: world.states() == ["firing", "firing"])
        engine = world.engine
    async with ruling(sqlite_url, [other], engine=engine) as world:
        await world.until(lambda: world.states("High") == ["resolved"])
        (gone,) = world.alerts("High")
        assert gone.reason == "rule removed or changed"
        assert world.states("Other") == ["firing"]
    async with ruling(sqlite_url, []) as world:  # another process
        await world.until(lambda: world.states("Other") == ["resolved"])


async def test_a_rule_that_fails_is_told_of_and_delays_no_other(sqlite_url: str) -> None:
    bad = {"alert": "Bad", "query": "a / on() b > 0"}
    async with ruling(sqlite_url, [bad, HIGH]) as world:
        world.push("b", 1, x="1")
        world.push("b", 1, x="2")
        world.push("a", 1)
        (alert,) = await world.until(lambda: world.alerts("RuleFailing"))
        assert (alert.labels["rule"], alert.state) == ("Bad", "firing")
        assert (
            "many-to-many" in alert.annotations["description"]
            or "duplicate" in alert.annotations["description"]
        )
        world.push("load", 2)
        await world.until(lambda: world.states("High") == ["firing"])
        engine = world.engine
    async with ruling(sqlite_url, [{**bad, "query": "a > 5"}, HIGH], engine=engine) as world:
        await world.until(lambda: world.states("RuleFailing") == ["resolved"])
        assert world.alerts("RuleFailing")[0].reason == "evaluated"


async def test_recorded_series_are_read_by_other_groups_at_once(sqlite_url: str) -> None:
    rules = [
        {"record": "load:double", "query": "load * 2"},
        {"alert": "Doubled", "query": "load:double > 3"},
    ]
    async with ruling(sqlite_url, rules, evaluation=SELDOM) as world:
        await world.evaluated()
        world.push("load", 2)
        await world.until(lambda: world.states("Doubled") == ["firing"])


async def test_rules_of_files_are_evaluated(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text(
        "groups:\n- name: g\n  labels: {team: x}\n  rules:\n"
        "  - alert: Low\n    expr: load < 1\n    labels: {severity: page}\n"
    )
    async with ruling(sqlite_url, rule_files=[str(file)], severities={"page": "P0"}) as world:
        world.push("load", 0.5)
        (alert,) = await world.until(lambda: world.alerts("Low"))
        assert (alert.severity, alert.labels["team"], alert.labels["__severity__"]) == ("P0", "x", "page")


def is_newest(world: Ruling, state: str) -> bool:
    return world.states("High")[-1:] == [state]


SLOW = {"alert": "Slow", "query": "max_over_time(sum(rate(many[4m]))[3h:1s]) >= 0"}


def much() -> dict[Labels, list[tuple[int, float]]]:
    """Samples over which one evaluation of `SLOW` takes seconds."""
    now = int(time.time())
    times = range(now - 3 * 3600, now, 120)
    series = (Labels({"__name__": "many", "number": str(number)}) for number in range(200))
    return {labels: [(at * 1000, float(at - now)) for at in times] for labels in series}


async def test_a_rule_that_takes_too_long_is_cut_off(sqlite_url: str) -> None:
    async with ruling(sqlite_url, [SLOW], samples=much(), evaluation={"timeout": "300ms"}) as world:
        (alert,) = await world.until(lambda: world.alerts("RuleFailing"))
        assert alert.labels["rule"] == "Slow"
        assert "the query takes longer than 0.3 seconds" in alert.annotations["description"]


async def test_a_rule_that_takes_long_delays_no_other(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_reached, may_go_on = threading.Event(), threading.Event()
    evaluate = LiveGroup.evaluate

    def hang_beside_the_quick(
        group: LiveGroup, tsdb: Tsdb, now: int, *args: Any, **options: Any
    ) -> Evaluated:
        if group.lane == 0:
            return evaluate(group, tsdb, now, *args, **options)
        is_reached.set()
        may_go_on.wait()
        return Evaluated(now)

    monkeypatch.setattr(LiveGroup, "evaluate", hang_beside_the_quick)
    async with ruling(sqlite_url, [SLOW, HIGH], samples=much()) as world:
        try:
            await world.until(is_reached.is_set)
            for value, state in ((2, "firing"), (0, "resolved"), (2, "firing")):
                world.push("load", value)
                await world.until(partial(is_newest, world, state))
        finally:
            may_go_on.set()
