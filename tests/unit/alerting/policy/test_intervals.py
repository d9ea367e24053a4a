"""Whether a moment lies in an interval, from tables; the nights of the clock changes above all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.alerting.policy.intervals import build_intervals, ends_after, inside
from chainwatch.config import IntervalSettings

BERLIN = ZoneInfo("Europe/Berlin")


def contains(text: str, **keys: object) -> bool:
    settings = IntervalSettings.model_validate({"name": "i", **keys})
    moment = datetime.fromisoformat(text)
    zone = ZoneInfo(settings.zone)
    return build_intervals({"i": settings})["i"].contains(
        moment.replace(tzinfo=moment.tzinfo or zone).timestamp()
    )


NIGHT = {"times": ["22:00-07:00"], "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("text", "keys", "is_in"),
    [
        ("2026-07-01T21:59", NIGHT, False),
        ("2026-07-01T22:00", NIGHT, True),
        ("2026-07-02T06:59", NIGHT, True),
        ("2026-07-02T07:00", NIGHT, False),
        ("2026-07-03T23:00", NIGHT | {"weekdays": "friday"}, True),
        ("2026-07-04T03:00", NIGHT | {"weekdays": "friday"}, True),
        ("2026-07-03T03:00", NIGHT | {"weekdays": "friday"}, False),
        ("2026-07-04T12:00", {"weekdays": ["saturday-sunday"]}, True),
        ("2026-07-06T12:00", {"weekdays": ["sat-mon"]}, True),
        ("2026-07-07T12:00", {"weekdays": ["sat-mon"]}, False),
        ("2026-12-31T12:00", {"months": ["november-january"]}, True),
        ("2026-06-30T12:00", {"months": ["11-1"]}, False),
        ("2026-02-28T12:00", {"days": ["-1"], "years": ["2026-2027"]}, True),
        ("2028-02-28T12:00", {"days": ["-1"], "years": ["2026-2027"]}, False),
        ("2026-07-01T12:00", {}, True),
    ],
)
def test_an_interval_contains_what_its_wall_clock_says(
    text: str, keys: dict[str, object], is_in: bool
) -> None:
    assert contains(text, **keys) is is_in


@pytest.mark.parametrize(
    ("utc", "is_in"),
    [
        ("2026-10-25T00:30+00:00", True),  # 02:30 the first time
        ("2026-10-25T01:30+00:00", True),  # 02:30 the second time
        ("2026-10-25T02:00+00:00", False),  # 03:00
        ("2026-03-29T00:59+00:00", False),  # 01:59
        ("2026-03-29T01:00+00:00", False),  # 03:00: the hour from two does not exist
    ],
)
def test_the_hour_that_comes_twice_is_in_both_times_and_the_one_that_never_comes_in_none(
    utc: str, is_in: bool
) -> None:
    assert contains(utc, zone="Europe/Berlin", times=["02:00-03:00"]) is is_in


def test_a_night_lasts_an_hour_longer_when_the_clocks_go_back_and_shorter_when_they_go_forward() -> None:
    night = build_intervals({"n": IntervalSettings.model_validate({"name": "n", **NIGHT})})["n"]

    def minutes(day: datetime) -> int:
        start = day.replace(tzinfo=UTC)
        return sum(night.contains((start + timedelta(minutes=m)).timestamp()) for m in range(24 * 60))

    assert minutes(datetime(2026, 10, 24, 12)) == 10 * 60  # noqa: DTZ001 - the zone is set above
    assert minutes(datetime(2026, 3, 28, 12)) == 8 * 60  # noqa: DTZ001
    assert minutes(datetime(2026, 7, 1, 12)) == 9 * 60  # noqa: DTZ001


@given(
    st.integers(0, 4_000_000_000),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]),
)
def test_a_moment_is_in_an_interval_or_in_its_complement(now: int, zone: str) -> None:
    settings = {
        "day": IntervalSettings.model_validate({"name": "day", "zone": zone, "times": ["07:00-22:00"]}),
        "night": IntervalSettings.model_validate({"name": "night", "zone": zone, "times": ["22:00-07:00"]}),
    }
    intervals = build_intervals(settings)
    assert (inside(intervals, ["day"], now) is None) != (inside(intervals, ["night"], now) is None)


def test_an_interval_that_is_not_configured_contains_nothing() -> None:
    assert inside({}, ["gone"], 0) is None


@pytest.mark.parametrize(
    ("names", "now", "end"),
    [
        (["night"], "2026-03-28T23:00+01:00", "2026-03-29T07:00+02:00"),
        (["night"], "2026-10-24T23:00+02:00", "2026-10-25T07:00+01:00"),
        (["night", "morning"], "2026-01-05T23:00+01:00", "2026-01-06T12:00+01:00"),
        (["gap"], "2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"),
        (["weekend"], "2026-01-03T12:00+01:00", "2026-01-05T00:00+01:00"),
        (["summer"], "2026-06-02T12:00+02:00", "2026-09-01T00:00+02:00"),
        (["no such interval"], "2026-06-02T12:00+02:00", None),
        (["always"], "2026-06-02T12:00+02:00", None),
    ],
)
def test_the_end_of_intervals_is_the_first_moment_in_none_of_them(
    names: list[str], now: str, end: str | None
) -> None:
    zone = "Europe/Berlin"
    known = build_intervals(
        {
            "night": IntervalSettings(name="i", zone=zone, times=["22:00-07:00"]),
            "morning": IntervalSettings(name="i", zone=zone, times=["07:00-12:00"]),
            "gap": IntervalSettings(name="i", zone=zone, times=["01:00-02:30"]),
            "weekend": IntervalSettings(name="i", zone=zone, weekdays=["saturday-sunday"]),
            "summer": IntervalSettings(name="i", zone=zone, months=["june-august"]),
            "always": IntervalSettings(name="i", zone=zone, times=["00:00-24:00"]),
        }
    )
    found = ends_after(known, names, datetime.fromisoformat(now).timestamp())
    assert found == (None if end is None else datetime.fromisoformat(end).timestamp())
