"""One group: what it writes, what it keeps after a gap, and when it is evaluated next."""

import math

from chainwatch.promql.evaluation import Limits
from chainwatch.promql.series import Labels, is_stale
from chainwatch.rule_engine.live_group import Evaluated, LiveGroup
from chainwatch.rules.files import read_rule_file
from chainwatch.rules.placed import PlacedGroup, rule_keys, with_distinct_names
from chainwatch.tsdb.tsdb import Tsdb

START = 1_700_000_000_000
SECOND, MINUTE = 1_000, 60_000


class World:
    def __init__(self, rules: str, **keys: str) -> None:
        more = "".join(f"  {key}: {value}\n" for key, value in keys.items())
        (group,) = read_rule_file(f"groups:\n- name: g\n{more}  rules:\n{rules}")
        self.tsdb = Tsdb()
        self.group = LiveGroup("f;g", PlacedGroup("file", "f", group), MINUTE, "")

    def push(self, name: str, at: int, value: float, **labels: str) -> None:
        self.tsdb.append([(Labels({"__name__": name, **labels}), [START + at], [value])], START + at)

    def evaluate(self, at: int, **keys: float) -> Evaluated:
        return self.group.evaluate(self.tsdb, START + at, Limits(), keys.get("budget", math.inf))

    def samples(self, name: str) -> list[int]:
        found = [series for series in self.tsdb.select(()) if series.labels.get("__name__") == name]
        return [at - START for series in found for at in series.times]

    @property
    def states(self) -> list[str]:
        return [alert.state for state in self.group.states for alert in state.alerts.values()]


def test_equal_samples_are_written_once_in_an_interval() -> None:
    world = World("  - {record: double, expr: x * 2}\n")
    world.push("x", 0, 1)
    for at in (0, 10 * SECOND, 20 * SECOND, MINUTE):
        world.evaluate(at)
    world.push("x", MINUTE + 1, 2)
    world.evaluate(MINUTE + 2)
    assert world.samples("double") == [0, MINUTE, MINUTE + 2]


def test_a_subquery_without_a_step_has_the_interval_of_the_configuration() -> None:
    world = World("  - {record: steps, expr: 'count_over_time(vector(1)[10m:])'}\n", interval="5m")
    world.evaluate(0)
    (steps,) = world.tsdb.select(())
    assert steps.values[-1] == 10
    quicker = LiveGroup("f;g", world.group.placed, MINUTE // 4, "")
    assert not world.group.is_of(quicker.placed, MINUTE // 4, "")
    quicker.evaluate(world.tsdb, START + MINUTE, Limits())
    assert steps.values[-1] == 40


def test_two_evaluations_have_different_times() -> None:
    world = World("  - {record: double, expr: x * 2}\n")
    assert [world.evaluate(at).at - START for at in (5, 5, 3)] == [5, 6, 7]


def test_alerts_stay_after_a_gap_and_then_end() -> None:
    world = World("  - {alert: A, expr: x > 1}\n")
    world.push("x", 0, 2)
    world.evaluate(0)
    world.group.keep_until = START + 10 * MINUTE
    world.evaluate(6 * MINUTE)
    assert world.states == ["firing"]
    world.evaluate(11 * MINUTE)
    assert world.states == ["inactive"]


def test_a_pending_alert_is_looked_at_when_it_fires() -> None:
    world = World("  - {alert: A, expr: x > 1, for: 90s, keep_firing_for: 30s}\n")
    assert world.group.next_change() is None
    world.push("x", 0, 2)
    world.evaluate(1)
    assert world.group.next_change() == START + 1 + 90 * SECOND
    world.push("x", 80 * SECOND, 2)
    world.evaluate(1 + 90 * SECOND)
    assert (world.states, world.group.next_change()) == (["firing"], None)
    world.push("x", 100 * SECOND, 0)
    world.evaluate(100 * SECOND)
    assert world.group.next_change() == START + 130 * SECOND


def test_a_clock_that_is_set_ends_no_wait() -> None:
    world = World("  - {alert: A, expr: x > 1, for: 90s}\n")
    world.push("x", 0, 2)
    world.evaluate(0)
    world.group.move(60 * MINUTE)
    world.push("x", 60 * MINUTE + SECOND, 2)
    world.evaluate(60 * MINUTE + SECOND)
    assert world.states == ["pending"]
    world.evaluate(60 * MINUTE + 90 * SECOND)
    assert world.states == ["firing"]


def test_what_takes_too_long_is_cut_off_and_changes_nothing() -> None:
    world = World("  - {alert: A, expr: x > 1}\n  - {alert: B, expr: x > 1}\n")
    world.push("x", 0, 2)
    result = world.evaluate(0, budget=0.0)
    assert result.cut_off
    assert len(result.changes) < 2


def test_a_rule_that_is_gone_ends_its_series() -> None:
    world = World("  - {alert: A, expr: x > 1}\n")
    world.push("x", 0, 2)
    world.evaluate(0)
    world.group.end(world.tsdb, START + 1, [rule.key for rule in world.group.rules])
    assert world.samples("ALERTS") == [0, 1]


def test_a_group_that_takes_the_place_of_another_writes_the_series_that_this_one_ended() -> None:
    world = World("  - {alert: A, expr: x > 1}\n")
    world.push("x", 0, 2)
    world.evaluate(5)
    world.group.end(world.tsdb, START + 5, [rule.key for rule in world.group.rules])
    renamed = LiveGroup("f;h", world.group.placed, MINUTE, "")
    renamed.begin_after(START + 6)
    renamed.evaluate(world.tsdb, START + 5, Limits())
    (series,) = [one for one in world.tsdb.select(()) if one.labels["__name__"] == "ALERTS"]
    assert [(at - START, is_stale(value)) for at, value in zip(*series.samples, strict=True)] == [
        (5, False),
        (6, True),
        (7, False),
    ]


def test_rules_are_told_apart_by_group_name_and_labels() -> None:
    def keys(rules: str) -> list[str]:
        (group,) = read_rule_file(f"groups:\n- name: g\n  rules:\n{rules}")
        return rule_keys("f;g", group)

    one = "  - {alert: A, expr: x}\n"
    assert keys(one) == keys("  - {alert: A, expr: y, for: 5m, annotations: {summary: s}}\n")
    assert keys(one) != keys("  - {alert: A, expr: x, labels: {severity: page}}\n")
    assert keys(one) != keys("  - {record: A, expr: x}\n")
    assert len(set(keys(one + one))) == 2
    (group,) = read_rule_file("groups:\n- name: g\n  rules: []\n")
    placed = PlacedGroup("file", "f", group)
    assert [name for name, _ in with_distinct_names([placed, placed])] == ["f;g", "f;g#2"]
