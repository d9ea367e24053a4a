"""What ``/metrics`` counts of transfers, at each moment of the past: from how they went, by chain time. Pure.

A replay knows its transfers whole. So their numbers at a moment do not depend on the order or size of what was read (S7).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from chainwatch.checker.flow import AMOUNT, Flow
from chainwatch.checker.raising import is_dispute
from chainwatch.checker.step_views import step_views
from chainwatch.model import DISPUTED, EXCLUDED, RESOLVED, TRANSFER_STATUSES, Transfer
from chainwatch.monitor.counting import COMPLETE
from chainwatch.operations.measures import place_label
from chainwatch.operations.transfer_reports import IN_FLIGHT
from chainwatch.operations.views import asset_of
from chainwatch.presentation.presenter import Presenter
from chainwatch.promql.series import NAME, Labels
from chainwatch.store.transfer_totals import place
from chainwatch.support.counters import STEP_SECONDS

OWN = {"job": "chainwatch"}
"""Labels of all series about chainwatch itself."""
_OVERDUE, _ORPHAN = "TransferOverdue", "TransferOrphan"
_ALWAYS = ("unopened", "untracked", RESOLVED)
"""Statuses that a transfer has from its first event on."""
_BOUNDS = STEP_SECONDS.bounds
_DIGITS = 77
"""Decimal digits of an amount that are kept: as many as a number of 256 bits has."""

Route = tuple[str, str, str]
Sample = tuple[Labels, float]


class _Number(NamedTuple):
    """A series whose value is a total, ``scale`` times too large: amounts are added exactly."""

    labels: Labels
    total: int
    scale: int


class _Histogram(NamedTuple):
    """Series of a histogram: totals of observations between two bounds are ``first`` and those after it, then their sum."""

    buckets: Sequence[Labels]
    number: Labels
    sum: Labels
    first: int


class PastTransfers:
    """The numbers of ``transfers``. ``wanted`` says which series are needed; others cost nothing."""

    def __init__(
        self,
        transfers: Iterable[Transfer],
        flows: Mapping[str, Flow],
        presenter: Presenter,
        wanted: Callable[[Labels], bool],
    ) -> None:
        self._flows = flows
        self._presenter = presenter
        self._wanted = wanted
        self._totals: list[int] = []
        self._numbers: dict[tuple[str, ...], int | None] = {}
        """The total of each series by its name and labels' values; None for one that nobody needs."""
        self._series: list[_Number] = []
        self._histograms: dict[tuple[str, ...], _Histogram | None] = {}
        self._changed_at, self._changed = array("q"), array("q")
        """Of each change its chain time, and which total rises by what stands at the same place in ``_rises``."""
        self._rises: list[int] = []
        self._flights: dict[Route, list[tuple[int, int | None]]] = {}
        """By route, when transfers were opened, and when they were in flight no more."""
        self._routes: set[Route] = set()
        for flow in flows:
            self._count_from_zero((flow, "", ""))
        for transfer in transfers:
            if transfer.flow in flows and transfer.status != EXCLUDED:
                self._add(transfer)
        self._order: Sequence[int] = np.argsort(np.asarray(self._changed_at), kind="stable").tolist()
        self._done = 0
        for flights in self._flights.values():
            flights.sort(key=lambda flight: flight[0], reverse=True)
        self._ages = [
            (labels, flights)
            for route, flights in sorted(self._flights.items())
            if wanted(labels := _labels("transfers_oldest_age_seconds", route))
        ]

    def at(self, now: int) -> Iterator[Sample]:
        """Yield the samples at the chain time ``now`` (Unix seconds), which is later than the last time."""
        totals, order = self._totals, self._order
        while self._done < len(order) and self._changed_at[order[self._done]] <= now:
            change = order[self._done]
            totals[self._changed[change]] += self._rises[change]
            self._done += 1
        for labels, total, scale in self._series:
            yield labels, totals[total] / scale
        for histogram in self._histograms.values():
            if histogram is not None:
                yield from self._observed(histogram)
        for labels, flights in self._ages:
            while flights and (end := flights[-1][1]) is not None and end <= now:
                flights.pop()
            yield labels, float(max(0, now - flights[-1][0])) if flights else 0.0

    def _observed(self, histogram: _Histogram) -> Iterator[Sample]:
        after = histogram.first + len(histogram.buckets)
        counts = list(accumulate(self._totals[histogram.first : after]))
        for labels, count in zip(histogram.buckets, counts, strict=True):
            yield labels, float(count)
        yield histogram.number, float(counts[-1])
        yield histogram.sum, float(self._totals[after])

    # --- from transfers to changes ----------------------------------------------------------------------------

    def _add(self, transfer: Transfer) -> None:
        route = transfer.flow, place_label(place(transfer.origin)), place_label(place(transfer.destination))
        self._count_from_zero(route)
        before: str | None = None
        left: int | None = None
        for at, status in _statuses(self._flows[transfer.flow], transfer):
            if before is not None:
                self._change(at, -1, "transfers", (*route, before))
            self._change(at, 1, "transfers", (*route, status))
            self._change(at, 1, "transfers_reached_total", (*route, status))
            is_in_flight, was_in_flight = status in IN_FLIGHT, before in IN_FLIGHT
            if is_in_flight is not was_in_flight:
                self._change(at, 1 if is_in_flight else -1, "transfers_in_flight", route)
                self._change_amount(at, 1 if is_in_flight else -1, transfer, route)
                left = None if is_in_flight else at
            before = status
        if transfer.opened_at is None:
            return
        self._change(transfer.opened_at, 1, "transfers_opened_total", route)
        self._change_amount(transfer.opened_at, 1, transfer, route, "transfers_opened_amount_total")
        if before in IN_FLIGHT or left is not None:
            self._flights.setdefault(route, []).append((transfer.opened_at, left))
        self._observe_times(transfer, route)

    def _observe_times(self, transfer: Transfer, route: Route) -> None:
        assert transfer.opened_at is not None
        known = {self._flows[transfer.flow].opening.name}
        for event in transfer.occurrences:
            if event.step not in known:
                known.add(event.step)
                took = max(0, event.timestamp - transfer.opened_at)
                labels = {"flow": transfer.flow, "step": event.step}
                self._observe(event.timestamp, took, "step_latency_seconds", labels)
        if transfer.status == COMPLETE:
            last = max(event.timestamp for event in transfer.occurrences)
            took = max(0, last - transfer.opened_at)
            self._observe(last, took, "transfer_latency_seconds", _route_labels(route))

    def _count_from_zero(self, route: Route) -> None:
        """Have the series of a route from the beginning on."""
        if route in self._routes:
            return
        self._routes.add(route)
        self._flights.setdefault(route, [])
        for name in ("transfers_in_flight", "transfers_opened_total"):
            self._total(name, route)
        for status in TRANSFER_STATUSES:
            for name in ("transfers", "transfers_reached_total"):
                self._total(name, (*route, status))

    def _change_amount(
        self,
        at: int,
        sign: int,
        transfer: Transfer,
        route: Route,
        name: str = "transfers_in_flight_amount",
    ) -> None:
        event = next((one for one in transfer.occurrences if AMOUNT in one.facts), None)
        asset = asset_of(event) if event is not None else None
        if event is None or asset is None or not self._presenter.is_named(asset):
            return
        amount, known = event.facts[AMOUNT], self._presenter.assets([asset]).get(asset)
        if isinstance(amount, int) and known is not None:
            exact = amount * 10**_DIGITS // 10**known.decimals
            self._change(at, sign * exact, name, (*route, known.symbol), 10**_DIGITS)

    def _change(self, at: int, by: int, name: str, values: tuple[str, ...], scale: int = 1) -> None:
        total = self._total(name, values, scale)
        if total is not None:
            self._note(at, total, by)

    def _note(self, at: int, total: int, by: int) -> None:
        self._changed_at.append(at)
        self._changed.append(total)
        self._rises.append(by)

    def _total(self, name: str, values: tuple[str, ...], scale: int = 1) -> int | None:
        """Return the total of a series; None where nobody needs it."""
        key = (name, *values)
        if key not in self._numbers:
            labels = _labels(name, values)
            self._numbers[key] = self._new_totals(1) if self._wanted(labels) else None
            if (total := self._numbers[key]) is not None:
                self._series.append(_Number(labels, total, scale))
        return self._numbers[key]

    def _observe(self, at: int, value: int, name: str, labels: Mapping[str, str]) -> None:
        key = (name, *labels.values())
        if key not in self._histograms:
            self._histograms[key] = self._new_histogram(f"chainwatch_{name}", {**labels, **OWN})
        histogram = self._histograms[key]
        if histogram is not None:
            self._note(at, histogram.first + bisect_left(_BOUNDS, value), 1)
            self._note(at, histogram.first + len(histogram.buckets), value)

    def _new_histogram(self, name: str, labels: Mapping[str, str]) -> _Histogram | None:
        bounds = [*map(str, map(float, _BOUNDS)), "+Inf"]
        buckets = [Labels({NAME: f"{name}_bucket", "le": bound, **labels}) for bound in bounds]
        count, total = Labels({NAME: f"{name}_count", **labels}), Labels({NAME: f"{name}_sum", **labels})
        if not any(map(self._wanted, (*buckets, count, total))):
            return None
        return _Histogram(buckets, count, total, self._new_totals(len(buckets) + 1))

    def _new_totals(self, number: int) -> int:
        self._totals += [0] * number
        return len(self._totals) - number


def _statuses(flow: Flow, transfer: Transfer) -> list[tuple[int, str]]:
    """Return since when (chain time) the transfer had which status, in order; the last is what it came to."""
    first = min((event.timestamp for event in transfer.occurrences), default=0)
    if transfer.status in _ALWAYS:
        return [(first, transfer.status)]
    complete_at = _complete_at(flow, transfer)
    times = {first, *(() if complete_at is None else (complete_at,))}
    for raised in transfer.raised.values():
        times.add(max(first, raised.starts_at))
        if raised.ends_at is not None:
            times.add(max(first, raised.ends_at))
    found: list[tuple[int, str]] = []
    for at in sorted(times):
        status = _status(transfer, at, is_complete=complete_at is not None and at >= complete_at)
        if not found or found[-1][1] != status:
            found.append((at, status))
    return found


def _complete_at(flow: Flow, transfer: Transfer) -> int | None:
    """Return when the last step was there that its flow expects; None where one is missing."""
    events = [event for _, _, _, event in step_views(flow, transfer)]
    if transfer.opened_at is not None and events and None not in events:
        return max(transfer.opened_at, *(event.timestamp for event in events if event is not None))
    if transfer.status == COMPLETE:
        return max(event.timestamp for event in transfer.occurrences)
    return None


def _status(transfer: Transfer, at: int, *, is_complete: bool) -> str:
    """Return the status at this time, by the alerts that the transfer had raised then."""
    raised = {
        one.labels["alertname"]
        for one in transfer.raised.values()
        if one.starts_at <= at and (one.ends_at is None or at < one.ends_at)
    }
    if _ORPHAN in raised:
        return "orphan"
    if any(map(is_dispute, raised)):
        return DISPUTED
    if is_complete:
        return COMPLETE
    return "overdue" if _OVERDUE in raised else "open"


def _labels(name: str, values: Sequence[str]) -> Labels:
    """Return the labels of a series by route, then by status or asset."""
    more = dict(zip(_MORE.get(name, ()), values[3:], strict=True))
    return Labels({NAME: f"chainwatch_{name}", **_route_labels(values), **more, **OWN})


def _route_labels(values: Sequence[str]) -> dict[str, str]:
    return dict(zip(("flow", "origin", "destination"), values, strict=False))


_MORE: Mapping[str, Sequence[str]] = {
    "transfers": ("status",),
    "transfers_reached_total": ("status",),
    "transfers_in_flight_amount": ("asset",),
    "transfers_opened_amount_total": ("asset",),
}
