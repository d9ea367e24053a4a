"""An Alertmanager: alerts go to its API, version 2, as from Prometheus, and are sent again for as long as they fire.

Format: github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. Alertmanager keeps alerts in memory only and
resolves those that are not sent again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from pydantic import Field, StrictBool

from chainwatch.alert_model import sent_labels
from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import (
    Capabilities,
    DeliveryError,
    Receipt,
    Server,
    check_status,
)
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.types import HttpUrls, PositiveDuration
from chainwatch.grammar.durations import parse_duration

PATH = "/api/v2/alerts"
AT_ONCE = 500
"""Alerts of one request."""
MISSED_MAX = 4
"""An alert that was not sent again this many times ends in Alertmanager; Prometheus has the same factor."""
OTHERS_WITHIN = 1.0
"""Seconds that the other instances have to answer once one took the alerts."""
HEADERS = {"Content-Type": "application/json", "User-Agent": "chainwatch"}
WHO = "Alertmanager"

_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_]")


class AlertmanagerSettings(ReceiverSettings):
    """An Alertmanager, or all of a cluster: alerts with their labels as they are, sent again while they fire."""

    urls: HttpUrls = Field(
        min_length=1,
        description="One address, or those of all instances of a cluster, such as `http://alertmanager:9093` (secret).",
        examples=["${ALERTMANAGER_URL}"],
    )
    resend_every: PositiveDuration = Field(
        default=parse_duration("1m"),
        description="Time between two sendings of an alert that fires. Alertmanager ends it when four of them are missing.",
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for an answer."
    )


class AlertmanagerProvider:
    """Sends alerts to every instance.

    A notification is delivered once one of them took it; the others get what fires with the next resending.
    """

    settings_type = AlertmanagerSettings
    capabilities = Capabilities()

    def __init__(self, settings: AlertmanagerSettings, transport: Transport) -> None:
        self._servers = [
            Server(_alerts_url(url.get_secret_value()), settings.allow_private) for url in settings.urls
        ]
        self.server = self._servers[0]
        self.resend_every = settings.resend_every
        self._timeout = settings.timeout
        self._transport = transport
        self._sending = asyncio.Lock()
        """Held from the reading of what fires until it is sent, so that no resolved alert is sent as firing afterwards."""
        self._lagging: frozenset[Server] = frozenset()
        """The instances that did not answer in time the last time, while others did."""

    def render(self, notification: Notification, previous: Receipt | None) -> list[dict[str, Any]]:
        """Return the alerts; firing ones without their end, which depends on when they are sent."""
        return render(notification)

    async def send(self, message: list[dict[str, Any]]) -> Receipt:
        """Post the alerts to every instance. Raises ``DeliveryError`` if none took them."""
        async with self._sending:
            await self._send(message)
        return Receipt()

    async def resend(self, load: Callable[[], Awaitable[Notification]]) -> None:
        """Post what fires according to ``load``. Raises as ``send``."""
        async with self._sending:
            self._lagging = frozenset()
            await self._send(render(await load()))

    async def _send(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Post ``alerts`` to every instance. Once one took them, those that hung the last time are not waited for."""
        posts = {asyncio.create_task(self._send_to(server, alerts)): server for server in self._servers}
        try:
            await _until_one_succeeds(posts)
            if prompt := [post for post, server in posts.items() if server not in self._lagging]:
                await asyncio.wait(prompt, timeout=OTHERS_WITHIN)
            self._lagging = frozenset(server for post, server in posts.items() if not post.done())
        finally:
            for post in posts:
                post.cancel()
            outcomes = await asyncio.gather(*posts, return_exceptions=True)
        errors = [one for one in outcomes if isinstance(one, BaseException)]
        if len(errors) == len(outcomes):
            lasting = [one for one in errors if not (isinstance(one, DeliveryError) and one.permanent)]
            raise (lasting or errors)[0]

    async def _send_to(self, server: Server, alerts: Sequence[dict[str, Any]]) -> None:
        for first in range(0, len(alerts), AT_ONCE):
            now = time.time()
            fires_until = text.rfc3339(int(now + self.resend_every * MISSED_MAX))
            some = [_as_of(now, alert, fires_until) for alert in alerts[first : first + AT_ONCE]]
            answer = await self._transport.post(
                server, msgspec.json.encode(some), HEADERS, who=WHO, within=self._timeout
            )
            check_status(WHO, answer.status, answer.headers)


async def _until_one_succeeds(posts: Iterable[asyncio.Task[None]]) -> None:
    """Return once one of ``posts`` has succeeded, or all have failed."""
    left, succeeded = set(posts), False
    while left and not succeeded:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        succeeded = any(not post.cancelled() and post.exception() is None for post in done)


def _as_of(now: float, alert: dict[str, Any], fires_until: str) -> dict[str, Any]:
    """Return ``alert`` with an end, and no time after ``now``: Alertmanager refuses a start after the end."""
    latest = text.rfc3339(int(now))
    starts_at, ends_at = min(alert["startsAt"], latest), alert.get("endsAt")
    return {**alert, "startsAt": starts_at, "endsAt": min(ends_at, latest) if ends_at else fires_until}


def render(notification: Notification) -> list[dict[str, Any]]:
    """Return the alerts of a notification as the API takes them, those that fire without ``endsAt``."""
    return [_alert(alert) for alert in notification.alerts]


def _alert(alert: NotifiedAlert) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "labels": _named(sent_labels(alert.labels)),
        "annotations": _named(alert.published),
        "startsAt": text.rfc3339(alert.starts_at),
    }
    if alert.link:
        fields["generatorURL"] = alert.link
    if alert.ends_at is not None:
        fields["endsAt"] = text.rfc3339(max(alert.starts_at, alert.ends_at))
    return fields


def _named(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return ``pairs`` without empty values, under names that Alertmanager takes: it refuses all others."""
    named = {_NOT_IN_NAMES.sub("_", name): value for name, value in pairs.items() if value and name}
    return {f"_{name}" if name[0].isdigit() else name: value for name, value in named.items()}


def _alerts_url(url: str) -> str:
    """Return the address of the API of the instance at ``url``, which may have a path before it."""
    base = url.rstrip("/")
    return base if base.endswith(PATH) else base + PATH
