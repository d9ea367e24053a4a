"""Who is on call, as the commands show and change it: now, next, instead of whom, and when nobody is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chainwatch.alert_model import StoredOverride
from chainwatch.alerting.policy import oncall
from chainwatch.alerting.policy.intervals import Interval, build_intervals
from chainwatch.alerting.policy.oncall import OnCallSchedule, Override, Shift, build_schedules
from chainwatch.config import Settings
from chainwatch.operations.alert_context import AlertLook
from chainwatch.store.alerting import escalations
from chainwatch.store.peek import peek
from chainwatch.support.spelling import did_you_mean

GAPS_WITHIN = 30 * 86_400.0
"""Seconds ahead in which ``check`` looks for gaps."""
HANDOFFS_WITHIN = 400 * 86_400.0
"""Seconds ahead in which handoffs are looked for."""


class NoSuchName(LookupError):
    """There is no schedule, person or override as named."""


class Rota:
    """The schedules of a configuration with the overrides that are stored; None where that is not known."""

    def __init__(self, settings: Settings, overrides: Mapping[str, Sequence[StoredOverride]] | None) -> None:
        self.knows_overrides = overrides is not None
        self.schedules: dict[str, OnCallSchedule] = build_schedules(settings.oncall)
        self._intervals: dict[str, Interval] = build_intervals(settings.intervals)
        self._overrides = {
            name: [Override(o.person, o.starts_at, o.ends_at, o.id, o.author) for o in found]
            for name, found in (overrides or {}).items()
        }

    def shifts(self, name: str, start: float, end: float) -> list[Shift]:
        """Who is on call by the schedule ``name`` from ``start`` until ``end``."""
        overrides = self._overrides.get(name, ())
        return oncall.shifts(self.schedules[name], self._intervals, overrides, start, end)


def stored(look: AlertLook, at: float) -> Rota:
    """The schedules with the overrides that end after ``at``."""
    with look.database.reading() as connection:
        return Rota(look.settings, escalations.overrides(connection, at))


def configured(settings: Settings, at: float) -> Rota:
    """As ``stored``, also where there is no database, or none that can be read: then overrides are not known."""
    found = peek(settings.store.url.get_secret_value(), lambda c: escalations.overrides(c, at))
    return Rota(settings, found)


def now(rota: Rota, names: Sequence[str], at: float) -> list[dict[str, Any]]:
    """Who is on call at ``at``, by schedule: all of them, or those named; ``until`` is when that changes.

    Raises ``NoSuchName``.
    """
    return [_shift(name, shift) for name in _chosen(rota, names) for shift in _next(rota, name, at, 1)]


def upcoming(rota: Rota, names: Sequence[str], at: float, number: int) -> list[dict[str, Any]]:
    """The next ``number`` handoffs of each schedule after ``at``. Raises ``NoSuchName``."""
    return [
        _shift(name, shift)
        for name in _chosen(rota, names)
        for shift in _next(rota, name, at, number + 1)[1:]
    ]


def override(look: AlertLook, schedule: str, person: str, starts_at: int, ends_at: int, author: str) -> int:
    """Put ``person`` on call from ``starts_at`` until ``ends_at``; the override's id. Raises ``NoSuchName``."""
    settings = look.settings
    _known(schedule, settings.oncall, "schedule")
    _known(person, settings.people, "person")
    if ends_at <= starts_at:
        raise NoSuchName("an override must end after it begins: see --from, --until and --for")
    with look.database.transaction() as connection:
        return escalations.add_override(connection, schedule, person, starts_at, ends_at, author, look.now)


def remove(look: AlertLook, override_id: int) -> None:
    """Take an override back. Raises ``NoSuchName``."""
    with look.database.transaction() as connection:
        if not escalations.remove_override(connection, override_id):
            raise NoSuchName(f"there is no override {override_id}; `chainwatch oncall override` lists them")


def overrides(look: AlertLook) -> list[dict[str, Any]]:
    """The overrides that have not ended."""
    with look.database.reading() as connection:
        found = escalations.overrides(connection, look.now)
    return [
        {
            "id": o.id,
            "schedule": o.schedule,
            "person": o.person,
            "from": o.starts_at,
            "until": o.ends_at,
            "author": o.author,
        }
        for some in found.values()
        for o in some
    ]


def gaps_ahead(settings: Settings, at: float) -> list[dict[str, Any]]:
    """When nobody is on call within the 30 days after ``at``, by schedule; overrides count where there is a database."""
    if not settings.oncall:
        return []
    rota = configured(settings, at)
    return [
        _shift(name, shift)
        for name in rota.schedules
        for shift in rota.shifts(name, at, at + GAPS_WITHIN)
        if shift.duty.person is None
    ]


def _next(rota: Rota, name: str, at: float, number: int) -> list[Shift]:
    """The shift at ``at`` and those after it, ``number`` in all; where no end is in sight the last one never ends."""
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
        _known(name, rota.schedules, "schedule")
    return names or rota.schedules


def _known(name: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if name not in names:
        raise NoSuchName(f"no {what} is called {name!r}; {did_you_mean(name, names) or 'none is configured'}")


def _shift(schedule: str, shift: Shift) -> dict[str, Any]:
    return {
        "schedule": schedule,
        "person": shift.duty.person,
        "by": shift.duty.source,
        "from": int(shift.starts_at),
        "until": None if shift.ends_at == math.inf else int(shift.ends_at),
    }
