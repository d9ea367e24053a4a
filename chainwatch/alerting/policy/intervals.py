"""Quiet hours and working hours: whether a moment lies in a configured interval, by the wall clock of its zone.

An interval that runs over midnight belongs to the day on which it began: ``friday`` with ``22:00-07:00`` ends on Saturday
at seven. The wall clock counts, so an hour that autumn shows twice is in the interval both times.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from chainwatch.config import IntervalSettings
from chainwatch.grammar import calendars
from chainwatch.grammar.calendars import DAY, Range

ONE_DAY = timedelta(days=1)
IN_SIGHT = 400 * 86_400.0
"""Seconds ahead within which the end of an interval is searched."""


class Interval(msgspec.Struct, frozen=True):
    """Minutes of the days that are in all of ``weekdays``, ``days``, ``months`` and ``years``; an empty one is every day."""

    zone: str
    times: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()

    def contains(self, now: float) -> bool:
        """Return whether ``now`` (Unix seconds) lies in it."""
        local = datetime.fromtimestamp(now, ZoneInfo(self.zone))
        minute, today = local.hour * 60 + local.minute, local.date()
        for first, end in self.times or ((0, DAY),):
            if first < end:
                if first <= minute < end and self._has(today):
                    return True
            elif (minute >= first and self._has(today)) or (minute < end and self._has(today - ONE_DAY)):
                return True
        return False

    def _has(self, day: date) -> bool:
        return (
            _is_in(self.weekdays, day.weekday())
            and (not self.days or calendars.is_day_in(self.days, day))
            and _is_in(self.months, day.month)
            and (not self.years or any(a <= day.year <= b for a, b in self.years))
        )


def build_intervals(settings: Mapping[str, IntervalSettings]) -> dict[str, Interval]:
    """Return the intervals as configured, by name."""
    return {
        name: Interval(
            zone=one.zone,
            times=calendars.parse_times(one.times),
            weekdays=calendars.parse_names(one.weekdays, calendars.WEEKDAYS, 0),
            days=calendars.parse_days(one.days),
            months=calendars.parse_names(one.months, calendars.MONTHS, 1),
            years=calendars.parse_years(one.years),
        )
        for name, one in settings.items()
    }


def inside(intervals: Mapping[str, Interval], names: Iterable[str], now: float) -> str | None:
    """Return the first of the named intervals that contains ``now``; one that is not configured contains nothing."""
    return next((n for n in names if n in intervals and intervals[n].contains(now)), None)


def ends_after(intervals: Mapping[str, Interval], names: Sequence[str], now: float) -> float | None:
    """Return the first moment after ``now`` that lies in none of the named intervals; None for none within ``IN_SIGHT``."""
    known = [intervals[name] for name in names if name in intervals]
    moments = heapq.merge(*(edges(one, now, now + IN_SIGHT) for one in known))
    return next((at for at in moments if inside(intervals, names, at) is None), None)


def edges(interval: Interval, start: float, end: float) -> Iterator[float]:
    """Yield the moments between ``start`` and ``end`` at which ``interval`` may begin or end, in order.

    These are midnights, the times of the interval, and changes of the clock.
    """
    zone = ZoneInfo(interval.zone)
    minutes = {0, *(minute for times in interval.times for minute in times)}
    day = datetime.fromtimestamp(start, zone).date() - ONE_DAY
    while (midnight := calendars.moment(day, 0, zone)) < end:
        following = calendars.moment(day + ONE_DAY, 0, zone)
        moments = {calendars.moment(day, minute, zone, fold) for minute in minutes for fold in (0, 1)}
        change = calendars.clock_change(midnight, following, zone)
        yield from sorted(m for m in {*moments, *([change] if change else [])} if start < m < end)
        day += ONE_DAY


def _is_in(ranges: tuple[Range, ...], value: int) -> bool:
    """Return whether ``number`` is in one of ``ranges``, which may go over the end: ``saturday-monday``."""
    return not ranges or any(a <= value <= b if a <= b else value >= a or value <= b for a, b in ranges)
