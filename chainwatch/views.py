"""What people and machines are shown of transfers and networks: plain dicts, ready for JSON or a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from chainwatch.checker.flow import UNKNOWN_NETWORK, Flow
from chainwatch.checker.transfer import step_views
from chainwatch.model import Occurrence, Transfer, to_hex

PERCENTILES = (50, 90, 99)


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


def latency(
    flows: Mapping[str, Flow], transfers: Iterable[Transfer], seen: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Per flow, route and expected step: how long it took from the opening step, in seconds of chain time.

    ``overdue`` counts the steps that are late or missing past their deadline. Sorted by flow, route and step order.
    """
    routes: dict[tuple[str, str, str], dict[str, _Times]] = {}
    for transfer in transfers:
        flow = flows.get(transfer.flow)
        opened_at = transfer.opened_at
        if flow is None or opened_at is None:
            continue
        name = transfer.flow, transfer.origin or "", transfer.destination or ""
        route = routes.setdefault(name, {})
        for step, network, due_at, event in step_views(flow, transfer):
            times = route.get(step.name) or route.setdefault(step.name, _Times([], []))
            if event is None:
                if seen.get(network, 0) > due_at:
                    times.overdue.append(due_at)
            else:
                times.took.append(event.timestamp - opened_at)
                if event.timestamp > due_at:
                    times.overdue.append(due_at)
    return [
        _latency_row(name, step.name, routes[name][step.name])
        for name in sorted(routes)
        for step in flows[name[0]].expected
        if step.name in routes[name]
    ]


class _Times(NamedTuple):
    """Of one step on one route: the seconds that it took, and when it was due where that was missed."""

    took: list[int]
    overdue: list[int]


def _latency_row(route: tuple[str, str, str], step: str, times: _Times) -> dict[str, Any]:
    durations = sorted(times.took)
    flow, origin, destination = route
    row: dict[str, Any] = {
        "flow": flow,
        "origin": origin,
        "destination": destination,
        "step": step,
        "count": len(durations),
    }
    for percent in PERCENTILES:
        row[f"p{percent}"] = _percentile(durations, percent)
    return row | {"max": durations[-1] if durations else None, "overdue": len(times.overdue)}


def _percentile(ordered: list[int], percent: int) -> int | None:
    """The nearest-rank percentile of ascending values."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


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
