"""The order in which groups that are ready are evaluated."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import pytest

from chainwatch.promql.evaluation import Limits
from chainwatch.promql.parser import parse
from chainwatch.promql.series import Labels
from chainwatch.rule_engine import lanes as module
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


class Clock:
    """Goes on only where a test says so: by what evaluations take, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000 + self.now


class Recorded(LiveGroup):
    """Notes its evaluations in ``order``, and then does what is to be done ``after`` so many."""

    seconds, takes = SECONDS, SECONDS

    def __init__(
        self, name: str, order: list[str], clock: Clock, after: dict[int, Callable[[], None]]
    ) -> None:
        rule = AlertingRule(name, parse(name))
        super().__init__(name, PlacedGroup("config", "", Group(name, (rule,))), 3_600_000, "")
        self.order, self.clock, self.after = order, clock, after

    def evaluate(self, tsdb: Tsdb, now: int, *_: Any, **__: Any) -> Evaluated:
        self.order.append(self.name)
        self.clock.now += self.takes
        self.after.pop(len(self.order), lambda: None)()
        return Evaluated(now, seconds=self.seconds)


class Delayed(Recorded):
    """As a group whose evaluation waits for other threads."""

    seconds, takes = SECONDS / 5, SLOWER * SECONDS / 5


class World:
    """Lanes with the group ``alone`` and many others, and what they have evaluated in which ``order``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type[Recorded] = Recorded) -> None:
        self.clock = Clock()
        monkeypatch.setattr(module, "time", self.clock)
        self.order: list[str] = []
        self.after: dict[int, Callable[[], None]] = {}
        self.many = [f"many{number}" for number in range(MANY)]
        names = [*self.many, "alone"]
        groups = [kind(name, self.order, self.clock, self.after) for name in names]
        self._tsdb = Tsdb()
        self._lanes = Lanes(self._tsdb, Saver())
        queries = {group.name: [rule.query for rule in group.placed.group.rules] for group in groups}
        self._start = partial(
            self._lanes.start, groups, Interests(queries), self.clock.time, Limits(), self._fail
        )

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._lanes.stop()

    def grow(self, *names: str) -> None:
        """Append a sample to the series that these groups read."""
        now = int(self.clock.time() * 1000)
        self._tsdb.append([(Labels({"__name__": name}), (now,), (1.0,)) for name in names], now)

    def until_all_are_evaluated(self) -> None:
        until(lambda: {*self.order} == {*self.many, "alone"})

    def _fail(self, error: BaseException) -> None:
        raise error


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_what_changes_does_not_wait_for_all_that_the_clock_alone_has_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    world.after[1] = lambda: world.grow("alone")
    with world:
        world.until_all_are_evaluated()
    assert world.order.index("alone") == 1


@pytest.mark.parametrize(("kind", "evaluated"), [(Recorded, 1), (Delayed, MANY // 4)])
def test_what_changes_alone_does_not_wait_for_all_that_changed_together_before(
    kind: type[Recorded], evaluated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with World(monkeypatch, kind) as world:
        world.until_all_are_evaluated()
        world.clock.now += SECONDS * 15  # each takes a tenth of the time at most
        world.order.clear()
        world.after[evaluated] = lambda: world.grow("alone")
        world.grow(*world.many)
        world.until_all_are_evaluated()
    assert world.order.index("alone") < MANY // 2
