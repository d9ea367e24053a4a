"""Times of the week, month and year as people write them, and daily or weekly moments. Pure; zones are IANA's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
DAY = 1440
"""Minutes."""

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_SIGNED_RANGE = re.compile(r"(-?[0-9]+)(?:(?:-|:)(-?[0-9]+))?")

Range = tuple[int, int]


class Schedule(msgspec.Struct, frozen=True):
    """A moment of every day, or of one weekday (0 is Monday), at ``minute`` of the day in ``zone``."""

    weekday: int | None
    minute: int
    zone: str

    def next_after(self, now: float) -> float:
        """Return the first such moment after ``now`` (Unix seconds).

        A wall-clock time that a day skips counts as just after.
        """
        zone = ZoneInfo(self.zone)
        day = datetime.fromtimestamp(now, zone).date() - timedelta(days=1)
        while True:
            if self.weekday is None or day.weekday() == self.weekday:
                at = moment(day, self.minute, zone)
                if at > now:
                    return at
            day += timedelta(days=1)


def moment(day: date, minute: int, zone: ZoneInfo, fold: int = 0) -> float:
    """Return the minute of the day (1440: its end) as Unix seconds.

    A time that the day skips is the moment at which the clocks go forward; of one that occurs twice, ``fold`` (0 or 1)
    chooses which.
    """
    if minute == DAY:
        day, minute = day + timedelta(days=1), 0
    local = datetime.combine(day, time(minute // 60, minute % 60, fold=fold), zone)
    at = local.timestamp()
    if datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0) == local.replace(tzinfo=None, fold=0):
        return at
    before, after = sorted(local.replace(fold=fold).timestamp() for fold in (0, 1))
    changed_at = clock_change(before, after, zone)
    return at if changed_at is None else changed_at


def clock_change(low: float, high: float, zone: ZoneInfo) -> float | None:
    """Return the second at which the zone's offset changes, between ``low`` and ``high`` (Unix seconds)."""

    def offset(at: float) -> timedelta | None:
        return datetime.fromtimestamp(at, zone).utcoffset()

    before = offset(low)
    if offset(high) == before:
        return None
    first, last = int(low), int(high)
    while last - first > 1:
        middle = (first + last) // 2
        if offset(middle) == before:
            first = middle
        else:
            last = middle
    return float(last)


def parse_schedule(text: str) -> Schedule:
    """Parse ``daily 09:00 Europe/Berlin`` or ``monday 09:00 Europe/Berlin``; without a zone UTC. Raises ``ValueError``."""
    words = text.split()
    if len(words) not in (2, 3) or words[0].lower() not in ("daily", *WEEKDAYS):
        raise ValueError('"daily HH:MM ZONE" or "monday HH:MM ZONE", such as "daily 09:00 Europe/Berlin"')
    day = words[0].lower()
    minute = parse_clock(words[1])
    if minute == DAY:
        raise ValueError("a time of day from 00:00 to 23:59")
    zone = words[2] if len(words) == 3 else "UTC"
    check_zone(zone)
    return Schedule(None if day == "daily" else WEEKDAYS.index(day), minute, zone)


def parse_clock(text: str) -> int:
    """Parse ``HH:MM`` (up to 24:00) into minutes of the day. Raises ``ValueError``."""
    found = _CLOCK.fullmatch(text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else -1
    if found is None or int(found[2]) > 59 or minutes > DAY:
        raise ValueError("a time of day HH:MM, from 00:00 to 24:00")
    return minutes


def parse_times(texts: Sequence[str]) -> tuple[Range, ...]:
    """Parse ``22:00-07:00`` into (first minute, minute after the last); over midnight if the end is not after the start."""
    ranges = []
    for text in texts:
        start, dash, end = text.partition("-")
        if not dash:
            raise ValueError('times of day from and to, such as "22:00-07:00"')
        first, last = parse_clock(start.strip()), parse_clock(end.strip())
        if first in (last, DAY):
            raise ValueError('times of day that are not the same, such as "22:00-07:00"')
        ranges.append((first, last))
    return tuple(ranges)


def parse_names(texts: Sequence[str], names: Sequence[str], first: int) -> tuple[Range, ...]:
    """Parse ``monday-friday`` or ``3-5`` into numbers counted from ``first``, both ends included. Raises ``ValueError``."""
    ranges = []
    for text in texts:
        start, _, end = text.lower().partition("-")
        ranges.append((_number(start, names, first), _number(end or start, names, first)))
    return tuple(ranges)


def parse_days(texts: Sequence[str]) -> tuple[Range, ...]:
    """Parse ``1-7``, ``-1`` (the last), ``-3:-1`` into days of the month, negative ones from its end.

    Raises ``ValueError``.
    """
    ranges = []
    for text in texts:
        found = _SIGNED_RANGE.fullmatch(text.replace(" ", ""))
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not all(1 <= abs(day) <= 31 for day in (first, last)) or (first > last and first * last > 0):
            raise ValueError('days of the month, such as "1-7", "15" or "-1" (the last)')
        ranges.append((first, last))
    return tuple(ranges)


def parse_years(texts: Sequence[str]) -> tuple[Range, ...]:
    """Parse ``2026`` or ``2026-2028``. Raises ``ValueError``."""
    return parse_names(texts, (), 1)


def is_day_in(ranges: Sequence[Range], day: date) -> bool:
    """Return whether ``day`` is one of these days of its month."""
    length = ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day
    return any(_of_month(a, length) <= day.day <= _of_month(b, length) for a, b in ranges)


def check_zone(name: str) -> None:
    """Raise ``ValueError`` for a name that is not an IANA time zone of this machine."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("an IANA time zone such as Europe/Berlin") from None


def _of_month(day: int, length: int) -> int:
    return day if day > 0 else length + 1 + day


def _number(text: str, names: Sequence[str], first: int) -> int:
    text = text.strip()
    if text in names:
        return names.index(text) + first
    by_start = [i for i, name in enumerate(names) if len(text) == 3 and name.startswith(text)]
    if by_start:
        return by_start[0] + first
    if text.isdecimal() and (not names or (first and first <= int(text) < first + len(names))):
        return int(text)
    raise ValueError(f"names such as {names[0]} or {names[0]}-{names[2]}" if names else "years such as 2026")
