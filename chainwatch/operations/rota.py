"""Who is on call now and next, overrides, and gaps in which nobody is on call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import StoredOverride
from chainwatch.alerting.policy import oncall
from chainwatch.alerting.policy.intervals import Interval, build_intervals
from chainwatch.alerting.policy.oncall import OnCallSchedule, Override, Shift, build_schedules
from chainwatch.config import Settings
from chainwatch.operations.checks import ID_MAX, LAST_MOMENT, check_known, end_of, usable_ids
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.operations.views import Changed, changed
from chainwatch.store.alerting import escalations
from chainwatch.store.peek import peek

GAPS_WITHIN = 30 * 86_400.0
"""Seconds ahead in which ``check`` looks for gaps."""
HANDOFFS_WITHIN = 400 * 86_400.0
"""Seconds ahead in which handoffs are looked for."""
HANDOFFS_MAX = 100
CALENDAR_DAYS, CALENDAR_DAYS_MAX = 14, 62
"""Days that a calendar has by default, and at most."""
LAST_AT = LAST_MOMENT - 4 * 366 * 86_400
"""The last moment, Unix seconds, about which schedules can be asked: handoffs after it are still in the calendar."""


class ShiftView(msgspec.Struct, frozen=True, rename={"starts_at": "from", "ends_at": "until"}):
    """Who is on call in a schedule from ``starts_at`` until ``ends_at``, None for ever; ``person`` is None in a gap.

    ``by``: ``override``, or the layer as ``layer 1``.
    """

    schedule: str
    person: str | None
    by: str
    starts_at: float
    ends_at: float | None


class OverrideView(msgspec.Struct, frozen=True, rename={"starts_at": "from", "ends_at": "until"}):
    """``person`` is on call in ``schedule`` for a time, whatever its layers say."""

    id: int
    schedule: str
    person: str
    starts_at: float
    ends_at: float
    author: str


class Rota:
    """The schedules of a configuration with the stored overrides; None where those are not known."""

    def __init__(self, settings: Settings, overrides: Mapping[str, Sequence[StoredOverride]] | None) -> None:
        self.knows_overrides = overrides is not None
        self.schedules: dict[str, OnCallSchedule] = build_schedules(settings.oncall)
        self._intervals: dict[str, Interval] = build_intervals(settings.intervals)
        self._overrides = {
            name: [Override(o.person, o.starts_at, o.ends_at, o.id, o.author) for o in found]
            for name, found in (overrides or {}).items()
        }

    def shifts(self, name: str, start: float, end: float) -> list[Shift]:
        """Return who is on call in the schedule ``name`` from ``start`` until ``end``."""
        overrides = self._overrides.get(name, ())
        return oncall.shifts(self.schedules[name], self._intervals, overrides, start, end)


def configured(settings: Settings, at: float) -> Rota:
    """Return the schedules with the overrides that end after ``at``.

    Without a readable database, overrides are not known.
    """
    _check_at(at)
    found = peek(settings.store.url.get_secret_value(), lambda c: escalations.overrides(c, at))
    return Rota(settings, found)


def on_call(
    connection: sa.Connection,
    context: Context,
    now: float,
    schedules: Sequence[str] = (),
    at: float | None = None,
) -> list[ShiftView]:
    """As ``shifts_at`` by the stored overrides; ``at`` is now by default. Raises ``NotFound`` and ``Invalid``."""
    moment = now if at is None else at
    return shifts_at(_stored(connection, context, moment), schedules, moment)


def next_on_call(
    connection: sa.Connection,
    context: Context,
    now: float,
    schedules: Sequence[str] = (),
    at: float | None = None,
    number: int = 5,
) -> list[ShiftView]:
    """As ``handoffs_after`` by the stored overrides; ``at`` is now by default. Raises ``NotFound`` and ``Invalid``."""
    moment = now if at is None else at
    return handoffs_after(_stored(connection, context, moment), schedules, moment, number)


def calendar(
    connection: sa.Connection,
    context: Context,
    now: float,
    *,
    schedules: Sequence[str] = (),
    since: float | None = None,
    until: float | None = None,
) -> list[ShiftView]:
    """Return who is on call from ``since`` (default: now) until ``until`` (default: 14 days later), by schedule, with gaps.

    Raises ``NotFound`` and ``Invalid``.
    """
    begin = now if since is None else since
    end = begin + CALENDAR_DAYS * 86_400.0 if until is None else until
    if not begin < end <= begin + CALENDAR_DAYS_MAX * 86_400.0:
        raise Invalid(
            f"until: a calendar ends after it begins, and within {CALENDAR_DAYS_MAX} days: give another end"
        )
    rota = _stored(connection, context, begin)
    return [
        _view(name, shift) for name in _chosen(rota, schedules) for shift in rota.shifts(name, begin, end)
    ]


def shifts_at(rota: Rota, names: Sequence[str], at: float) -> list[ShiftView]:
    """Return who is on call at ``at``, in all schedules or those named. Raises ``NotFound``."""
    return [_view(name, shift) for name in _chosen(rota, names) for shift in _next(rota, name, at, 1)]


def handoffs_after(rota: Rota, names: Sequence[str], at: float, number: int) -> list[ShiftView]:
    """Return the next ``number`` handoffs after ``at`` in all schedules or those named.

    Raises ``NotFound`` and ``Invalid``.
    """
    if not 1 <= number <= HANDOFFS_MAX:
        raise Invalid(f"number: {number} is not between 1 and {HANDOFFS_MAX}")
    return [
        _view(name, shift) for name in _chosen(rota, names) for shift in _next(rota, name, at, number + 1)[1:]
    ]


def add_override(
    connection: sa.Connection,
    context: Context,
    now: float,
    schedule: str,
    person: str,
    author: str = "",
    *,
    starts_at: float | None = None,
    ends_at: float | None = None,
    lasts: float | None = None,
) -> OverrideView:
    """Put ``person`` on call in ``schedule`` from ``starts_at`` (default: now), to the whole second.

    Either the end is given in Unix seconds, or the length in seconds. Raises ``NotFound`` and ``Invalid``.
    """
    check_known("schedule", schedule, context.settings.oncall)
    check_known("person", person, context.settings.people)
    begins = now if starts_at is None else starts_at
    ends = end_of(begins, ends_at, lasts)
    if int(ends) <= int(begins):
        raise Invalid("an override must end after it begins: give a later end, or a length above 0")
    stored = (schedule, person, int(begins), int(ends), author)
    return OverrideView(escalations.add_override(connection, *stored, now), *stored)


def remove_override(connection: sa.Connection, context: Context, now: float, override_id: int) -> None:
    """Remove an override. Raises ``NotFound``."""
    known = 0 < override_id <= ID_MAX and escalations.remove_override(connection, override_id)
    if not known:
        raise NotFound(f"there is no override {override_id}; `chainwatch oncall override` lists them")


def remove_overrides(connection: sa.Connection, context: Context, now: float, ids: Sequence[int]) -> Changed:
    """Remove overrides."""
    known = {one: escalations.remove_override(connection, one) for one in usable_ids(ids)}
    return changed(ids, {one: True for one, removed in known.items() if removed})


def list_overrides(connection: sa.Connection, context: Context, now: float) -> list[OverrideView]:
    """Return the overrides that have not ended, by schedule, oldest first."""
    return [
        OverrideView(o.id, o.schedule, o.person, o.starts_at, o.ends_at, o.author)
        for some in escalations.overrides(connection, now).values()
        for o in some
    ]


def gaps_ahead(settings: Settings, at: float) -> list[ShiftView]:
    """Return when nobody is on call within the 30 days after ``at``; overrides count where there is a database."""
    if not settings.oncall:
        return []
    rota = configured(settings, at)
    return [
        _view(name, shift)
        for name in rota.schedules
        for shift in rota.shifts(name, at, at + GAPS_WITHIN)
        if shift.duty.person is None
    ]


def _check_at(at: float) -> None:
    if not 0 <= at <= LAST_AT:
        raise Invalid(f"at: {at} is not a time in Unix seconds between the years 1970 and 9995; give one")


def _stored(connection: sa.Connection, context: Context, at: float) -> Rota:
    _check_at(at)
    return Rota(context.settings, escalations.overrides(connection, at))


def _next(rota: Rota, name: str, at: float, number: int) -> list[Shift]:
    """Return the shift at ``at`` and those after it, ``number`` in all.

    Where no end is in sight the last one never ends.
    """
    ahead = 16 * 86_400.0
    while True:
        found = rota.shifts(name, at, at + ahead)
        if len(found) > number:
            return found[:number]
        if ahead > HANDOFFS_WITHIN:
            return [*found[:-1], msgspec.structs.replace(found[-1], ends_at=math.inf)]
        ahead *= 4


def _chosen(rota: Rota, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        check_known("schedule", name, rota.schedules)
    return names or rota.schedules


def _view(schedule: str, shift: Shift) -> ShiftView:
    ends_at = None if shift.ends_at == math.inf else shift.ends_at
    return ShiftView(schedule, shift.duty.person, shift.duty.source, shift.starts_at, ends_at)
