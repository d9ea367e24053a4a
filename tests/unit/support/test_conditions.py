"""Conditions that hold now, as the signals that begin, change and end."""

from typing import Any

import msgspec

from chainwatch.model import Signal
from chainwatch.support.conditions import ConditionSet

T0 = 1_700_000_000


def condition(name: str = "Low", at: float = T0, **annotations: str) -> Signal:
    return Signal({"alertname": name, "severity": "P1"}, at, annotations)


def ended(signal: Signal, at: float, reason: str = "recovered") -> Signal:
    return msgspec.structs.replace(signal, ends_at=at, reason=reason)


def stored(conditions: ConditionSet, current: list[Signal], now: float, **options: Any) -> list[Signal]:
    changes = conditions.changes(current, now, **options)
    conditions.commit(changes)
    return changes


def test_a_condition_begins_once_and_ends_once() -> None:
    conditions, low = ConditionSet(), condition()
    assert stored(conditions, [low], T0) == [low]
    assert stored(conditions, [condition(at=T0 + 1)], T0 + 1) == []
    assert list(conditions.firing) == [low]
    assert stored(conditions, [], T0 + 2, reason="refilled") == [ended(low, T0 + 2, "refilled")]
    assert stored(conditions, [], T0 + 3) == []
    assert list(conditions.firing) == []


def test_conditions_with_other_labels_are_other_conditions() -> None:
    conditions, low, high = ConditionSet(), condition(), condition("High")
    assert stored(conditions, [low, high], T0) == [low, high]
    assert stored(conditions, [high], T0 + 1) == [ended(low, T0 + 1)]


def test_what_was_not_committed_comes_again_S2() -> None:
    conditions, low = ConditionSet(), condition()
    assert conditions.changes([low], T0) == [low]
    assert stored(conditions, [low], T0 + 1) == [low]
    assert conditions.changes([], T0 + 2) == [ended(low, T0 + 2)]
    assert conditions.changes([], T0 + 3) == [ended(low, T0 + 2)]
    assert conditions.changes([low], T0 + 4) == []


def test_what_fires_by_the_database_neither_begins_again_nor_is_forgotten() -> None:
    before = condition(summary="from before")
    conditions = ConditionSet([before])
    assert stored(conditions, [condition(at=T0 + 9)], T0 + 9) == []
    assert stored(conditions, [], T0 + 10) == [ended(before, T0 + 10)]


def test_what_could_not_be_checked_neither_begins_nor_ends() -> None:
    conditions, low, high = ConditionSet(), condition(), condition("High")
    stored(conditions, [low], T0)
    assert stored(conditions, [high], T0 + 1, unknown=lambda _: True) == []
    assert stored(conditions, [], T0 + 2, unknown=lambda s: s.labels["alertname"] == "Low") == []
    assert stored(conditions, [], T0 + 3) == [ended(low, T0 + 3)]


def test_a_condition_begins_when_it_has_held_for_long_enough() -> None:
    conditions = ConditionSet(begin_after=lambda _: 10.0)
    assert stored(conditions, [condition()], T0) == []
    assert stored(conditions, [], T0 + 5) == []
    assert stored(conditions, [condition()], T0 + 6) == []
    assert stored(conditions, [condition()], T0 + 15) == []
    assert stored(conditions, [condition()], T0 + 16) == [condition()]


def test_the_time_that_a_condition_must_hold_begins_anew_when_it_could_not_be_checked() -> None:
    conditions = ConditionSet(begin_after=lambda _: 10.0)
    stored(conditions, [condition()], T0)
    stored(conditions, [condition()], T0 + 9, unknown=lambda _: True)
    assert stored(conditions, [condition()], T0 + 18) == []
    assert stored(conditions, [condition()], T0 + 19) == [condition()]


def test_a_condition_ends_when_it_has_been_gone_for_long_enough_with_the_time_it_was_gone() -> None:
    conditions = ConditionSet([condition()], end_after=lambda _: 10.0)
    assert stored(conditions, [], T0 + 5) == []
    assert stored(conditions, [condition()], T0 + 14) == []
    assert stored(conditions, [], T0 + 20) == []
    assert stored(conditions, [], T0 + 25, unknown=lambda _: True) == []
    assert stored(conditions, [], T0 + 31) == []
    assert stored(conditions, [], T0 + 41) == [ended(condition(), T0 + 31)]


def test_new_annotations_are_reported_where_they_are_asked_for_with_the_first_start() -> None:
    low, lower = condition(value="3"), condition(at=T0 + 5, value="2")
    assert stored(ConditionSet([low]), [lower], T0 + 5) == []
    conditions = ConditionSet([low], refresh=True)
    assert stored(conditions, [lower], T0 + 5) == [condition(value="2")]
    assert stored(conditions, [lower], T0 + 6) == []
    assert stored(conditions, [], T0 + 7) == [ended(condition(value="2"), T0 + 7)]


def test_a_signal_with_an_end_ends_its_condition_with_that_end_and_reason() -> None:
    conditions = ConditionSet([condition()], end_after=lambda _: 10.0)
    gone = ended(condition("High"), T0 + 3, "reorg")
    assert stored(conditions, [ended(condition(), T0 + 3, "reorg"), gone], T0 + 9) == [
        ended(condition(), T0 + 3, "reorg")
    ]
    assert list(conditions.firing) == []


def test_no_condition_ends_before_it_began() -> None:
    conditions = ConditionSet([condition()])
    assert stored(conditions, [], T0 - 100) == [ended(condition(), T0)]
