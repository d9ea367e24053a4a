"""On-call: who is on call now and in the coming days, and putting somebody else on call for a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.operations import rota
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid
from chainwatch.operations.rota import ShiftView

LIST = "/ui/oncall"
DAY = 86_400.0
DAYS = 14


class Day(NamedTuple):
    """One day (UTC) of a schedule's calendar."""

    name: str
    at: float
    is_weekend: bool
    shifts: Sequence[ShiftView]


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return who is on call now, and the calendar of the coming days."""
    shifts = rota.calendar(connection, context, now, until=now + DAYS * DAY)
    return {
        "on_call": rota.on_call(connection, context, now),
        "calendar": {
            name: days([s for s in shifts if s.schedule == name], now) for name in context.settings.oncall
        },
        "overrides": rota.list_overrides(connection, context, now),
        "people": sorted(context.settings.people),
    }


def days(shifts: Sequence[ShiftView], now: float) -> list[Day]:
    """Return the days from ``now`` on, each with the shifts that are in it, clipped to it."""
    first = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    for number in range(DAYS + 1):
        day = first + timedelta(days=number)
        begin, end = day.timestamp(), (day + timedelta(days=1)).timestamp()
        within = [s for s in shifts if s.starts_at < end and (s.ends_at is None or s.ends_at > begin)]
        found.append(Day(day.strftime("%a %d %b"), begin, day.weekday() >= 5, within))
    return found


def override(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Put the person of the form on call, in the name of whoever sends it."""
    begins, lasts = asked.text("from"), asked.length("lasts")
    if lasts is None:
        raise Invalid("lasts: for how long? Give a length, such as 8h")
    rota.add_override(
        connection,
        context,
        now,
        asked.text("schedule"),
        asked.text("person"),
        asked.actor,
        starts_at=_moment(begins) if begins else None,
        lasts=lasts,
    )
    return LIST


def remove(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Remove the overrides that the form names."""
    if not rota.remove_overrides(connection, context, now, asked.numbers("id")).done:
        raise Conflict("there is no such override any more")
    return LIST


def _moment(text: str) -> float:
    """Return a date and time of a form, UTC unless it names an offset, in Unix seconds. Raises ``Invalid``."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise Invalid(f"from: {text[:100]!r} is not a date and time such as 2026-01-31T09:00") from None


SCREENS = (Screen(LIST, "oncall.html", read, nav="On-call", live=False),)
ACTIONS = (Action(LIST + "/override", override), Action(LIST + "/remove", remove))
