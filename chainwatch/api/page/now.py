"""The first screen: what is wrong now, and who has it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Asked, Screen
from chainwatch.operations import queries
from chainwatch.operations.context import Context


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return networks, queues, and what fires."""
    return {"status": queries.status(connection, context, now)}


SCREENS = (Screen("/ui/", "now.html", read, nav="Now"),)
