"""``chainwatch rules list`` and ``eval``: by what a running chainwatch has stored."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chainwatch.cli import main
from chainwatch.commands.common import BAD_USAGE
from chainwatch.model import Signal
from chainwatch.operations.context import Context
from chainwatch.plan import load_plan
from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import Labels
from chainwatch.rule_engine import reporting
from chainwatch.rule_engine.live_group import LiveGroup
from chainwatch.rule_engine.persistence import Persistence
from chainwatch.rules.placed import rule_keys, with_distinct_names
from chainwatch.store import rule_alerts
from chainwatch.store.database import Database
from chainwatch.store.rule_alerts import StoredRuleAlert
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.waiting import eventually

NOW = 1_790_000_000
AT = ("--at", str(NOW))
FILE = """
groups:
- name: disks
  rules:
  - record: free:min
    expr: min(free)
  - alert: DiskFull
    expr: free < 10
    for: 5m
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(FILE)
    path = tmp_path / "config.toml"
    path.write_text(
        f"""
rule_files = ["rules.yml"]
[store]
url = "sqlite:///{tmp_path}/chainwatch.db"
[networks.alpha]
chain_id = 1
rpc = ["http://127.0.0.1:1"]
[[rules]]
alert = "Slow"
query = "latency > 2"
"""
    )
    plan = load_plan(path, {})
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        asyncio.run(store(database))
        group = next(one for one in plan.rule_groups if one.file)
        key = rule_keys(group.name, group.group)[1]
        alert = StoredRuleAlert(
            key,
            "f",
            {"alertname": "DiskFull", "disk": "a"},
            "firing",
            5,
            6,
            None,
            {"alertname": "DiskFull"},
            7.0,
        )
        failing = {"alertname": "RuleFailing", "rule": "Slow", "group": "config;Slow", "severity": "P2"}
        with database.transaction() as connection:
            rule_alerts.save(connection, [alert])
            engine = Context.of(plan, connection).engine
            engine.apply(connection, [Signal(failing, NOW, {"description": "too many"}, source="rule")], NOW)
    return path


async def store(database: Database) -> None:
    tsdb, loaded = Tsdb(journal=True), asyncio.Event()
    persistence = Persistence(tsdb, loaded, clock=lambda: float(NOW))
    await persistence.load(database)
    times = [(NOW - 60 * minute) * 1000 for minute in range(9, -1, -1)]
    tsdb.append(
        [(Labels({"__name__": "free", "disk": d}), times, [v] * 10) for d, v in (("a", 5.0), ("b", 20.5))],
        times[-1],
    )
    task = asyncio.ensure_future(persistence.run(database))
    await persistence.stored()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "rules", *arguments])


def as_json(config: Path, *arguments: str) -> Any:
    result = run(config, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_rules_are_listed_with_file_state_and_health(config: Path) -> None:
    rows = {row["name"]: row for row in as_json(config, "list")}
    assert {name: row["state"] for name, row in rows.items()} == {
        "free:min": "inactive",
        "DiskFull": "firing",
        "Slow": "inactive",
    }
    assert (rows["DiskFull"]["file"], rows["DiskFull"]["line"], rows["DiskFull"]["alert_count"]) == (
        "rules.yml",
        7,
        1,
    )
    assert (rows["Slow"]["health"], rows["Slow"]["error"]) == ("err", "too many")
    assert [row["name"] for row in as_json(config, "list", "--state", "firing")] == ["DiskFull"]
    assert (rows["DiskFull"]["health"], rows["DiskFull"]["evaluated_at"]) == ("unknown", None)
    lines = run(config, "list").output.splitlines()
    assert lines[0].split("\t")[:3] == ["rule", "state", "alerts"]
    assert len(lines) == 4
    assert run(config, "list", "--state", "odd").exit_code == BAD_USAGE


async def test_rules_are_listed_with_their_last_evaluation_in_another_process(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "FIRST_AFTER", 0.0)
    plan = load_plan(config, {})
    groups = []
    for name, placed in with_distinct_names(plan.rule_groups):
        group = LiveGroup(name, placed, 60_000, "")
        group.evaluate(Tsdb(), NOW * 1000, Limits())
        groups.append(group.status)
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        task = asyncio.ensure_future(reporting.report_statuses(lambda: groups, database))
        await eventually(lambda: "err" not in [row["health"] for row in as_json(config, "list")])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for row in as_json(config, "list"):
        assert (row["health"], row["error"], row["evaluated_at"]) == ("ok", "", NOW)
    with sqlite3.connect(config.parent / "chainwatch.db") as connection:
        connection.execute("UPDATE rule_statuses SET statuses = x'00'")
    assert {row["health"] for row in as_json(config, "list")} == {"unknown", "err"}


def test_a_query_over_what_is_stored(config: Path) -> None:
    found = as_json(config, "eval", "free < 10", *AT)
    assert found["type"] == "vector"
    labels = {"__name__": "free", "disk": "a"}
    assert found["series"] == [{"labels": labels, "points": [{"at": NOW, "value": "5"}]}]
    assert as_json(config, "eval", "free < 10")["series"] == []
    matrix = as_json(config, "eval", "sum(free)", *AT, "--range", "5m", "--step", "1m")
    assert [point["at"] for point in matrix["series"][0]["points"]] == [NOW - 300 + 60 * n for n in range(6)]
    assert as_json(config, "eval", "1 / 0", *AT)["series"] == [
        {"labels": {}, "points": [{"at": NOW, "value": "+Inf"}]}
    ]
    assert run(config, "eval", 'free{disk="b"}', *AT).output.splitlines()[1].startswith('free{disk="b"}\t')


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("sum(",), "1:5: parse error"),
        (("free + on (x) free",), "many-to-many"),
        (("free[5m]", "--range", "1h"), "range query"),
        (("free", "--step", "1m"), "--step needs --range"),
        (("free", "--range", "1d", "--step", "1s"), "steps"),
    ],
)
def test_what_cannot_be_evaluated_is_bad_usage(config: Path, arguments: tuple[str, ...], reason: str) -> None:
    result = run(config, "eval", *arguments, *AT)
    assert result.exit_code == BAD_USAGE
    assert reason in result.output
