"""Who is on call: turns, DST nights, restricted layers, overrides, gaps."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from chainwatch.alerting.policy.intervals import Interval
from chainwatch.alerting.policy.oncall import (
    Layer,
    OnCallSchedule,
    Override,
    build_schedules,
    gaps,
    on_call,
    shifts,
    turn,
)
from chainwatch.config.people import OnCallSettings

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
WEEKLY = Layer(("anna", "bob", "cleo"), 0, 9 * 60, date(2026, 1, 5))
DAILY = Layer(("anna", "bob"), None, 9 * 60, date(2026, 1, 5))
OFFICE = {"office": Interval(BERLIN, times=((540, 1020),), weekdays=((0, 4),))}


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("when", "person"),
    [
        ("2026-01-05T09:00", "anna"),
        ("2026-01-12T08:59:59", "anna"),
        ("2026-01-12T09:00", "bob"),
        ("2026-01-19T09:00", "cleo"),
        ("2026-01-26T09:00", "anna"),
        ("2026-01-05T08:59", "cleo"),  # turns count backwards, too
        ("2025-12-29T08:59", "bob"),
    ],
)
def test_people_take_turns_from_the_start_both_ways(when: str, person: str) -> None:
    assert turn(WEEKLY, BERLIN, at(when)).person == person


def test_a_start_within_the_week_counts_as_that_week() -> None:
    layer = Layer(("anna", "bob"), 0, 540, date(2026, 1, 8))
    assert turn(layer, BERLIN, at("2026-01-06T12:00")).person == "anna"
    assert turn(layer, BERLIN, at("2026-01-13T12:00")).person == "bob"


@pytest.mark.parametrize(
    ("zone", "evening", "hours"),
    [
        (BERLIN, "2026-03-28", 23),
        (BERLIN, "2026-10-24", 25),
        (NEW_YORK, "2026-03-07", 23),
        (NEW_YORK, "2026-10-31", 25),
        (NEW_YORK, "2026-06-01", 24),
    ],
)
def test_a_turn_over_a_dst_night_is_an_hour_shorter_or_longer(zone: str, evening: str, hours: int) -> None:
    found = turn(DAILY, zone, at(f"{evening}T20:00", zone))
    assert (found.starts_at, found.ends_at - found.starts_at) == (at(f"{evening}T09:00", zone), hours * 3600)


@pytest.mark.parametrize(
    ("zone", "day", "offset_after"),
    [(BERLIN, "2026-03-29", "+02:00"), (NEW_YORK, "2026-03-08", "-04:00")],
)
def test_a_handoff_that_spring_skips_comes_just_after(zone: str, day: str, offset_after: str) -> None:
    layer = Layer(("anna", "bob"), None, 2 * 60 + 30, date(2026, 1, 5))
    handoff = datetime.fromisoformat(f"{day}T03:00{offset_after}").timestamp()
    assert turn(layer, zone, handoff - 1).person != turn(layer, zone, handoff).person
    assert turn(layer, zone, handoff).starts_at == handoff


@pytest.mark.parametrize(("zone", "day"), [(BERLIN, "2026-10-25"), (NEW_YORK, "2026-11-01")])
def test_a_handoff_that_autumn_shows_twice_comes_once_at_the_first(zone: str, day: str) -> None:
    minute = 150 if zone == BERLIN else 90
    clock = f"{day}T{minute // 60:02}:30"
    layer = Layer(("anna", "bob"), None, minute, date(2026, 1, 5))
    first, second = at(clock, zone), at(clock, zone, fold=1)
    assert second - first == 3600
    assert turn(layer, zone, first).starts_at == first
    assert turn(layer, zone, second) == turn(layer, zone, first)


def test_the_first_layer_that_is_not_restricted_then_decides() -> None:
    schedule = OnCallSchedule(
        "primary",
        BERLIN,
        (
            Layer(("dora",), None, 0, date(2026, 1, 5), ("office",)),
            Layer(("anna",), None, 0, date(2026, 1, 5)),
        ),
    )
    assert on_call(schedule, OFFICE, (), at("2026-01-05T12:00")).person == "dora"
    night = on_call(schedule, OFFICE, (), at("2026-01-05T20:00"))
    assert (night.person, night.source) == ("anna", "layer 2")


def test_an_override_wins_over_all_layers_and_of_two_the_newer() -> None:
    schedule = OnCallSchedule("primary", BERLIN, (WEEKLY,))
    noon = int(at("2026-01-06T12:00"))
    older = Override("bob", noon, noon + 7200, id=1)
    newer = Override("cleo", noon + 600, noon + 1200, id=2)
    people = [
        on_call(schedule, {}, [newer, older], noon + s).person for s in (-1, 0, 600, 1199, 1200, 7199, 7200)
    ]
    assert people == ["anna", "bob", "cleo", "cleo", "bob", "bob", "anna"]


def test_shifts_follow_each_other_and_begin_where_somebody_else_is_on_call() -> None:
    schedule = OnCallSchedule("primary", BERLIN, (WEEKLY,))
    start, end = at("2026-03-24T00:00"), at("2026-04-07T00:00")
    handoffs = [shift.starts_at for shift in shifts(schedule, {}, (), start, end)]
    assert handoffs == [start, at("2026-03-30T09:00"), at("2026-04-06T09:00")]


def test_outside_all_restrictions_there_is_a_gap_that_an_override_fills() -> None:
    schedule = OnCallSchedule("office", BERLIN, (Layer(("dora",), None, 0, date(2026, 1, 5), ("office",)),))
    friday, tuesday = at("2026-01-09T12:00"), at("2026-01-13T12:00")
    found = gaps(schedule, OFFICE, (), friday, tuesday)
    assert [(g.starts_at, g.ends_at) for g in found] == [
        (at("2026-01-09T17:00"), at("2026-01-12T09:00")),
        (at("2026-01-12T17:00"), at("2026-01-13T09:00")),
    ]
    weekend = Override("anna", int(at("2026-01-09T17:00")), int(at("2026-01-12T09:00")))
    assert len(gaps(schedule, OFFICE, [weekend], friday, tuesday)) == 1


def test_a_gap_over_a_dst_night_ends_at_the_right_second() -> None:
    night = {
        "night": Interval(BERLIN, times=((150, 240),))
    }  # 02:30 to 04:00, half an hour of which spring skips
    schedule = OnCallSchedule("night", BERLIN, (Layer(("dora",), None, 0, date(2026, 1, 5), ("night",)),))
    found = shifts(schedule, night, (), at("2026-03-29T00:00"), at("2026-03-29T12:00"))
    assert [(s.starts_at, s.duty.person) for s in found] == [
        (at("2026-03-29T00:00"), None),
        (at("2026-03-29T03:00"), "dora"),
        (at("2026-03-29T04:00"), None),
    ]


def test_a_schedule_is_built_as_configured() -> None:
    settings = OnCallSettings.model_validate(
        {
            "name": "primary",
            "zone": BERLIN,
            "layers": [{"people": ["anna", "bob"], "handoff": "tuesday 10:30", "start": "2026-01-06"}],
        }
    )
    assert build_schedules({"primary": settings})["primary"].layers == (
        Layer(("anna", "bob"), 1, 630, date(2026, 1, 6)),
    )
