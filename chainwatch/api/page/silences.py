"""Silences: the list, and the form with which one is made or changed, which shows what it would hide right now."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.config import format_duration
from chainwatch.operations import alert_details, silence_editing, silencing
from chainwatch.operations.checks import end_of, parse_match
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound

LIST = "/ui/silences"
LIMIT = 50
HIDDEN_SHOWN = 20
"""Alerts that the form lists of those that a silence would hide."""
LASTS = "2h"


def read_list(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of silences: those that have not ended, or those that ended within a week too."""
    is_all = asked.text("state") == "all"
    after = asked.text("after") or None
    return {
        "page": silencing.list_silences(connection, context, now, ended=is_all, limit=LIMIT, after=after),
        "is_all": is_all,
    }


def read_form(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return the form: as sent to look at it, about an alert, or empty."""
    lines, lasts = asked.text("match"), asked.text("lasts") or LASTS
    if not lines and (alert := asked.numbers("alert")):
        lines = "\n".join(silence_editing.lines_about(alert_details.get(connection, alert[-1]).labels))
    return _form(connection, context, now, lines, lasts, asked.text("comment"), _during(asked))


def read_change(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return the form with a silence that has not ended. Raises ``NotFound`` and ``Conflict``."""
    found = silence_editing.silence_lines(connection, context, now, asked.id("silence"))
    if "match" in asked.fields:
        given = (asked.text("match"), asked.text("lasts"), asked.text("comment"), _during(asked))
    else:
        rest = format_duration(float(round(found.ends_at - max(now, found.starts_at))))
        given = ("\n".join(found.lines), rest, found.comment, list(found.during))
    return _form(connection, context, now, *given) | {"changes": found}


def add(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Make a silence in the name of whoever sends the form."""
    match, lasts = parse_match(_lines(asked.text("match"))), asked.length("lasts")
    comment, during = asked.text("comment"), _during(asked)
    silencing.add_silence(connection, context, now, match, asked.actor, comment, lasts=lasts, during=during)
    return LIST


def change(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Put another silence in the place of one."""
    silence_id, match = asked.id("silence"), parse_match(_lines(asked.text("match")))
    before = silence_editing.silence_lines(connection, context, now, silence_id)
    ends_at = end_of(max(now, before.starts_at), None, asked.length("lasts"), silencing.LASTS)
    comment, during = asked.text("comment"), _during(asked)
    silence_editing.replace_silence(
        connection, context, now, silence_id, match, asked.actor, comment, ends_at=ends_at, during=during
    )
    return LIST


def expire(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """End a silence now."""
    silence_id = asked.id("silence")
    ended = silencing.expire_silences(connection, context, now, [silence_id])
    if ended.not_found:
        raise NotFound(f"there is no silence {silence_id}")
    if ended.conflicting:
        raise Conflict(f"silence {silence_id} has ended already")
    return LIST


def _form(
    connection: sa.Connection,
    context: Context,
    now: float,
    lines: str,
    lasts: str,
    comment: str,
    during: list[str],
) -> dict[str, Any]:
    """Return the form's fields and what they would hide, or what is wrong with them."""
    hidden, wrong = [], ""
    if lines:
        try:
            hidden = silencing.preview(connection, context, now, parse_match(_lines(lines)))
        except Invalid as error:
            wrong = str(error)
    return {
        "lines": lines,
        "lasts": lasts,
        "comment": comment,
        "during": during,
        "intervals": sorted(context.settings.intervals),
        "wrong": wrong,
        "hides": len(hidden),
        "hidden": hidden[:HIDDEN_SHOWN],
        "changes": None,
    }


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _during(asked: Asked) -> list[str]:
    return [name for name in asked.fields.getall("during", []) if name]


SCREENS = (
    Screen(LIST, "silences.html", read_list, nav="Silences"),
    Screen(LIST + "/new", "silence.html", read_form, section="Silences", live=False),
    Screen(LIST + "/{silence}/change", "silence.html", read_change, section="Silences", live=False),
)
ACTIONS = (
    Action(LIST + "/new", add),
    Action(LIST + "/{silence}/change", change),
    Action(LIST + "/{silence}/expire", expire),
)
