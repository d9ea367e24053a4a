"""Times of the week and moments of the day, from tables."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from chainwatch.grammar import calendars

BERLIN = ZoneInfo("Europe/Berlin")


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=BERLIN).timestamp()  # type: ignore[arg-type,misc]  # year, month, …


@pytest.mark.parametrize(
    ("text", "now", "then"),
    [
        ("daily 09:00 Europe/Berlin", at(2026, 7, 1, 8), at(2026, 7, 1, 9)),
        ("daily 09:00 Europe/Berlin", at(2026, 7, 1, 9), at(2026, 7, 2, 9)),
        ("daily 09:00 Europe/Berlin", at(2026, 3, 28, 10), at(2026, 3, 29, 9)),
        ("daily 09:00 Europe/Berlin", at(2026, 10, 24, 10), at(2026, 10, 25, 9)),
        ("monday 09:00 Europe/Berlin", at(2026, 7, 1, 8), at(2026, 7, 6, 9)),
    ],
)
def test_the_next_moment_of_a_schedule_is_by_the_wall_clock(text: str, now: float, then: float) -> None:
    assert calendars.parse_schedule(text).next_after(now) == then


def test_a_day_with_a_clock_change_is_as_long_as_it_is() -> None:
    schedule = calendars.parse_schedule("daily 09:00 Europe/Berlin")
    assert schedule.next_after(at(2026, 3, 28, 9)) - at(2026, 3, 28, 9) == 23 * 3600
    assert schedule.next_after(at(2026, 10, 24, 9)) - at(2026, 10, 24, 9) == 25 * 3600


@pytest.mark.parametrize(
    "text", ["09:00", "daily 9 UTC", "daily 24:00", "daily 09:60", "daily 09:00 Nowhere/City"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|HH:MM|time|zone"):
        calendars.parse_schedule(text)


@pytest.mark.parametrize(
    ("texts", "day", "inside"),
    [
        (["1-7"], date(2026, 2, 7), True),
        (["1-7"], date(2026, 2, 8), False),
        (["-1"], date(2026, 2, 28), True),
        (["-1"], date(2028, 2, 28), False),
        (["-1"], date(2028, 2, 29), True),
        (["-3:-1"], date(2026, 4, 28), True),
    ],
)
def test_days_of_the_month_count_from_either_end(texts: list[str], day: date, inside: bool) -> None:
    assert calendars.is_day_in(calendars.parse_days(texts), day) is inside


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (calendars.parse_times, ["22:00"]),
        (calendars.parse_times, ["22:00-22:00"]),
        (calendars.parse_times, ["22:00-25:00"]),
        (calendars.parse_days, ["0"]),
        (calendars.parse_days, ["7-1"]),
        (calendars.parse_days, ["32"]),
        (calendars.parse_years, ["soon"]),
    ],
)
def test_what_is_no_range_is_refused(parse: object, texts: list[str]) -> None:
    with pytest.raises(ValueError):
        parse(texts)  # type: ignore[operator]  # one of the functions above
