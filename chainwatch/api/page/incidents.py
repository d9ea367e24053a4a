"""Incidents: the list, and one incident with its alerts, its escalation and its timeline."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.operations import incidents, urgency
from chainwatch.operations.context import Context

LIST = "/ui/incidents"
LIMIT = 50


def read_list(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of incidents: the open ones, or all."""
    is_all = asked.text("state") == "all"
    after = asked.text("after") or None
    page = incidents.list_incidents(connection, context, now, is_open=not is_all, limit=LIMIT, after=after)
    return {"page": page, "is_all": is_all}


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return one incident. Raises ``NotFound``."""
    incident_id = asked.id("incident")
    incident = incidents.show_incident(connection, context, now, incident_id)
    firing = [one.id for one in incident.alerts if one.state == "firing"]
    described = urgency.describe(connection, context, now, firing)
    return {
        "incident": incident,
        "taken": {one.alert.id: one.acknowledged for one in described},
        "unacknowledged": [one.alert.id for one in described if one.acknowledged is None],
        "progress": incidents.escalation_progress(connection, context, now, incident_id),
    }


def add_note(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Add a note to the timeline."""
    incident_id = asked.id("incident")
    incidents.add_note(connection, context, now, incident_id, asked.actor, asked.text("note"))
    return f"{LIST}/{incident_id}"


SCREENS = (
    Screen(LIST, "incidents.html", read_list, nav="Incidents"),
    Screen(LIST + "/{incident}", "incident.html", read, section="Incidents"),
)
ACTIONS = (Action(LIST + "/{incident}/note", add_note),)
