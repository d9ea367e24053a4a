"""How many notifications about new alerts a receiver gets in a minute; the others wait for one summary. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from chainwatch.alerting.policy.routing import Route
from chainwatch.model import SEVERITIES
from chainwatch.store.alerting.holds import Window
from chainwatch.store.texts import bounded

WINDOW = 60.0
"""Seconds."""
ROUTE = "over the limit"
"""The key of the route by which what was over is told; its groups are told once a minute."""

SUMMARY = Route(
    key=ROUTE,
    match=(),
    receivers=(),
    group_by=("severity", "source"),
    group_wait=WINDOW,
    group_interval=WINDOW,
)


def source_of(labels: Mapping[str, str]) -> str:
    """What an alert comes from: its ``source``, its flow, its network, or else its name; a long one is cut."""
    named = (labels[name] for name in ("source", "flow", "network") if labels.get(name))
    return bounded(next(named, labels["alertname"]))


def most_severe(severities: Mapping[int, str]) -> str:
    """The most severe of those of some alerts."""
    return min(severities.values(), key=SEVERITIES.index)


def take(window: Window | None, limit: int, now: float) -> Window | None:
    """The window after one more notification at ``now``; None when its limit is reached."""
    if window is None or now >= window.started_at + WINDOW:
        return Window(now, 1)
    return Window(window.started_at, window.sent + 1) if window.sent < limit else None
