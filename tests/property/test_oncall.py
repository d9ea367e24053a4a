"""Properties of on-call schedules: always exactly one person per layer, overrides win, handoffs go forward."""

import itertools
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.alerting.policy.intervals import Interval
from chainwatch.alerting.policy.oncall import Layer, OnCallSchedule, Override, on_call, shifts, turn

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
MOMENTS = st.integers(1_600_000_000, 1_900_000_000)
PEOPLE = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4).map(tuple)
LAYERS = st.builds(
    Layer,
    PEOPLE,
    st.none() | st.integers(0, 6),
    st.integers(0, 1439),
    st.integers(0, 3000).map(lambda days: date(2020, 1, 1) + timedelta(days=days)),
)


@given(LAYERS, ZONES, MOMENTS)
def test_at_any_moment_one_person_of_a_layer_has_the_turn_and_turns_meet(
    layer: Layer, zone: str, now: int
) -> None:
    found = turn(layer, zone, now)
    assert found.person in layer.people
    assert found.starts_at <= now < found.ends_at
    after = turn(layer, zone, found.ends_at)
    assert after.starts_at == found.ends_at < after.ends_at
    assert turn(layer, zone, found.ends_at - 1) == found == turn(layer, zone, found.starts_at)


@given(LAYERS, ZONES, MOMENTS)
def test_after_as_many_turns_as_people_the_first_has_it_again(layer: Layer, zone: str, now: int) -> None:
    first = current = turn(layer, zone, now)
    had = []
    for _ in layer.people:
        had.append(current.person)
        current = turn(layer, zone, current.ends_at)
    assert current.person == first.person
    assert sorted(had) == sorted(layer.people)


@given(st.lists(LAYERS, min_size=1, max_size=2), ZONES, MOMENTS, st.integers(1, 10**6), MOMENTS)
def test_an_override_wins_while_it_lasts_and_changes_nothing_else(
    layers: list[Layer], zone: str, starts_at: int, length: int, now: int
) -> None:
    schedule = OnCallSchedule("s", zone, tuple(layers))
    override = Override("zoe", starts_at, starts_at + length)
    for moment in (now, starts_at, starts_at + length - 1, starts_at + length, starts_at - 1):
        inside = starts_at <= moment < starts_at + length
        without = on_call(schedule, {}, (), moment)
        assert on_call(schedule, {}, [override], moment).person == ("zoe" if inside else without.person)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(LAYERS, min_size=1, max_size=2),
    ZONES,
    ZONES,
    MOMENTS,
    st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1]),
    st.lists(st.integers(0, 7 * 86_400), max_size=20),
)
def test_shifts_have_no_holes_and_report_at_every_moment_who_is_on_call(
    layers: list[Layer], zone: str, other: str, start: int, times: tuple[int, int], offsets: list[int]
) -> None:
    first = Layer(layers[0].people, layers[0].weekday, layers[0].minute, layers[0].start, ("times",))
    schedule = OnCallSchedule("s", zone, (first, *layers[1:]))
    intervals = {"times": Interval(other, times=(times,), weekdays=((0, 3),))}
    found = shifts(schedule, intervals, (), start, start + 7 * 86_400)
    assert (found[0].starts_at, found[-1].ends_at) == (start, start + 7 * 86_400)
    for one, next_one in itertools.pairwise(found):
        assert one.ends_at == next_one.starts_at
        assert one.duty.person != next_one.duty.person
    for moment in [start + offset for offset in offsets]:
        shift = next((s for s in found if s.starts_at <= moment < s.ends_at), found[-1])
        if moment < start + 7 * 86_400:
            assert on_call(schedule, intervals, (), moment).person == shift.duty.person
