"""The families of metrics, made of what is stored and of what this process has counted; their labels are few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from chainwatch.operations.invariant_values import InvariantValues
from chainwatch.operations.measures import OTHERS, Measures, place_label
from chainwatch.operations.queries import NetworkView
from chainwatch.operations.transfer_reports import IN_FLIGHT
from chainwatch.rule_engine.intake import SOURCES
from chainwatch.support import counters
from chainwatch.support.counters import Count, Histogram

STATES = ("starting", "catching up", "live", "blind", "stalled", "halted", "stopped")
ENDPOINT_STATES = ("ok", "degraded", "frozen", "down", "refused")
ROUTE = ["flow", "origin", "destination"]
ATTEMPT_OUTCOMES = ("delivered", "failed", "dead")

Labels = TypeVar("Labels", bound=tuple[str, ...])


def families(measures: Measures, builds: Mapping[str, str]) -> Iterator[Metric]:
    """Yield each family of metrics with its samples. ``builds``: versions by the name of what has them."""
    yield from _builds(builds)
    yield from _of_networks(measures)
    yield from _of_endpoints(measures)
    yield from _of_transfers(measures)
    yield from families_of_invariants(measures.invariants)
    yield from _of_alerts(measures)
    yield from _of_process()


def families_of_invariants(some: Sequence[InvariantValues]) -> Iterator[Metric]:
    """Yield the families of what invariants read, and how they stand."""
    labels = ["invariant", "element"]
    yield _gauge(
        "invariant_value",
        "A value that an invariant read at the block of its newest check",
        [*labels, "value", "network"],
        {(*of, *where): number for of, one in _by_labels(some) for where, number in one.values.items()},
    )
    yield _gauge(
        "invariant_holds",
        "1 if an invariant held at its newest check, 0 if not",
        labels,
        {of: float(one.holds) for of, one in _by_labels(some) if one.holds is not None},
    )
    yield _gauge(
        "invariant_unread",
        "1 if an invariant cannot be checked as its values are not read",
        labels,
        {of: float(one.is_unread) for of, one in _by_labels(some)},
    )
    yield _gauge(
        "invariant_checked_timestamp_seconds",
        "Chain time of an invariant's newest check",
        labels,
        {of: one.checked_at for of, one in _by_labels(some) if one.checked_at is not None},
    )


def _by_labels(some: Sequence[InvariantValues]) -> Iterator[tuple[tuple[str, str], InvariantValues]]:
    return (((one.name, one.element), one) for one in some)


def _builds(builds: Mapping[str, str]) -> Iterator[Metric]:
    for name, number in builds.items():
        build = InfoMetricFamily(f"{name}_build", f"The version of {name} that runs, or is spoken here")
        build.add_metric([], {"version": number})
        yield build


def _of_networks(measures: Measures) -> Iterator[Metric]:
    views, now = measures.networks, measures.at

    def each(name: str, meaning: str, value: Callable[[NetworkView], float | None]) -> Metric:
        found = {(view.name,): number for view in views if (number := value(view)) is not None}
        return _gauge(f"network_{name}", meaning, ["network"], found)

    yield each("head_block", "The newest block that is known", lambda n: n.head)
    yield each(
        "checkpoint_block",
        "The last block that was read",
        lambda n: None if n.checkpoint is None else n.checkpoint.number,
    )
    yield each(
        "checkpoint_timestamp_seconds",
        "Chain time of the last block that was read",
        lambda n: None if n.checkpoint is None else n.checkpoint.timestamp,
    )
    yield each("lag_blocks", "Blocks that are known and not read", lambda n: n.lag_blocks)
    yield each(
        "seen_until_timestamp_seconds",
        "Chain time until which the network has been seen",
        lambda n: n.seen_until,
    )
    yield each(
        "seen_age_seconds",
        "Time since which the network has not been seen",
        lambda n: None if n.seen_until is None else max(0.0, now - n.seen_until),
    )
    states = {(view.name, state): float(view.state == state) for view in views for state in STATES}
    yield _gauge("network_state", "1 for the state that a network is in", ["network", "state"], states)
    names = [view.name for view in views]
    of = ["network"]
    none = [(name,) for name in names]
    yield _counter("blocks_read", "Blocks that were read", of, _among(counters.BLOCKS_READ, names), none)
    yield _counter(
        "logs_read", "Logs of watched contracts that were read", of, _among(counters.LOGS_READ, names), none
    )
    yield _counter(
        "rpc_calls",
        "JSON-RPC calls that were sent, by what became of them",
        ["network", "method", "outcome"],
        _among(counters.CALLS, names),
    )
    yield _counter(
        "rpc_refusals",
        "Answers to JSON-RPC calls that were errors",
        ["network", "method"],
        _among(counters.REFUSALS, names),
    )


def _of_endpoints(measures: Measures) -> Iterator[Metric]:
    some = measures.endpoints
    labels = ["network", "endpoint"]
    states = {(e.network, e.name, state): float(e.state == state) for e in some for state in ENDPOINT_STATES}
    yield _gauge("endpoint_state", "1 for the state that an endpoint is in", [*labels, "state"], states)
    latency = {(e.network, e.name): e.latency for e in some if e.latency is not None}
    yield _gauge("endpoint_latency_seconds", "How long its answers take, on average", labels, latency)
    ratios = {(e.network, e.name): e.error_ratio for e in some}
    yield _gauge("endpoint_error_ratio", "The share of its reads that fail, on average", labels, ratios)
    answered = {(e.network, e.name): e.last_answer_at for e in some if e.last_answer_at is not None}
    yield _gauge("endpoint_last_answer_timestamp_seconds", "When it answered last", labels, answered)


def _of_transfers(measures: Measures) -> Iterator[Metric]:
    in_flight: dict[tuple[str, str, str], float] = {}
    for (flow, origin, destination, status), number in measures.transfers.items():
        route = (flow, origin, destination)
        in_flight[route] = in_flight.get(route, 0.0) + (number if status in IN_FLIGHT else 0)
    yield _gauge("transfers", "Transfers that are stored", [*ROUTE, "status"], measures.transfers)
    yield _gauge("transfers_in_flight", "Transfers that are open or overdue", ROUTE, in_flight)
    yield _gauge(
        "transfers_in_flight_amount",
        "Amount of the transfers that are open or overdue, in whole units of assets that the configuration names",
        [*ROUTE, "asset"],
        measures.amounts,
    )
    yield _counter("transfers_opened", "Transfers whose opening was stored", ROUTE, measures.opened)
    yield _counter(
        "transfers_reached", "Transfers that came to a status", [*ROUTE, "status"], measures.reached
    )
    yield _counter(
        "transfers_opened_amount",
        "Amount of the transfers that were opened, in whole units of assets that the configuration names",
        [*ROUTE, "asset"],
        measures.opened_amounts,
    )
    yield _gauge(
        "transfers_oldest_age_seconds",
        "Time since the oldest transfer in flight was opened, 0 for none",
        ROUTE,
        {route: measures.oldest.get(route, 0.0) for route in {**in_flight, **measures.oldest}},
    )
    yield _histogram(
        "step_latency_seconds",
        "Chain time from a transfer's opening to another step, of the steps stored since the start",
        ["flow", "step"],
        counters.STEP_SECONDS,
        measures.flows,
    )
    yield _histogram(
        "transfer_latency_seconds",
        "Chain time from a transfer's opening to its last step, of the transfers that became complete since the start",
        ROUTE,
        counters.TRANSFER_SECONDS,
        measures.flows,
    )


def _of_alerts(measures: Measures) -> Iterator[Metric]:
    yield _gauge("alerts", "Alerts that are stored", ["state", "severity"], measures.alerts)
    yield _counter("alerts_raised", "Alerts that were ever raised", [], {(): measures.raised})
    labels = ["receiver", "status"]
    yield _gauge("notifications", "Notifications that are stored", labels, measures.notifications)
    receivers = list(measures.waiting)
    yield _counter(
        "notification_attempts",
        "Attempts to notify",
        ["receiver", "outcome"],
        _among(counters.ATTEMPTS, receivers),
        [(receiver, outcome) for receiver in receivers if receiver != OTHERS for outcome in ATTEMPT_OUTCOMES],
    )
    depths = {(r,): float(measures.notifications.get((r, "pending"), 0)) for r in receivers}
    yield _gauge("queue_depth", "Notifications that wait in a receiver's queue", ["receiver"], depths)
    yield _gauge(
        "queue_oldest_age_seconds",
        "Time since the oldest notification in a receiver's queue was queued, 0 for an empty queue",
        ["receiver"],
        {(receiver,): age for receiver, age in measures.waiting.items()},
    )
    yield _gauge(
        "undecoded_logs", "Logs that are stored but cannot be decoded", [], {(): measures.undecoded_logs}
    )


def _of_process() -> Iterator[Metric]:
    yield _histogram(
        "database_transaction_seconds",
        "Time that transactions of the database took",
        ["kind"],
        counters.TRANSACTION_SECONDS,
        ("read", "write"),
    )
    yield _counter("task_crashes", "Crashes of supervised tasks", ["task"], dict(counters.CRASHES))
    yield _counter(
        "samples",
        "Samples that were taken, by where they came from",
        ["source"],
        dict(counters.SAMPLES),
        [(source,) for source in SOURCES],
    )
    yield _counter(
        "samples_refused",
        "Samples that were refused, and why",
        ["source", "reason"],
        dict(counters.SAMPLES_REFUSED),
    )
    yield _gauge(
        "samples_series",
        "Series of samples in memory, by who began them, and how many there may be",
        ["source"],
        dict(counters.SAMPLES_SERIES),
    )
    yield _gauge(
        "samples_memory_bytes",
        "Memory that series of samples take, about, by who began them, and how much they may take",
        ["source"],
        dict(counters.SAMPLES_MEMORY),
    )


def _among(count: Count, names: Iterable[str]) -> dict[tuple[str, ...], int]:
    """Return what was counted of ``names``, which are the first labels."""
    wanted = set(names)
    return {labels: number for labels, number in dict(count).items() if labels[0] in wanted}


def _gauge(name: str, meaning: str, labels: list[str], numbers: Mapping[Labels, float]) -> Metric:
    family = GaugeMetricFamily(f"chainwatch_{name}", meaning, labels=labels)
    for values, number in numbers.items():
        family.add_metric(values, number)
    return family


def _counter(
    name: str,
    meaning: str,
    labels: list[str],
    numbers: Mapping[Labels, float],
    always: Iterable[tuple[str, ...]] = (),
) -> Metric:
    """Return a counter; labels that are ``always`` there begin with 0, so that the first increase is seen as one."""
    family = CounterMetricFamily(f"chainwatch_{name}", meaning, labels=labels)
    for values, number in (dict.fromkeys(always, 0.0) | dict(numbers)).items():
        family.add_metric(values, number)
    return family


def _histogram(
    name: str, meaning: str, labels: list[str], observed: Histogram, names: Iterable[str]
) -> Metric:
    """Return the observations of ``names``, which are the first labels."""
    family = HistogramMetricFamily(f"chainwatch_{name}", meaning, labels=labels)
    bounds = [*map(str, map(float, observed.bounds)), "+Inf"]
    for values, buckets in observed.observed().items():
        if values[0] in set(names):
            shown = values if labels != ROUTE else (values[0], *map(place_label, values[1:]))
            family.add_metric(shown, list(zip(bounds, buckets.cumulative, strict=True)), buckets.total)
    return family
