"""Transfers: search and routes, one transfer across its networks, and how long steps took over time."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from chainwatch.api.page.screen import Asked, Screen
from chainwatch.model import TRANSFER_STATUSES
from chainwatch.operations import queries, transfer_details, transfer_reports
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid, NotFound

LIST = "/ui/transfers"
LATENCY = "/ui/latency"
LIMIT = 50
WINDOWS = {"24h": 86_400.0, "7d": 7 * 86_400.0, "30d": 30 * 86_400.0, "90d": 90 * 86_400.0}
FILTERS = ("flow", "status", "origin", "destination")

_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")


def read_list(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return a page of transfers by the search and the filter, and the routes where nothing is searched for."""
    searched = asked.text("q")
    chosen = {name: asked.text(name) for name in FILTERS}
    is_address = _ADDRESS.fullmatch(searched) is not None
    wrong = ""
    if chosen["status"] and chosen["status"] not in TRANSFER_STATUSES:
        wrong = f"{chosen['status'][:100]!r} is no status of transfers"
    after = asked.text("after")
    page = (
        None
        if wrong
        else queries.list_transfers(
            connection,
            context,
            now,
            flow=chosen["flow"] or None,
            statuses=[chosen["status"]] if chosen["status"] else [],
            key=searched if searched and not is_address else None,
            address=searched if is_address else None,
            origin=chosen["origin"] or None,
            destination=chosen["destination"] or None,
            limit=LIMIT,
            after=after or None,
        )
    )
    is_first = not searched and not after and not any(chosen.values())
    return {
        "page": page,
        "wrong": wrong,
        "searched": searched,
        "is_address": is_address,
        "chosen": chosen,
        "flows": list(context.flows),
        "networks": list(context.settings.networks),
        "statuses": TRANSFER_STATUSES,
        "report": transfer_reports.routes(connection, context, now) if is_first else None,
    }


def read(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return one transfer. Raises ``NotFound``."""
    flow, key = asked.path["flow"], asked.path["key"]
    if "\0" in flow + key:  # PostgreSQL compares no such text
        raise NotFound("no transfer has a key with the character NUL")
    one = transfer_details.show_transfer(connection, context, now, flow, key)
    return {"one": one, "runbook": context.flows[one.flow].runbook_url if one.flow in context.flows else None}


def read_latency(connection: sa.Connection, context: Context, now: float, asked: Asked) -> dict[str, Any]:
    """Return how long steps took in a window, by route and over time."""
    flow, window = asked.text("flow"), asked.text("window") or "24h"
    if window not in WINDOWS:
        raise Invalid(f"window: {window[:100]!r} is none of {', '.join(WINDOWS)}")
    report = transfer_reports.latency_over_time(
        connection, context, now, flow=flow or None, since=now - WINDOWS[window], until=now
    )
    return {
        "report": report,
        "flow": flow,
        "flows": list(context.flows),
        "window": window,
        "windows": WINDOWS,
    }


SCREENS = (
    Screen(LIST, "transfers.html", read_list, nav="Transfers"),
    Screen(LIST + "/{flow}/{key:.+}", "transfer.html", read, section="Transfers"),
    Screen(LATENCY, "latency.html", read_latency, nav="Latency", live=False),
)
