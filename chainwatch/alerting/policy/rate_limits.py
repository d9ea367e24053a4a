"""Rate limits: notifications over a receiver's limit a minute are summarized once at the end of the minute. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from chainwatch.alert_model import RateWindow
from chainwatch.alerting.policy.routing import Route
from chainwatch.model import SEVERITIES, Source
from chainwatch.store.texts import bounded

WINDOW = 60.0
"""Seconds."""
ROUTE = "over the limit"
"""The key of the route that sends the summaries; its groups are flushed once a minute."""

SUMMARY = Route(
    key=ROUTE,
    match=(),
    receivers=(),
    group_by=("severity", "source"),
    group_wait=WINDOW,
    group_interval=WINDOW,
)


_COUNTED_BY: Mapping[Source, tuple[str, ...]] = {
    "transfer": ("flow",),
    "event": ("flow", "network"),
    "flow": ("flow",),
    "network": ("network",),
    "external": ("source", "flow", "network"),
}
"""The labels by the first of which alerts about something are counted; those about anything else by name."""


def counted_as(source: Source, labels: Mapping[str, str]) -> str:
    """Return what an alert counts as for a rate limit: its flow, its network, …, or else its name; a long one is cut.

    Alerts of other programs count as their label ``source``, ``flow`` or ``network``.
    """
    named = (labels[name] for name in _COUNTED_BY.get(source, ()) if labels.get(name))
    return bounded(next(named, labels["alertname"]))


def most_severe(severities: Mapping[int, str]) -> str:
    """Return the most severe of ``severities`` (alert id → severity)."""
    return min(severities.values(), key=SEVERITIES.index)


def take(window: RateWindow | None, limit: int, now: float) -> RateWindow | None:
    """Return the window after one more notification at ``now``; None when its limit is reached."""
    if window is None or now >= window.started_at + WINDOW:
        return RateWindow(now, 1)
    return RateWindow(window.started_at, window.sent + 1) if window.sent < limit else None
