"""Cooldowns set while a condition is noisy: these count from the last notification about it, not from the next."""

from __future__ import annotations

import sqlalchemy as sa

from chainwatch.alerting.policy.muting import Cooldown
from chainwatch.grammar import matchers
from chainwatch.store.alerting import alerts, limits, past_notifications


def remember(connection: sa.Connection, cooldown: Cooldown, now: float) -> None:
    """Store when receivers were first notified, within the cooldown's time before ``now``, of alerts that it matches."""
    queued = past_notifications.between(connection, now - cooldown.within)
    known = alerts.by_id(connection, sorted({i for one in queued for i in one.payload.firing}))
    notified_at: dict[tuple[str, str], float] = {}
    repeated: set[tuple[str, int]] = set()
    for one in queued:
        for alert_id in one.payload.firing:
            alert = known.get(alert_id)
            first = (one.receiver, alert_id) not in repeated
            if alert is not None and first and matchers.takes(cooldown.match, alert.labels):
                repeated.add((one.receiver, alert_id))
                notified_at[one.receiver, cooldown.condition(alert.labels)] = one.created_at
    limits.save_notified_at(connection, notified_at)
