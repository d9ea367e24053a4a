"""What a running process does between two operations."""

from __future__ import annotations

from chainwatch.model import Signal
from chainwatch.operations.context import Access
from chainwatch.store.alerting import alerts


def raise_alert(access: Access, name: str = "Late", severity: str = "P1", **labels: str) -> None:
    """An alert begins now, with the labels given."""
    _apply(access, Signal(_labels(name, severity, labels), access.clock(), {"summary": name}))


def end_alert(access: Access, name: str = "Late", severity: str = "P1", **labels: str) -> None:
    """Its condition is over now."""
    wanted = _labels(name, severity, labels)
    with access.database.reading() as connection:
        (alert,) = (one for one in alerts.list_alerts(connection, name=name) if one.labels == wanted)
    _apply(access, Signal(wanted, alert.starts_at, {}, ends_at=access.clock(), reason="over"))


def flush(access: Access) -> None:
    """Groups whose time has come are flushed, and escalations go on."""
    with access.database.transaction() as connection:
        access.context.engine.flush(connection, access.clock())


def _labels(name: str, severity: str, labels: dict[str, str]) -> dict[str, str]:
    return {"alertname": name, "severity": severity, **labels}


def _apply(access: Access, signal: Signal) -> None:
    with access.database.transaction() as connection:
        access.context.engine.apply(connection, [signal], access.clock())
