"""Statistics: over a window of time, and over all alerts that are stored. Durations are in seconds from alerts' starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.alert_model import Alert
from chainwatch.alerting.policy.rate_limits import counted_as
from chainwatch.model import SEVERITIES
from chainwatch.operations.alert_stats import KindStatistics, kind_statistics, mean
from chainwatch.operations.checks import check_moments
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import outbox, statistics
from chainwatch.store.alerting.statistics import Delivery

NOISE_WITHIN = 60.0
"""Seconds: an alert that was resolved sooner, without an acknowledgement, is noise."""


class DeliveryLatency(msgspec.Struct, frozen=True):
    """Seconds from queueing to delivery: percentiles (nearest rank) and the longest; None without a delivery."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None


class ReceiverStatistics(msgspec.Struct, frozen=True):
    """What became of the notifications of one receiver that were queued in the window."""

    receiver: str
    notifications: int
    delivered: int
    pending: int
    dead: int
    dropped: int
    failed_attempts: int
    latency: DeliveryLatency


class WindowBefore(msgspec.Struct, frozen=True):
    """The window of equal length before."""

    alerts: int
    by_severity: dict[str, int]


class Statistics(msgspec.Struct, frozen=True):
    """Numbers about the alerts raised in a window. ``active``: how many fire now, by severity."""

    since: float
    until: float
    alerts: int
    by_severity: dict[str, int]
    by_name: dict[str, int]
    by_source: dict[str, int]
    active: dict[str, int]
    acknowledged: int
    mean_time_to_acknowledge: float | None
    resolved: int
    mean_time_to_resolve: float | None
    noise: int
    receivers: list[ReceiverStatistics]
    before: WindowBefore


class AlertTotals(msgspec.Struct, frozen=True):
    """Numbers about all alerts that are stored. ``notifications``: how many have which status."""

    total: int
    by_state: dict[str, int]
    by_severity: dict[str, int]
    by_type: dict[str, int]
    by_type_and_severity: list[KindStatistics]
    acknowledged: int
    mean_time_to_acknowledge: float | None
    resolved: int
    mean_time_to_resolve: float | None
    notifications: dict[str, int]


def window_statistics(
    connection: sa.Connection, context: Context, now: float, since: float, until: float | None = None
) -> Statistics:
    """Return numbers about the window from ``since`` until just before ``until`` (default: now). Raises ``Invalid``."""
    until = now if until is None else until
    check_moments(since=since, until=until)
    if until <= since:
        raise Invalid("the window ends before it begins: its end must be later than its start")
    alerts = list(statistics.raised(connection, since, until))
    acknowledged = statistics.acknowledged_at(connection, [alert.id for alert in alerts])
    to_acknowledge = [max(0.0, acknowledged[a.id] - a.starts_at) for a in alerts if a.id in acknowledged]
    to_resolve = [a.ends_at - a.starts_at for a in alerts if a.ends_at is not None]
    before = statistics.count_raised(connection, since - (until - since), since)
    firing = dict.fromkeys(SEVERITIES, 0)
    for count in stored_alerts.counts(connection):
        if count.state == "firing":
            firing[count.severity] += count.number
    return Statistics(
        since=since,
        until=until,
        alerts=len(alerts),
        by_severity={s: sum(alert.severity == s for alert in alerts) for s in SEVERITIES},
        by_name=_counted(alert.name for alert in alerts),
        by_source=_counted(counted_as(alert.source, alert.labels) for alert in alerts),
        active=firing,
        acknowledged=len(to_acknowledge),
        mean_time_to_acknowledge=mean(sum(to_acknowledge), len(to_acknowledge)),
        resolved=len(to_resolve),
        mean_time_to_resolve=mean(sum(to_resolve), len(to_resolve)),
        noise=sum(_is_noise(alert, acknowledged) for alert in alerts),
        receivers=_receivers(statistics.deliveries(connection, since, until)),
        before=WindowBefore(sum(before.values()), {s: before.get(s, 0) for s in SEVERITIES}),
    )


def alert_totals(connection: sa.Connection, context: Context, now: float) -> AlertTotals:
    """Return numbers about all alerts that are stored, by state, severity and type, and about all notifications."""
    counts = stored_alerts.counts(connection)
    kinds = statistics.kinds(connection)
    acknowledged = sum(kind.acknowledged for kind in kinds)
    resolved = sum(kind.resolved for kind in kinds)
    return AlertTotals(
        total=sum(count.number for count in counts),
        by_state=_sums((count.state, count.number) for count in counts),
        by_severity=_sums((count.severity, count.number) for count in counts),
        by_type=_sums((kind.name, kind.number) for kind in kinds),
        by_type_and_severity=[kind_statistics(kind) for kind in kinds],
        acknowledged=acknowledged,
        mean_time_to_acknowledge=mean(sum(kind.to_acknowledge for kind in kinds), acknowledged),
        resolved=resolved,
        mean_time_to_resolve=mean(sum(kind.to_resolve for kind in kinds), resolved),
        notifications=_sums((depth.status, depth.number) for depth in outbox.depths(connection)),
    )


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, number in pairs:
        sums[key] = sums.get(key, 0) + number
    return sums


def _is_noise(alert: Alert, acknowledged: Mapping[int, float]) -> bool:
    ended = alert.ends_at is not None and alert.ends_at - alert.starts_at <= NOISE_WITHIN
    return ended and alert.id not in acknowledged


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Return how often each name comes, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))


def _receivers(found: Iterable[Delivery]) -> list[ReceiverStatistics]:
    by_receiver: dict[str, list[Delivery]] = {}
    for one in found:
        by_receiver.setdefault(one.receiver, []).append(one)
    return [_receiver(name, by_receiver[name]) for name in sorted(by_receiver)]


def _receiver(name: str, found: Sequence[Delivery]) -> ReceiverStatistics:
    status = Counter(one.status for one in found)
    took = sorted(
        one.finished_at - one.created_at
        for one in found
        if one.status == "delivered" and one.finished_at is not None
    )
    return ReceiverStatistics(
        receiver=name,
        notifications=len(found),
        delivered=status["delivered"],
        pending=status["pending"],
        dead=status["dead"],
        dropped=status["dropped"],
        failed_attempts=sum(one.attempts - (one.status == "delivered") for one in found),
        latency=DeliveryLatency(
            p50=_percentile(took, 50),
            p90=_percentile(took, 90),
            p99=_percentile(took, 99),
            max=took[-1] if took else None,
        ),
    )


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile of ascending values."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None
