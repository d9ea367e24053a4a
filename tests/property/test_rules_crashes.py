"""Alerts of rules are the same whatever order samples come in, how often, and wherever the process is killed (S2, S3)."""

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from chainwatch.rule_engine import saving
from chainwatch.store.alerting import alerts
from tests.support.rule_process import START, RuleProcess, emptied

STEP = 10_000
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


def alerts_after(
    steps: Sequence[Step],
    crashes: Sequence[int] = (),
    refused: Sequence[int] = (),
    reverse: bool = False,
    repeat: int = 1,
) -> list[Any]:
    """The alerts in the end, each with what identifies it, its times and its state."""
    database = emptied()
    process = RuleProcess(database, RULES)
    for number, step in enumerate([*steps, {}, {}]):
        process.now = START + number * STEP
        process.refuses = number in refused
        pushes = sorted(step.items(), reverse=reverse)
        for series, value in pushes:
            for _ in range(repeat):
                process.push(series, value)
        process.evaluate()
        if number in crashes:
            process = RuleProcess(database, RULES, process.tsdb, process.now)
    process.refuses = False
    process.saver.flush()
    with database.reading() as connection:
        found = alerts.list_alerts(connection)
    return sorted((sorted(one.labels.items()), one.starts_at, one.state, one.ends_at) for one in found)


@given(STEPS, st.lists(st.integers(0, 13), max_size=3))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_crash_changes_no_alert(steps: list[Step], crashes: list[int]) -> None:
    assert alerts_after(steps, crashes) == alerts_after(steps)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_order_and_repetition_of_pushes_change_no_alert(steps: list[Step]) -> None:
    assert alerts_after(steps, reverse=True, repeat=3) == alerts_after(steps)


@given(STEPS, st.lists(st.integers(0, 13), min_size=1, max_size=3))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_database_that_refuses_loses_no_alert_that_fires(
    monkeypatch: pytest.MonkeyPatch, steps: list[Step], refused: list[int]
) -> None:
    monkeypatch.setattr(saving, "PAUSE", 0.0)

    def open_ones(found: list[Any]) -> list[Any]:
        return [one[:2] for one in found if one[2] == "firing"]

    assert open_ones(alerts_after(steps, refused=refused)) == open_ones(alerts_after(steps))
