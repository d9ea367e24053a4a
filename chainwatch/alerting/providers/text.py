"""What people are shown of a notification, whatever the channel: a headline, facts in a fixed order, times."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from chainwatch.alerting.notification import Notification, NotifiedAlert

PROSE = ("summary", "description", "runbook_url")
"""Annotations that are not facts of their own."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters and those that turn the direction of text; what comes from a chain may hold any."""


def headline(notification: Notification) -> str:
    """``FIRING 3, RESOLVED 1: TransferOverdue (destination=optimism)``."""
    counts = [
        f"{word} {len(alerts)}"
        for word, alerts in (("FIRING", notification.firing), ("RESOLVED", notification.resolved))
        if alerts
    ]
    labels = dict(notification.group_labels)
    name = labels.pop("alertname", None) or notification.common_labels.get("alertname", "several alerts")
    about = ", ".join(f"{k}={v}" for k, v in labels.items())
    return clean(f"{', '.join(counts)}: {name}{f' ({about})' if about else ''}")


def by_urgency(notification: Notification) -> list[NotifiedAlert]:
    """The alerts as they should be read: firing before resolved, urgent before less urgent, else as they came."""
    return sorted(notification.alerts, key=lambda alert: (alert.status != "firing", alert.severity))


def facts(alert: NotifiedAlert) -> list[tuple[str, str]]:
    """The facts a person wants: annotations first, then the labels that identify the alert. Times are written out."""
    pairs = [(k, v) for k, v in alert.annotations.items() if k not in PROSE and v]
    named = {name for name, _ in pairs}
    pairs += [
        (k, v) for k, v in alert.labels.items() if k not in ("alertname", "severity") and k not in named and v
    ]
    return [(clean(name), clean(_readable(name, value))) for name, value in pairs]


def summary(alert: NotifiedAlert) -> str:
    """What happened, in one or two sentences."""
    parts = [alert.annotations.get("summary", ""), alert.annotations.get("description", "")]
    return clean("\n".join(part for part in parts if part))


def when(timestamp: int) -> str:
    """A time for people: ``2026-01-31 12:00:00 UTC``; the number itself where no calendar has it."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a chain may claim any time
        return str(timestamp)


def span(seconds: int) -> str:
    """A length of time in its two largest units: ``2h 5m``."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, seconds = divmod(max(0, seconds), size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


def _readable(name: str, value: str) -> str:
    """Annotations hold times and lengths of time in seconds."""
    if not re.fullmatch("[0-9]+", value):
        return value
    if name.endswith("_at"):
        return when(int(value))
    return span(int(value)) if name == "late_by" else value


def clean(text: str) -> str:
    """``text`` without characters that steer a terminal or turn its direction."""
    return _CONTROL.sub("\ufffd", text)
