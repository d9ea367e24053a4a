"""Alerts of invariants and sessions: raised and ended, as rows and as signals."""

from __future__ import annotations

from collections.abc import Mapping

from chainwatch.checker.invariants.judge import VIOLATED
from chainwatch.model import Signal
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import invariant_breaches, invariants
from chainwatch.store.invariants import RaisedAlert

HOLDS, READ = "holds again", "read again"
"""Why alerts of invariants end."""


def raise_alert(work: Work, alert: RaisedAlert) -> None:
    """Store and signal that ``alert`` fires."""
    invariants.save_raised(work.connection, alert)
    work.signals.append(Signal(alert.labels, alert.starts_at, alert.annotations, source="invariant"))


def end(work: Work, alert: RaisedAlert, at: int, reason: str) -> None:
    """Signal that ``alert`` has ended ``at`` (chain time)."""
    invariants.drop_raised(work.connection, alert)
    ends_at = max(alert.starts_at, at)
    if alert.condition == VIOLATED:
        place = (alert.name, alert.network, alert.block)
        invariant_breaches.end(work.connection, place, ends_at, reason, is_over=reason != HOLDS)
    work.signals.append(
        Signal(alert.labels, alert.starts_at, alert.annotations, ends_at, reason, source="invariant")
    )


def end_all(work: Work, reasons: Mapping[str, str]) -> None:
    """End all alerts of invariants; ``reasons`` are by the invariants' names."""
    raised = invariants.raised_of(work.connection, list(reasons))
    for name, reason in reasons.items():
        for alert in raised.get(name, {}).values():
            end(work, alert, max(work.chain_time, work.latest_seen), reason)
