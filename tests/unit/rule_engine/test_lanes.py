"""The order in which groups that are ready are evaluated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from chainwatch.promql.evaluation import Limits
from chainwatch.promql.parser import parse
from chainwatch.promql.series import Labels
from chainwatch.rule_engine.interests import Interests
from chainwatch.rule_engine.lanes import Lanes
from chainwatch.rule_engine.live_group import Evaluated, LiveGroup
from chainwatch.rule_engine.saving import Saver
from chainwatch.rules.model import AlertingRule, Group
from chainwatch.rules.placed import PlacedGroup
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.waiting import PATIENCE

MANY = 50
SECONDS = 0.01
"""What each evaluation is said to take."""
SLOWER = 2.5
"""How many times as long it takes where other threads have the processor."""


class Recorded(LiveGroup):
    """Notes its evaluations in ``order``; each waits for ``gate``."""

    seconds, takes = SECONDS, 0.0

    def __init__(self, name: str, order: list[str], gate: threading.Event) -> None:
        rule = AlertingRule(name, parse(name))
        super().__init__(name, PlacedGroup("config", "", Group(name, (rule,))), 3_600_000, "")
        self.order, self.gate = order, gate

    def evaluate(self, tsdb: Tsdb, now: int, *_: Any, **__: Any) -> Evaluated:
        self.order.append(self.name)
        self.gate.wait()
        time.sleep(self.takes)
        return Evaluated(now, seconds=self.seconds)


class Delayed(Recorded):
    """As a group whose evaluation waits for other threads."""

    seconds, takes = SECONDS / 5, SLOWER * SECONDS / 5


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_what_changes_does_not_wait_for_all_that_the_clock_alone_has_evaluated() -> None:
    order: list[str] = []
    gate = threading.Event()
    groups = [Recorded(name, order, gate) for name in (*(f"many{n}" for n in range(MANY)), "alone")]
    tsdb = Tsdb()
    lanes = Lanes(tsdb, Saver())

    def fail(error: BaseException) -> None:
        raise error

    queries = {group.name: [rule.query for rule in group.placed.group.rules] for group in groups}
    lanes.start(groups, Interests(queries), time.time, Limits(), fail)
    try:
        until(lambda: bool(order))
        now = time.time_ns() // 1_000_000
        tsdb.append([(Labels({"__name__": "alone"}), (now,), (1.0,))], now)
        gate.set()
        until(lambda: {*order} == queries.keys())
    finally:
        gate.set()
        lanes.stop()
    assert order.index("alone") == 1


@pytest.mark.parametrize(("kind", "evaluated"), [(Recorded, 1), (Delayed, MANY // 4)])
def test_what_changes_alone_does_not_wait_for_all_that_changed_together_before(
    kind: type[Recorded], evaluated: int
) -> None:
    order: list[str] = []
    gate = threading.Event()
    groups = [kind(name, order, gate) for name in ("alone", *(f"many{n}" for n in range(MANY)))]
    tsdb = Tsdb()
    lanes = Lanes(tsdb, Saver())

    def grow(*names: str) -> None:
        now = time.time_ns() // 1_000_000
        tsdb.append([(Labels({"__name__": name}), (now,), (1.0,)) for name in names], now)

    def fail(error: BaseException) -> None:
        raise error

    queries = {group.name: [rule.query for rule in group.placed.group.rules] for group in groups}
    gate.set()
    lanes.start(groups, Interests(queries), time.time, Limits(), fail)
    try:
        until(lambda: len(order) == len(groups))
        time.sleep(SECONDS * 15)  # each takes a tenth of the time at most
        order.clear()
        gate.clear()
        grow(*queries.keys() - {"alone"})
        if evaluated > 1:
            gate.set()
        until(lambda: len(order) >= evaluated)
        grow("alone")
        gate.set()
        until(lambda: set(order) == queries.keys())
    finally:
        gate.set()
        lanes.stop()
    assert order.index("alone") < MANY // 2
