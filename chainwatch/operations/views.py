"""What people and machines are shown of transfers and networks: plain dicts, ready for JSON or a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainwatch.checker.flow import UNKNOWN_NETWORK, Flow
from chainwatch.checker.step_views import step_views
from chainwatch.model import Occurrence, Transfer, to_hex


def transfer_view(flow: Flow | None, transfer: Transfer, seen: Mapping[str, int]) -> dict[str, Any]:
    """One transfer with its steps and deadlines. Times are chain time in Unix seconds.

    ``late_by`` is in seconds, 0 for a step in time, None where nothing says when it was due. A deadline's state is ``open``,
    ``met``, ``late`` or ``overdue``. ``flow`` is None when it is no longer configured.
    """
    views = step_views(flow, transfer) if flow else []
    steps: dict[str, dict[str, Any]] = {}
    for occurrence in transfer.occurrences:
        steps.setdefault(
            occurrence.step,
            _step(occurrence, 0 if views and flow and occurrence.step == flow.opening.name else None),
        )
    deadlines = []
    for view in views:
        if view.event is not None:
            late_by = max(0, view.event.timestamp - view.due_at)
            steps[view.step.name] = _step(view.event, late_by)
            state = "late" if late_by else "met"
        else:
            state = "overdue" if seen.get(view.network, 0) > view.due_at else "open"
        deadlines.append({"step": view.step.name, "due_at": view.due_at, "state": state})
    return {
        "flow": transfer.flow,
        "key": transfer.key,
        "status": transfer.status,
        "origin": _network(transfer.origin),
        "destination": _network(transfer.destination),
        "opened_at": transfer.opened_at,
        "steps": steps,
        "deadlines": deadlines,
    }


def _step(occurrence: Occurrence, late_by: int | None) -> dict[str, Any]:
    return {
        "network": occurrence.network,
        "block": occurrence.block,
        "timestamp": occurrence.timestamp,
        "tx_hash": to_hex(occurrence.tx_hash),
        "late_by": late_by,
    }


def _network(name: str | None) -> str | None:
    return name.removeprefix(UNKNOWN_NETWORK) if name else None
