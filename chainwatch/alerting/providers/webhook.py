"""Any HTTP server: Alertmanager's webhook body, version 4, with an idempotency key and a signature."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, SecretStr, StrictBool, ValidationInfo, field_validator

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import Capabilities, Receipt, Server, check_status
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.types import (
    Expected,
    HeaderName,
    HeaderValue,
    HttpUrl,
    PositiveDuration,
    SigningKey,
)
from chainwatch.grammar.durations import parse_duration

WHO = "the webhook"
STILL_FIRING = "0001-01-01T00:00:00Z"
"""Alertmanager's ``endsAt`` of an alert that still fires."""


class WebhookSettings(ReceiverSettings):
    """Any HTTP server: Alertmanager's webhook body, version 4."""

    url: HttpUrl = Field(description="Where to POST (secret).", examples=["${ALERT_WEBHOOK_URL}"])
    secret: SigningKey | None = Field(
        default=None,
        description="Key of the HMAC-SHA256 signature, four characters or more. Default: not signed.",
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        description="Further HTTP headers (secret); none may be empty. Not `Authorization` where `url` has a user.",
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for an answer."
    )

    @field_validator("headers")
    @classmethod
    def _one_authorization(cls, headers: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        url = info.data.get("url")
        has_user = url is not None and "@" in urlsplit(url.get_secret_value()).netloc
        if has_user and any(name.lower() == "authorization" for name in headers):
            raise Expected(
                "no Authorization beside a url with a user", "a request has one of both: remove the other"
            )
        return headers


class WebhookMessage(NamedTuple):
    """A request's JSON body, and the key by which the server recognizes a repeated delivery."""

    content: bytes
    idempotency_key: str


class WebhookProvider:
    """POSTs each notification to one URL."""

    settings_type = WebhookSettings
    capabilities = Capabilities(concurrency=8)

    def __init__(self, settings: WebhookSettings, transport: Transport) -> None:
        self.server = Server(settings.url.get_secret_value(), settings.allow_private)
        self._settings = settings
        self._transport = transport
        self._fixed_headers = {name: value.get_secret_value() for name, value in settings.headers.items()}

    def render(self, notification: Notification, previous: Receipt | None) -> WebhookMessage:
        """Return the body, which does not depend on earlier messages."""
        return WebhookMessage(msgspec.json.encode(body(notification)), notification.idempotency_key)

    async def send(self, message: WebhookMessage) -> Receipt:
        """POST it and judge the answer by its status. Raises ``DeliveryError``."""
        answer = await self._transport.post(
            self.server,
            message.content,
            self._headers(message, int(time.time())),
            who=WHO,
            within=self._settings.timeout,
        )
        check_status(WHO, answer.status, answer.headers)
        return Receipt()

    def _headers(self, message: WebhookMessage, now: int) -> dict[str, str]:
        headers = {
            **self._fixed_headers,
            "Content-Type": "application/json",
            "User-Agent": "chainwatch",
            "Idempotency-Key": message.idempotency_key,
        }
        if self._settings.secret is not None:
            headers["X-Chainwatch-Timestamp"] = str(now)
            headers["X-Chainwatch-Signature"] = sign(
                self._settings.secret.get_secret_value(), now, message.content
            )
        return headers


def sign(secret: str, timestamp: int, content: bytes) -> str:
    """Return the signature header's value: HMAC-SHA256 over ``timestamp`` (Unix seconds), a dot and the body."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + content, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def body(notification: Notification) -> dict[str, Any]:
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


def _alert(alert: NotifiedAlert) -> dict[str, Any]:
    return {
        "status": alert.status,
        "labels": alert.labels,
        "annotations": alert.published,
        "startsAt": text.rfc3339(alert.starts_at),
        "endsAt": STILL_FIRING if alert.ends_at is None else text.rfc3339(alert.ends_at),
        "generatorURL": alert.link,
        "fingerprint": alert.fingerprint,
    }
