"""Incidents: the list, and one incident with its alerts, its escalation and its timeline."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.operations import alert_actions, incidents, urgency
from chainwatch.operations.context import Context

LIST = "/ui/incidents"
LIMIT = 50
ALERTS_SHOWN, LINES_SHOWN = 50, 200
"""Alerts of one incident that are shown, with lines of the timeline about them."""


def read_list(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of incidents: the open ones, or all."""
    is_all = asked.text("state") == "all"
    after = asked.text("after") or None
    page = incidents.list_incidents(connection, context, now, is_open=not is_all, limit=LIMIT, after=after)
    return {"page": page, "is_all": is_all}


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return one incident. Raises ``NotFound``."""
    incident_id = asked.id("incident")
    incident = incidents.show_incident(connection, context, now, incident_id, most=ALERTS_SHOWN)
    firing = [one.id for one in incident.alerts if one.state == "firing"]
    described = urgency.describe(connection, context, now, firing)
    return {
        "incident": incident,
        "timeline": incident.timeline[: -LINES_SHOWN - 1 : -1],
        "taken": {one.alert.id: one.acknowledged for one in described},
        "unacknowledged": len(incidents.unacknowledged_alerts(connection, context, now, incident_id)),
        "progress": incidents.escalation_progress(connection, context, now, incident_id),
    }


def acknowledge(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Acknowledge all alerts of the incident that fire and that nobody has acknowledged."""
    incident_id, lasts = asked.id("incident"), asked.length("lasts")
    ids = incidents.unacknowledged_alerts(connection, context, now, incident_id)
    alert_actions.acknowledge(connection, context, now, ids, asked.actor, asked.text("note"), lasts=lasts)
    return f"{LIST}/{incident_id}"


def add_note(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Add a note to the timeline."""
    incident_id = asked.id("incident")
    incidents.add_note(connection, context, now, incident_id, asked.actor, asked.text("note"))
    return f"{LIST}/{incident_id}"


SCREENS = (
    Screen(LIST, "incidents.html", read_list, nav="Incidents"),
    Screen(LIST + "/{incident}", "incident.html", read, section="Incidents"),
)
ACTIONS = (
    Action(LIST + "/{incident}/acknowledge", acknowledge),
    Action(LIST + "/{incident}/note", add_note),
)
