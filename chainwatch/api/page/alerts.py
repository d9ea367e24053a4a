"""Alerts: the list, one alert with everything about it, and what people do about alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from chainwatch.api.page.rendering import is_web
from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.operations import alert_actions, alert_details, explanations, queries, urgency
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict, Invalid, NotFound
from chainwatch.operations.views import Changed
from chainwatch.presentation.presenter import FORMATTED, NETWORK_OF, URL

LIST = "/ui/alerts"
LIMIT = 100
FOLDED = ("summary", "description", "runbook_url")
"""Annotations that have a place of their own."""


def read_list(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of alerts, by the fields of the filter."""
    is_all, name = asked.text("state") == "all", asked.text("name")
    severities = [one for one in asked.fields.getall("severity", []) if one]
    page = queries.list_alerts(
        connection,
        context,
        now,
        firing=not is_all,
        name=name or None,
        severities=severities,
        limit=LIMIT,
        after=asked.text("after") or None,
    )
    return {"page": page, "is_all": is_all, "name": name, "severities": severities}


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return one alert: who has it, who was notified of it and why, and what happened to it. Raises ``NotFound``."""
    alert_id = asked.id("alert")
    alert = alert_details.show(connection, context, now, alert_id)
    (urgent,) = urgency.describe(connection, context, now, [alert_id])
    explained = explanations.explain(connection, context, now, alert_id)
    return {
        "alert": alert,
        "severity": urgent.severity,
        "counts_as": urgent.counts_as,
        "muted": urgent.muted,
        "incident": urgent.incident,
        "facts": facts(alert.annotations),
        "receivers": sorted(explained.receivers, key=lambda one: (not one.notifications, one.route is None)),
        "escalation": explained.escalation,
        "history": explained.history[::-1],
    }


class Fact(NamedTuple):
    """An annotation with what belongs to it: the network that it is of, links for it, and an amount in units."""

    name: str
    text: str
    network: str
    links: list[str]
    formatted: str


def facts(annotations: Mapping[str, str]) -> list[Fact]:
    """Return the annotations that have no place of their own, by name."""
    beside = {base + end for base in annotations for end in (NETWORK_OF, URL, FORMATTED)}
    return [
        Fact(
            name,
            text,
            annotations.get(name + NETWORK_OF, ""),
            [link for link in annotations.get(name + URL, "").split(", ") if is_web(link)],
            annotations.get(name + FORMATTED, ""),
        )
        for name, text in sorted(annotations.items())
        if name not in FOLDED and name not in beside
    ]


def acknowledge(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Acknowledge the alerts that the form names, in the name of whoever sends it."""
    ids = asked.numbers("id")
    note, lasts = asked.text("note"), asked.length("lasts")
    done = alert_actions.acknowledge(connection, context, now, ids, asked.actor, note, lasts=lasts)
    return _back(asked, done, "fires any more")


def unacknowledge(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Drop the acknowledgements of the alerts that the form names."""
    ids = asked.numbers("id")
    done = alert_actions.unacknowledge(connection, context, now, ids, asked.actor)
    return _back(asked, done, "is acknowledged")


def resolve(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Resolve by hand the alerts that the form names."""
    ids = asked.numbers("id")
    done = alert_actions.resolve(connection, context, now, ids, asked.actor, asked.text("note"))
    return _back(asked, done, "fires any more")


def _back(asked: Asked, changed: Changed, state: str) -> str:
    """Return the screen that the form came from; refuse where nothing could be changed."""
    if not changed.done:
        if changed.conflicting:
            raise Conflict(f"none of these alerts {state}: somebody was faster")
        raise (
            NotFound("no alert has such an ID") if changed.not_found else Invalid("choose at least one alert")
        )
    return asked.text("back") or LIST


SCREENS = (
    Screen(LIST, "alerts.html", read_list, nav="Alerts"),
    Screen(LIST + "/{alert}", "alert.html", read, section="Alerts"),
)
ACTIONS = (
    Action(LIST + "/acknowledge", acknowledge),
    Action(LIST + "/unacknowledge", unacknowledge),
    Action(LIST + "/resolve", resolve),
)
