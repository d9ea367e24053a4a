"""Counts transfers by status and how long their steps took, as they change."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

from chainwatch.checker.flow import Flow
from chainwatch.checker.step_views import step_views
from chainwatch.model import EXCLUDED, Transfer

T = TypeVar("T")

PERCENTILES = (50, 90, 99)


class Tally:
    """Counts the transfers of ``flows``, but not those that a flow's ``where`` leaves out.

    Its memory grows with the number of different durations and of missing steps, not with that of transfers.
    """

    def __init__(self, flows: Mapping[str, Flow]) -> None:
        self._flows = flows
        self._statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._routes: defaultdict[_Route, defaultdict[str, _Times]] = defaultdict(lambda: defaultdict(_Times))

    def add(self, transfers: Iterable[Transfer]) -> None:
        """Count ``transfers``, of which none was counted before."""
        for transfer in transfers:
            self._count(transfer, 1)

    def change(self, changed: Iterable[tuple[Transfer, Transfer]]) -> None:
        """Count transfers as (before, after), of which ``before`` has no id where it was not counted yet."""
        for before, after in changed:
            if before.id:
                self._count(before, -1)
            if after.occurrences or after.raised:
                self._count(after, 1)

    def statuses(self) -> dict[str, dict[str, int]]:
        """Return how many transfers there are, by flow and status, in the order of the names."""
        return {
            flow: present
            for flow, counts in sorted(self._statuses.items())
            if (present := {status: count for status, count in sorted(counts.items()) if count})
        }

    def latency(self, seen: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return per flow, route and expected step the time from the opening step, in seconds of chain time.

        ``overdue`` counts the steps that are late, or missing on a network that was ``seen`` past their deadline.
        Sorted by flow, route and step order.
        """
        return [
            _latency_row(route, step.name, times, seen)
            for route, steps in sorted(self._routes.items())
            for step in self._flows[route.flow].expected
            if (times := steps.get(step.name)) is not None and (times.took or times.missing)
        ]

    def _count(self, transfer: Transfer, number: int) -> None:
        flow = self._flows.get(transfer.flow)
        if flow is None or transfer.status == EXCLUDED:
            return
        self._statuses[flow.name][transfer.status] += number
        opened_at = transfer.opened_at
        if opened_at is None:
            return
        steps = self._routes[_Route(flow.name, transfer.origin or "", transfer.destination or "")]
        for step, network, due_at, event in step_views(flow, transfer):
            times = steps[step.name]
            if event is None:
                _add(times.missing, (network, due_at), number)
                continue
            _add(times.took, event.timestamp - opened_at, number)
            if event.timestamp > due_at:
                times.late += number


class _Route(NamedTuple):
    flow: str
    origin: str
    destination: str


@dataclass(slots=True)
class _Times:
    """One step on one route: how often it took how many seconds, is missing on (network, due_at), and was late."""

    took: Counter[int] = field(default_factory=Counter)
    missing: Counter[tuple[str, int]] = field(default_factory=Counter)
    late: int = 0


def _add(counts: Counter[T], key: T, number: int) -> None:
    """Add as ``+=`` does, but remove what comes to zero."""
    counts[key] += number
    if not counts[key]:
        del counts[key]


def _latency_row(route: _Route, step: str, times: _Times, seen: Mapping[str, int]) -> dict[str, Any]:
    durations = sorted(times.took)
    ranks = list(accumulate(times.took[duration] for duration in durations))
    row: dict[str, Any] = {**route._asdict(), "step": step, "count": ranks[-1] if ranks else 0}
    for percent in PERCENTILES:
        row[f"p{percent}"] = durations[_nearest(ranks, percent)] if durations else None
    overdue = sum(n for (network, due_at), n in times.missing.items() if seen.get(network, 0) > due_at)
    return row | {"max": durations[-1] if durations else None, "overdue": times.late + overdue}


def _nearest(ranks: list[int], percent: int) -> int:
    """Return the index of the nearest-rank percentile among ascending values with these highest ``ranks``."""
    return bisect_left(ranks, -(-ranks[-1] * percent // 100))
