"""Alerts and the configuration by which they are told, as what operators do and ask looks at them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from chainwatch.alert_model import Alert
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.config import Settings
from chainwatch.store import schema
from chainwatch.store.database import Database


class AlertLook:
    """Settings and the database to look at, with the clock's value (Unix seconds)."""

    def __init__(self, settings: Settings, database: Database, now: float) -> None:
        self.settings = settings
        self.database = database
        self.now = now

    @cached_property
    def manager(self) -> AlertEngine:
        """The alert manager as it is configured."""
        with self.database.reading() as connection:
            return AlertEngine.of(self.settings, schema.created_at(connection))

    @property
    def receivers(self) -> list[str]:
        """The names of all receivers."""
        return list(self.settings.receivers)


def alert_view(alert: Alert) -> dict[str, Any]:
    """One alert for machines; times in Unix seconds."""
    return {
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "state": alert.state,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "reason": alert.reason,
        "raised_at": int(alert.raised_at),
        "resolved_at": None if alert.resolved_at is None else int(alert.resolved_at),
        "audience": alert.audience,
    }
