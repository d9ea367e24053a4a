"""Numbers for a monitoring system, each with few and known labels, whatever the chains or other programs send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import sqlalchemy as sa

from chainwatch.model import SEVERITIES, TRANSFER_STATUSES
from chainwatch.operations.context import Context
from chainwatch.operations.notifications import STATUSES
from chainwatch.operations.queries import NetworkView, network_views
from chainwatch.store import blocks
from chainwatch.store import transfers as stored_transfers
from chainwatch.store.alerting import alerts as stored_alerts
from chainwatch.store.alerting import outbox

OTHERS = "(not configured)"
"""The label of everything that belongs to a flow or receiver that the configuration does not have (any more)."""
ALERT_STATES = ("pending", "firing", "resolved")


class Measures(msgspec.Struct, frozen=True):
    """Numbers by their labels, ``at`` a time (Unix seconds).

    ``transfers``: (flow, status) → number. ``oldest``: flow → age in seconds of its oldest transfer in flight.
    ``alerts``: (state, severity) → number stored. ``notifications``: (receiver, status) → number stored.
    ``waiting``: receiver → age in seconds of the oldest notification in its queue, 0 for an empty queue.
    """

    at: float
    networks: list[NetworkView]
    transfers: Mapping[tuple[str, str], int]
    oldest: Mapping[str, float]
    alerts: Mapping[tuple[str, str], int]
    notifications: Mapping[tuple[str, str], int]
    waiting: Mapping[str, float]
    undecoded_logs: int


def measure(connection: sa.Connection, context: Context, now: float) -> Measures:
    """Return all numbers as they are now; what is configured has numbers even where nothing is stored."""
    notifications, waiting = _queues(connection, context.receivers, now)
    return Measures(
        at=now,
        networks=network_views(connection, context, now),
        transfers=_transfers(connection, context.flows),
        oldest=_oldest(connection, context.flows, now),
        alerts=_alerts(connection),
        notifications=notifications,
        waiting=waiting,
        undecoded_logs=blocks.undecoded_count(connection),
    )


def _transfers(connection: sa.Connection, flows: Iterable[str]) -> dict[tuple[str, str], int]:
    known = set(flows)
    numbers = {(flow, status): 0 for flow in sorted(known) for status in TRANSFER_STATUSES}
    for flow, counts in stored_transfers.counts(connection).items():
        for status, number in counts.items():
            label = (flow if flow in known else OTHERS, status)
            numbers[label] = numbers.get(label, 0) + number
    return numbers


def _oldest(connection: sa.Connection, flows: Iterable[str], now: float) -> dict[str, float]:
    known = set(flows)
    ages = dict.fromkeys(sorted(known), 0.0)
    for (flow, _, _), opened_at in stored_transfers.oldest_in_flight(connection).items():
        label = flow if flow in known else OTHERS
        ages[label] = max(ages.get(label, 0.0), now - opened_at)
    return ages


def _alerts(connection: sa.Connection) -> dict[tuple[str, str], int]:
    numbers = {(state, severity): 0 for state in ALERT_STATES for severity in SEVERITIES}
    for count in stored_alerts.counts(connection):
        label = (count.state, count.severity)
        numbers[label] = numbers.get(label, 0) + count.number
    return numbers


def _queues(
    connection: sa.Connection, receivers: Iterable[str], now: float
) -> tuple[dict[tuple[str, str], int], dict[str, float]]:
    known = list(receivers)
    numbers: dict[tuple[str, str], int] = {(r, status): 0 for r in known for status in STATUSES}
    waiting = dict.fromkeys(known, 0.0)
    for depth in outbox.depths(connection):
        receiver = depth.receiver if depth.receiver in known else OTHERS
        label = (receiver, depth.status)
        numbers[label] = numbers.get(label, 0) + depth.number
        if depth.status == "pending":
            waiting[receiver] = max(waiting.get(receiver, 0.0), now - depth.oldest)
    return numbers, waiting
