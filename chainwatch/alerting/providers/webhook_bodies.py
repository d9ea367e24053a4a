"""The bodies of webhooks: Alertmanager's message, and one object for each alert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from chainwatch.alert_model import sent_labels
from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text

STILL_FIRING = "0001-01-01T00:00:00Z"
"""Alertmanager's ``endsAt`` of an alert that still fires."""

BODY_MAX = 1_000_000
"""Bytes of a body with several alerts: more than 1 MiB is refused by many servers unless they are configured otherwise."""

COUNTERPARTY_SEVERITIES = {"P0": "high", "P1": "high", "P2": "medium", "P3": "low"}

Format = Literal["alertmanager", "counterparty", "template"]


Bodies = dict[str, dict[str, Any]]
"""The JSON bodies of a notification's requests, by names that are unique within it; a single one has an empty name."""


def alertmanager(notification: Notification) -> dict[str, Any]:
    """Return Alertmanager's message, version 4 (prometheus.io/docs/alerting/latest/configuration, webhook_config)."""
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": 0,
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": notification.group_labels,
        "commonLabels": notification.common_labels,
        "commonAnnotations": notification.common_annotations,
        "externalURL": notification.external_url,
        "alerts": [_alert(alert) for alert in notification.alerts],
    }


def counterparty(alert: NotifiedAlert) -> dict[str, Any]:
    """Return one alert for a counterparty's own program: flat, and readable without knowledge of labels.

    ``session`` is what has raised it: its flow, or else its name; ``alert_id`` is the same for the beginning and the end of
    one alert; ``severity`` is ``high`` (P0 and P1), ``medium`` or ``low``.
    """
    labels = alert.labels
    return {
        "network": labels.get("network") or labels.get("destination") or labels.get("origin") or "",
        "type": alert.name,
        "severity": COUNTERPARTY_SEVERITIES.get(alert.severity, "high"),
        "session": labels.get("flow") or alert.name,
        "alert_id": f"{alert.fingerprint}-{text.rfc3339(alert.starts_at)}",
        "timestamp": text.rfc3339(alert.starts_at if alert.ends_at is None else alert.ends_at),
        "content": _content(alert),
    }


def bodies(notification: Notification, form: Format) -> Bodies:
    """Return the bodies of the requests that a notification is, in their order."""
    return _FORMATS[form](notification)


def _whole(notification: Notification) -> Bodies:
    body = alertmanager(notification)
    return {"": body} if _fits(body) else _in_parts(body, 0)


def _in_parts(body: dict[str, Any], position: int) -> Bodies:
    """Return ``body`` as several with some of its alerts each, which begin at ``position`` in the notification.

    Their names hold the alerts, so that a part of which another attempt makes something else counts as a new one.
    """
    alerts = body["alerts"]
    if len(alerts) == 1 or _fits(body):
        ends = (f"{one['status']} {one['fingerprint']} {one['startsAt']}" for one in (alerts[0], alerts[-1]))
        return {" ".join((f"{position}", f"{len(alerts)}", *ends)): body}
    half = len(alerts) // 2
    first, second = {**body, "alerts": alerts[:half]}, {**body, "alerts": alerts[half:]}
    return _in_parts(first, position) | _in_parts(second, position + half)


def _fits(body: dict[str, Any]) -> bool:
    return len(msgspec.json.encode(body)) <= BODY_MAX


def _each(notification: Notification) -> Bodies:
    return {
        f"{alert.status} {alert.fingerprint} {alert.starts_at}": counterparty(alert)
        for alert in notification.alerts
    }


_FORMATS: dict[Format, Callable[[Notification], Bodies]] = {
    "alertmanager": _whole,
    "counterparty": _each,
}


def _alert(alert: NotifiedAlert) -> dict[str, Any]:
    return {
        "status": alert.status,
        "labels": sent_labels(alert.labels),
        "annotations": alert.published,
        "startsAt": text.rfc3339(alert.starts_at),
        "endsAt": STILL_FIRING if alert.ends_at is None else text.rfc3339(alert.ends_at),
        "generatorURL": alert.link,
        "fingerprint": alert.fingerprint,
    }


def _content(alert: NotifiedAlert) -> str:
    """Return what the alert says, a line for each thing."""
    first = f"{alert.status.upper()}: {text.name_of(alert)}"
    facts = [f"{fact.name}: {fact.value}" for fact in text.facts(alert)]
    return "\n".join([first, *text.summary(alert), *text.continued(alert), *facts])
