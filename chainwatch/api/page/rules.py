"""Rules: how each stands, what is wrong with it, and its alerts that are pending or fire."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Asked, Screen
from chainwatch.operations import rule_states
from chainwatch.operations.context import Context

LIMIT = 50
ALERTS_SHOWN = 10
"""Alerts that are shown of one rule."""


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of rules: all, those in a state, or those of a name."""
    state, name, after = asked.text("state"), asked.text("name"), asked.text("after")
    page = rule_states.list_rules(
        connection, context, now, name=name or None, state=state or None, limit=LIMIT, after=after or None
    )
    return {
        "page": page,
        "state": state,
        "name": name,
        "states": ("firing", "pending", "failing"),
        "alerts_shown": ALERTS_SHOWN,
    }


SCREENS = (Screen("/ui/rules", "rules.html", read, nav="Rules"),)
