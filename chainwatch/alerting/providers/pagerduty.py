"""A service on PagerDuty, by its Events API v2: one event for each alert.

Format and limits: developer.pagerduty.com/docs/events-api-v2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import msgspec
from pydantic import Field, SecretStr, StrictBool

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.parts import TakenParts
from chainwatch.alerting.providers.provider import (
    Capabilities,
    DeliveryError,
    Receipt,
    Server,
    check_status,
)
from chainwatch.alerting.providers.transport import Answer, Transport
from chainwatch.config.receivers import ALLOW_PRIVATE, ReceiverSettings
from chainwatch.config.types import HttpUrl, PositiveDuration, Secret
from chainwatch.grammar.durations import parse_duration
from chainwatch.support.printable import clean
from chainwatch.support.redaction import Redactor, parts_of

ENQUEUE = "/v2/enqueue"
SUMMARY_MAX = 1024
"""Characters of a summary."""
DETAILS_MAX, NAME_MAX = 60, 100
"""The most facts of an alert, and characters of a fact's name. With values of ``text.FACT_MAX`` characters an event has less
than 512 kB, which PagerDuty demands."""
LINKS_MAX, URL_MAX = 10, 2048
DETAIL_MAX = 300
"""Characters of an answer's text that an error repeats."""

SEVERITIES = {"P0": "critical", "P1": "error", "P2": "warning", "P3": "info"}
HEADERS = {"Content-Type": "application/json", "User-Agent": "chainwatch"}
WHO = "PagerDuty"

SENT = Receipt({"api": "v2"})
"""The receipt of every notification: with it the group gets updates, by which acknowledgements reach PagerDuty."""


class PagerDutySettings(ReceiverSettings):
    """A service on PagerDuty (Events API v2): each alert is an incident there, acknowledged and resolved from here."""

    routing_key: Secret = Field(
        description="The integration key of the service's Events API v2 integration (secret).",
        examples=["${PAGERDUTY_ROUTING_KEY}"],
    )
    url: HttpUrl = Field(
        default=SecretStr("https://events.pagerduty.com/v2/enqueue"),
        description="Where to POST (secret); in the EU region `https://events.eu.pagerduty.com/v2/enqueue`.",
    )
    allow_private: StrictBool = Field(default=False, description=ALLOW_PRIVATE)
    timeout: PositiveDuration = Field(
        default=parse_duration("10s"), description="Time to wait for the answer to an event."
    )


class Events(NamedTuple):
    """The events of a notification without their routing key, in their order, by names that are the same at every attempt.

    ``key``: the notification's idempotency key.
    """

    key: str
    events: dict[str, dict[str, Any]]


class PagerDutyProvider:
    """Sends the events of a notification one after the other.

    PagerDuty recognizes an alert by ``dedup_key``, so a repeated event changes nothing.
    """

    settings_type = PagerDutySettings
    capabilities = Capabilities(concurrency=4, keeps_receipts=True, edits=True)

    def __init__(self, settings: PagerDutySettings, transport: Transport) -> None:
        self.server = Server(_enqueue_url(settings.url.get_secret_value()), settings.allow_private)
        self._routing_key = settings.routing_key.get_secret_value().strip()
        self._timeout = settings.timeout
        self._transport = transport
        self._redact = Redactor(parts_of(self._routing_key))
        self._taken = TakenParts()

    def render(self, notification: Notification, previous: Receipt | None) -> Events:
        """Return an event for each alert that fires, is acknowledged or is resolved."""
        return render(notification)

    async def send(self, message: Events) -> Receipt:
        """Post the events that were not taken yet. Raises ``DeliveryError`` while any is left."""
        await self._taken.send(message.key, message.events, self._post)
        return SENT

    async def _post(self, event: dict[str, Any]) -> None:
        answer = await self._transport.post(
            self.server,
            msgspec.json.encode({"routing_key": self._routing_key, **event}),
            HEADERS,
            who=WHO,
            within=self._timeout,
        )
        check_status(WHO, answer.status, answer.headers, detail=self._detail(answer))
        if answer.status != 202:
            raise DeliveryError(
                "the URL answers, but not as PagerDuty does: is it that of the Events API v2?"
            )

    def _detail(self, answer: Answer) -> str:
        fields = answer.json_object()
        errors = fields.get("errors")
        said = [fields.get("message", ""), *(errors if isinstance(errors, list) else [])]
        return clean(self._redact("; ".join(str(one) for one in said if one))[:DETAIL_MAX])


def render(notification: Notification) -> Events:
    """Return the events of a notification: trigger, acknowledge and resolve, each alert by its fingerprint.

    An update says only which alerts are acknowledged; PagerDuty has no event by which an acknowledgement is dropped.
    """
    events = {
        f"{event['event_action']} {alert.fingerprint} {alert.starts_at}": event
        for alert in notification.alerts
        for event in _events(alert, notification)
    }
    return Events(notification.idempotency_key, events)


def _events(alert: NotifiedAlert, notification: Notification) -> Iterator[dict[str, Any]]:
    is_update = notification.kind == "update"
    if alert.status == "firing" and not is_update:
        yield _event("trigger", alert) | _trigger(alert, notification)
    if alert.status == "firing" and alert.annotations.get("acknowledged_by"):
        yield _event("acknowledge", alert)
    if alert.status == "resolved" and not is_update:
        yield _event("resolve", alert)


def _event(action: str, alert: NotifiedAlert) -> dict[str, Any]:
    return {"event_action": action, "dedup_key": alert.fingerprint}


def _trigger(alert: NotifiedAlert, notification: Notification) -> dict[str, Any]:
    severity = alert.annotations.get("escalated_to", alert.severity)
    details = {
        text.plain(fact.name)[:NAME_MAX]: text.plain(fact.value) for fact in text.facts(alert)[:DETAILS_MAX]
    }
    if notification.note:
        details["note"] = text.plain(notification.note)[: text.FACT_MAX]
    fields: dict[str, Any] = {
        "payload": {
            "summary": _summary(alert),
            "source": text.plain(text.place(alert))[:NAME_MAX],
            "severity": SEVERITIES.get(severity, "critical"),
            "timestamp": text.rfc3339(alert.starts_at),
            "component": text.plain(alert.labels.get("flow", ""))[:NAME_MAX] or None,
            "group": text.plain(notification.group_key)[:SUMMARY_MAX],
            "class": text.plain(alert.name)[:NAME_MAX],
            "custom_details": details,
        },
        "links": list(_links(alert)),
        "client": "chainwatch",
    }
    if alert.link:
        fields["client_url"] = alert.link
    return fields


def _summary(alert: NotifiedAlert) -> str:
    """Return the summary, which people read on their phones: severity, name, and what the alert says in one line."""
    said = " ".join(map(text.plain, text.summary(alert)[:1]))
    whole = f"{alert.severity} {text.plain(text.name_of(alert))}" + (f": {said}" if said else "")
    return whole if len(whole) <= SUMMARY_MAX else f"{whole[: SUMMARY_MAX - 1]}…"


def _links(alert: NotifiedAlert) -> Iterator[dict[str, str]]:
    """Yield links to the alert's page, its runbook and explorers; none of them is taken from a chain."""
    found = {"chainwatch": alert.link, "Runbook": text.runbook(alert)}
    for fact in text.facts(alert):
        found |= {f"{text.plain(fact.name)[:NAME_MAX]} {one}": url for one, url in fact.links.items()}
    usable = [(words, url) for words, url in found.items() if url and len(url) <= URL_MAX]
    for words, url in usable[:LINKS_MAX]:
        yield {"href": url, "text": words}


def _enqueue_url(url: str) -> str:
    """Return ``url`` with the path of the Events API v2, unless it has one."""
    parts = urlsplit(url)
    return url if parts.path not in ("", "/") else urlunsplit(parts._replace(path=ENQUEUE))
