"""Who is on call at a moment, when that changes next, and when nobody is: pure, in Unix seconds.

Handoffs are moments of the wall clock of the schedule's zone, so a turn over a DST night is an hour longer or shorter.
A wall-clock time that spring skips counts as the moment just after, one that autumn shows twice as the first of the two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from chainwatch.alerting.policy.intervals import Interval, edges, inside
from chainwatch.config.people import LayerSettings, OnCallSettings
from chainwatch.grammar import calendars

ONE_DAY = timedelta(days=1)


class Layer(msgspec.Struct, frozen=True):
    """People who take turns. The handoff is at ``minute`` of the day, on ``weekday`` (0 is Monday) or daily (None)."""

    people: tuple[str, ...]
    weekday: int | None
    minute: int
    start: date
    during: tuple[str, ...] = ()


class OnCallSchedule(msgspec.Struct, frozen=True):
    """An on-call schedule: layers in one time zone; the first layer that is on duty decides."""

    name: str
    zone: str
    layers: tuple[Layer, ...]


class Override(msgspec.Struct, frozen=True):
    """``person`` is on call from ``starts_at`` until just before ``ends_at``, whatever the layers say."""

    person: str
    starts_at: int
    ends_at: int
    id: int = 0
    author: str = ""


class Turn(msgspec.Struct, frozen=True):
    """A person's turn in a layer: from ``starts_at`` until just before ``ends_at``."""

    person: str
    starts_at: float
    ends_at: float


class Duty(msgspec.Struct, frozen=True):
    """Who is on call and why: ``override`` or ``layer 1``, …; nobody is a gap in the schedule."""

    person: str | None
    source: str = ""


class Shift(msgspec.Struct, frozen=True):
    """A stretch of time in which the same person is on call, or nobody."""

    starts_at: float
    ends_at: float
    duty: Duty


def build_schedules(settings: Mapping[str, OnCallSettings]) -> dict[str, OnCallSchedule]:
    """Return the schedules as configured, by name."""
    return {
        name: OnCallSchedule(name, one.zone, tuple(_layer(layer) for layer in one.layers))
        for name, one in settings.items()
    }


def turn(layer: Layer, zone: str, now: float) -> Turn:
    """Return whose turn it is in ``layer`` at ``now``, whether or not the layer is on duty then."""
    tz = ZoneInfo(zone)
    day = datetime.fromtimestamp(now, tz).date() + ONE_DAY
    while not (_is_handoff(layer, day) and calendars.moment(day, layer.minute, tz) <= now):
        day -= ONE_DAY
    length = 1 if layer.weekday is None else 7
    first = layer.start
    while not _is_handoff(layer, first):
        first -= ONE_DAY
    index = (day - first).days // length
    return Turn(
        layer.people[index % len(layer.people)],
        calendars.moment(day, layer.minute, tz),
        calendars.moment(day + timedelta(days=length), layer.minute, tz),
    )


def on_call(
    schedule: OnCallSchedule, intervals: Mapping[str, Interval], overrides: Sequence[Override], now: float
) -> Duty:
    """Return who is on call at ``now``. Of overrides that overlap, the one with the highest id counts."""
    current = [o for o in overrides if o.starts_at <= now < o.ends_at]
    if current:
        return Duty(max(current, key=lambda override: override.id).person, "override")
    for number, layer in enumerate(schedule.layers, 1):
        if not layer.during or inside(intervals, layer.during, now) is not None:
            return Duty(turn(layer, schedule.zone, now).person, f"layer {number}")
    return Duty(None)


def shifts(
    schedule: OnCallSchedule,
    intervals: Mapping[str, Interval],
    overrides: Sequence[Override],
    start: float,
    end: float,
) -> list[Shift]:
    """Return the shifts from ``start`` until ``end``, without gaps between them, each with another person or nobody."""
    found: list[Shift] = []
    moments = sorted({start, end, *_changes(schedule, intervals, overrides, start, end)})
    for begins, ends in itertools.pairwise(moments):
        duty = on_call(schedule, intervals, overrides, begins)
        if found and found[-1].duty.person == duty.person:
            found[-1] = msgspec.structs.replace(found[-1], ends_at=ends)
        else:
            found.append(Shift(begins, ends, duty))
    return found


def gaps(
    schedule: OnCallSchedule,
    intervals: Mapping[str, Interval],
    overrides: Sequence[Override],
    start: float,
    end: float,
) -> list[Shift]:
    """Return the times from ``start`` until ``end`` at which nobody is on call."""
    return [s for s in shifts(schedule, intervals, overrides, start, end) if s.duty.person is None]


def _layer(settings: LayerSettings) -> Layer:
    handoff = calendars.parse_schedule(settings.handoff)
    return Layer(
        tuple(settings.people), handoff.weekday, handoff.minute, settings.start, tuple(settings.during)
    )


def _is_handoff(layer: Layer, day: date) -> bool:
    return layer.weekday is None or day.weekday() == layer.weekday


def _changes(
    schedule: OnCallSchedule,
    intervals: Mapping[str, Interval],
    overrides: Iterable[Override],
    start: float,
    end: float,
) -> Iterator[float]:
    """Yield the moments after ``start`` and before ``end`` at which somebody else may be on call."""
    moments = [moment for o in overrides for moment in (o.starts_at, o.ends_at)]
    yield from (moment for moment in moments if start < moment < end)
    for layer in schedule.layers:
        moment = turn(layer, schedule.zone, start).ends_at
        while moment < end:
            yield moment
            moment = turn(layer, schedule.zone, moment).ends_at
    for name in {name for layer in schedule.layers for name in layer.during if name in intervals}:
        yield from edges(intervals[name], start, end)
