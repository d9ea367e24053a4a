"""Deliveries: the queues, what was given up, and having it tried again."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.operations import notifications, queries
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Conflict
from chainwatch.operations.views import Changed

LIST = "/ui/deliveries"
LIMIT = 100


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return the depths of the queues, and a page of notifications by the filter."""
    receiver, status = asked.text("receiver"), asked.text("status")
    page = notifications.list_notifications(
        connection,
        context,
        now,
        receiver=receiver or None,
        status=status or None,
        limit=LIMIT,
        after=asked.text("after") or None,
    )
    return {
        "page": page,
        "receiver": receiver,
        "status": status,
        "statuses": notifications.STATUSES,
        "queues": queries.status(connection, context, now).queues,
    }


def retry(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Have the notifications that the form names tried again at once."""
    done = notifications.retry(connection, context, now, asked.numbers("id"))
    return _back(asked, done, "it was delivered already")


def drop(connection: sa.Connection, context: Context, now: float, asked: Asked) -> str:
    """Drop the notifications that the form names."""
    done = notifications.drop(connection, context, now, asked.numbers("id"))
    return _back(asked, done, "it waits no more")


def _back(asked: Asked, changed: Changed, reason: str) -> str:
    if not changed.done:
        raise Conflict(
            f"nothing was changed: {reason if changed.conflicting else 'there is no such notification'}"
        )
    return asked.text("back") or LIST


SCREENS = (Screen(LIST, "deliveries.html", read, nav="Deliveries"),)
ACTIONS = (Action(LIST + "/retry", retry), Action(LIST + "/drop", drop))
