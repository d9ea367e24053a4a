"""Any HTTP server: Alertmanager's webhook body, version 4, with an idempotency key and a signature."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import aiohttp
import msgspec

from chainwatch.alerting.delivery.notification import LAST_TIME, Notification, NotifiedAlert
from chainwatch.alerting.providers.provider import check_status
from chainwatch.alerting.providers.transport import post
from chainwatch.config import WebhookSettings

WHO = "the webhook"
STILL_FIRING = "0001-01-01T00:00:00Z"
"""What Alertmanager gives as the end of an alert that has none."""


class WebhookProvider:
    """POSTs each notification to one URL; redirects are not followed."""

    concurrency = 8

    def __init__(self, settings: WebhookSettings) -> None:
        self.allow_private = settings.allow_private
        self._settings = settings
        self._fixed_headers = {name: value.get_secret_value() for name, value in settings.headers.items()}

    async def deliver(self, notification: Notification, session: aiohttp.ClientSession) -> None:
        """Send it and read the answer's status. Raises ``DeliveryError``."""
        content = msgspec.json.encode(body(notification))
        answer = await post(
            session,
            self._settings.url.get_secret_value(),
            content,
            self._headers(notification, content, int(time.time())),
            who=WHO,
            within=self._settings.timeout,
        )
        check_status(WHO, answer.status, answer.headers)

    def _headers(self, notification: Notification, content: bytes, now: int) -> dict[str, str]:
        headers = {
            **self._fixed_headers,
            "Content-Type": "application/json",
            "User-Agent": "chainwatch",
            "Idempotency-Key": notification.idempotency_key,
        }
        if self._settings.secret is not None:
            headers["X-Chainwatch-Timestamp"] = str(now)
            headers["X-Chainwatch-Signature"] = sign(self._settings.secret.get_secret_value(), now, content)
        return headers


def sign(secret: str, timestamp: int, content: bytes) -> str:
    """The signature header's value: HMAC-SHA256 over ``timestamp``, a dot and the body."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + content, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def body(notification: Notification) -> dict[str, Any]:
    """Alertmanager's webhook message, version 4 (prometheus.io/docs/alerting/latest/configuration, webhook_config)."""
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


def _alert(alert: NotifiedAlert) -> dict[str, Any]:
    return {
        "status": alert.status,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": _rfc3339(alert.starts_at),
        "endsAt": STILL_FIRING if alert.ends_at is None else _rfc3339(alert.ends_at),
        "generatorURL": alert.link,
        "fingerprint": alert.fingerprint,
    }


@lru_cache(maxsize=1024)
def _rfc3339(timestamp: float) -> str:
    """Whole seconds without a fraction; the last second that can be written where a chain claims a later one."""
    timestamp = min(timestamp, LAST_TIME)
    parts = "seconds" if timestamp == int(timestamp) else "milliseconds"
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec=parts).replace("+00:00", "Z")
