"""The configuration: the tree of routes with a tester, receivers that can be tested, and flows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Action, Asked, Screen
from chainwatch.api.reads import Reads
from chainwatch.api.samples import outcome_of
from chainwatch.api.writes import Writes
from chainwatch.operations import configured, notifications, receiver_test, routing
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.operations.receiver_test import Sample

LIST = "/ui/configuration"


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return routes, as an alert with the labels of the form takes them, receivers, flows, and a test's outcome."""
    text, wrong = asked.text("labels"), ""
    labels = [line.strip() for line in text.split("\n") if line.strip()]
    try:
        tree = routing.find_routes(connection, context, now, labels=labels)
    except Invalid as error:
        tree, wrong = routing.find_routes(connection, context, now), str(error)
    tested = asked.numbers("tested")
    return {
        "labels": text,
        "is_tested": bool(labels) and not wrong,
        "wrong": wrong,
        "tree": tree,
        "receivers": configured.list_receivers(connection, context, now),
        "flows": configured.list_flows(connection, context, now),
        "tested": notifications.find(connection, context, now, tested[-1]) if tested else None,
    }


def queue(connection: sa.Connection, context: Context, now: float, asked: Asked) -> Sample:
    """Queue a sample for the receiver of the form."""
    return receiver_test.queue_sample(connection, context, now, asked.text("receiver"))


async def wait(reads: Reads, writes: Writes, sample: Sample) -> str:
    """Wait for the outcome of ``sample``, and return the screen that shows it."""
    await outcome_of(reads, writes, sample)
    return f"{LIST}?tested={sample.notification_id}#receivers"


SCREENS = (Screen(LIST, "configuration.html", read, nav="Configuration", live=False),)
ACTIONS = (Action(LIST + "/test", queue, wait),)
