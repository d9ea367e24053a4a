"""Alerts of rules are the same whatever order samples come in, how often, and wherever the process is killed (S2, S3)."""

import atexit
import math
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from functools import cache
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.policy.severities import Severities
from chainwatch.config import from_dict
from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import Labels
from chainwatch.rule_engine import saving
from chainwatch.rule_engine.live_group import LiveGroup
from chainwatch.rule_engine.restoring import restored
from chainwatch.rule_engine.saving import Saver
from chainwatch.rules.evaluation import Alert
from chainwatch.rules.files import read_rule_file
from chainwatch.rules.placed import PlacedGroup
from chainwatch.store import rule_alerts, schema
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.tsdb.tsdb import Tsdb

START = 1_700_000_000_000
STEP = 10_000
SETTINGS = from_dict({"networks": {"a": {"chain_id": 1, "rpc": ["http://127.0.0.1:1"]}}})
RULES = """
groups:
- name: g
  rules:
  - {record: double, expr: x * 2}
  - {alert: AtOnce, expr: double > 2, labels: {severity: critical}, annotations: {summary: "{{ $value }}"}}
  - {alert: Held, expr: x > 1, for: 25s}
  - {alert: Kept, expr: x > 1, keep_firing_for: 25s}
"""

Step = dict[str, float]
"""What is pushed in one step: a value by series."""
STEPS = st.lists(
    st.dictionaries(st.sampled_from(["s1", "s2", "s3"]), st.sampled_from([0.0, 2.0, 3.0]), max_size=3),
    min_size=2,
    max_size=12,
)


class Process:
    """Rules on a database, without threads: ``alerting`` as the saver sees it, whose writes may be refused."""

    def __init__(self, database: Database, tsdb: Tsdb, now: int) -> None:
        self.database = database
        self.tsdb = tsdb
        self.now = now
        self.refuses = False
        self.engine = AlertEngine.of(SETTINGS, 0)
        (group,) = read_rule_file(RULES)
        self.group = LiveGroup("rules.yml;g", PlacedGroup("file", "rules.yml", group), 60_000, "")
        self.saver = Saver()
        with database.reading() as connection:
            stored = rule_alerts.load(connection)
            active = [alert for alert, _ in alerts.unresolved(connection)]
        self.saver.load(stored, active, now)
        found: dict[str, dict[Labels, Alert]] = {}
        for one in stored:
            alert = restored(one, 0)
            assert alert is not None
            found.setdefault(one.rule, {})[alert.labels] = alert
        self.group.take_over_alerts(found, 0)
        rules = {rule.key: rule for rule in self.group.rules}
        self.saver.attach(cast("Any", self), Severities(), "", rules)

    def clock(self) -> float:
        return self.now / 1000

    def write(self, job: Any) -> "Future[None]":
        future: Future[None] = Future()
        if self.refuses:
            future.set_exception(StoreError("refused"))
            return future
        with self.database.transaction() as connection:
            job(connection, self.clock())
        future.set_result(None)
        return future

    def apply(self, connection: Any, signals: Any, now: float) -> float | None:
        return self.engine.apply(connection, signals, now)

    def push(self, series: str, value: float) -> None:
        labels = Labels({"__name__": "x", "series": series})
        self.tsdb.append([(labels, [self.now], [value])], self.now)

    def evaluate(self) -> None:
        result = self.group.evaluate(self.tsdb, self.now, Limits(), math.inf)
        self.saver.note(result.changes, result.at)
        self.saver.flush()


@cache
def _database() -> Database:
    folder = tempfile.TemporaryDirectory(prefix="chainwatch-rules-")
    database = Database.open(f"sqlite:///{folder.name}/x.db", durable=False)
    atexit.register(folder.cleanup)
    atexit.register(database.close)
    return database


def _emptied() -> Database:
    """A database without alerts, the same each time: to make one takes long."""
    with _database().transaction() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table.name not in ("properties", "alembic_version"):
                connection.execute(table.delete())
    return _database()


def alerts_after(
    steps: Sequence[Step],
    crashes: Sequence[int] = (),
    refused: Sequence[int] = (),
    reverse: bool = False,
    repeat: int = 1,
) -> list[Any]:
    """The alerts in the end, each with what identifies it, its times and its state."""
    database = _emptied()
    process = Process(database, Tsdb(), START)
    for number, step in enumerate([*steps, {}, {}]):
        process.now = START + number * STEP
        process.refuses = number in refused
        pushes = sorted(step.items(), reverse=reverse)
        for series, value in pushes:
            for _ in range(repeat):
                process.push(series, value)
        process.evaluate()
        if number in crashes:
            process = Process(database, process.tsdb, process.now)
    process.refuses = False
    process.saver.flush()
    with database.reading() as connection:
        found = alerts.list_alerts(connection)
    return sorted((sorted(one.labels.items()), one.starts_at, one.state, one.ends_at) for one in found)


@given(STEPS, st.lists(st.integers(0, 13), max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_crash_changes_no_alert(steps: list[Step], crashes: list[int]) -> None:
    assert alerts_after(steps, crashes) == alerts_after(steps)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_order_and_repetition_of_pushes_change_no_alert(steps: list[Step]) -> None:
    assert alerts_after(steps, reverse=True, repeat=3) == alerts_after(steps)


@given(STEPS, st.lists(st.integers(0, 13), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_database_that_refuses_loses_no_alert_that_fires(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step], refused: list[int]
) -> None:
    monkeypatch.setattr(saving, "PAUSE", 0.0)

    def open_ones(found: list[Any]) -> list[Any]:
        return [one[:2] for one in found if one[2] == "firing"]

    assert open_ones(alerts_after(steps, refused=refused)) == open_ones(alerts_after(steps))
