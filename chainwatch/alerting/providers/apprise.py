"""Any of the services that Apprise knows (github.com/caronc/apprise), by its URL: a channel without a provider of its own.

Apprise answers only whether a message was taken: no status, no reason, no pause that the service asks for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import apprise
from pydantic import AfterValidator, Field, SecretStr

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.thread import Threads
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ReceiverSettings
from chainwatch.config.types import Expected, PositiveDuration
from chainwatch.grammar.durations import parse_duration

ALERTS_MAX = 20
"""Alerts of one notification that are shown; the others are counted."""
TYPES = {
    "P0": apprise.NotifyType.FAILURE,
    "P1": apprise.NotifyType.FAILURE,
    "P2": apprise.NotifyType.WARNING,
    "P3": apprise.NotifyType.INFO,
}

logging.getLogger("apprise").disabled = True  # it writes URLs, which hold secrets (S9)


def _known(url: SecretStr) -> SecretStr:
    if _service(url) is None:
        raise Expected(
            "one URL of a service that Apprise knows, such as ntfy://topic",
            "see github.com/caronc/apprise/wiki",
        )
    return url


def _service(url: SecretStr) -> Any:
    """Return Apprise's object for ``url``, or None. One that is too long for a service is cut, not sent as several."""
    try:
        found = apprise.Apprise.instantiate(url.get_secret_value())
    except Exception:  # noqa: BLE001 - every plugin has a parser of its own, which may raise anything
        return None
    if found is not None:
        found.overflow_mode = apprise.OverflowMode.TRUNCATE
    return found


class AppriseSettings(ReceiverSettings):
    """Any of the services that Apprise knows."""

    url: Annotated[SecretStr, AfterValidator(_known)] = Field(
        description="The service, as Apprise writes it (secret): one target.", examples=["${APPRISE_URL}"]
    )
    timeout: PositiveDuration = Field(
        default=parse_duration("30s"), description="Time within which the service must take a message."
    )


class AppriseMessage(NamedTuple):
    """A message for a service that shows plain text. ``kind`` is Apprise's type of it."""

    title: str
    body: str
    kind: apprise.NotifyType


class AppriseProvider:
    """Sends each notification as one message, one at a time."""

    settings_type = AppriseSettings
    capabilities = Capabilities()
    server: Server | None = None

    def __init__(self, settings: AppriseSettings, transport: Transport) -> None:
        self._service = _service(settings.url)
        self._threads = Threads("Apprise", settings.timeout)

    def render(self, notification: Notification, previous: Receipt | None) -> AppriseMessage:
        """Return the message; it depends on no earlier one."""
        return message(notification)

    async def send(self, message: AppriseMessage) -> Receipt:
        """Send it in a thread. Raises ``DeliveryError``."""
        try:
            taken = await self._threads.run(
                lambda: self._service.notify(
                    title=message.title,
                    body=message.body,
                    notify_type=message.kind,
                    body_format=apprise.NotifyFormat.TEXT,
                )
            )
        except DeliveryError:
            raise
        except Exception as error:  # plugins are many
            raise DeliveryError(f"Apprise raised {type(error).__name__}") from error
        if taken is not True:
            raise DeliveryError("the service did not take it; Apprise does not say why")
        return Receipt()


def message(notification: Notification) -> AppriseMessage:
    """Return title and text: nothing from outside can be markup, a mention or a link, whatever the service makes of it."""
    alerts = text.by_urgency(notification)
    lines = [_harmless(line) for line in text.overview(notification)]
    for alert in alerts[:ALERTS_MAX]:
        lines += ["", *map(_harmless, _lines(alert)), *_links(alert)]
    if len(alerts) > ALERTS_MAX:
        lines.append(f"… and {len(alerts) - ALERTS_MAX} more, not shown here.")
    worst = min((alert.severity for alert in notification.firing), default=None)
    kind = apprise.NotifyType.SUCCESS if worst is None else TYPES.get(worst, apprise.NotifyType.INFO)
    return AppriseMessage(_harmless(text.headline(notification)), "\n".join(lines).strip(), kind)


def _lines(alert: NotifiedAlert) -> Iterator[str]:
    yield f"{alert.severity} {alert.status.upper()}: {text.name_of(alert)}, since {text.when(alert.starts_at)}"
    if alert.ends_at is not None:
        yield f"Ended {text.when(alert.ends_at)}{f' ({alert.reason})' if alert.reason else ''}"
    yield from text.summary(alert)
    yield from (f"| {line}" for line in text.continued(alert))
    yield from (f"{fact.name}: {fact.value}" for fact in text.facts(alert))


def _links(alert: NotifiedAlert) -> Iterator[str]:
    """Yield the addresses that chainwatch itself made: explorers' pages and the alert's own."""
    for fact in text.facts(alert):
        yield from fact.links.values()
    if alert.link:
        yield alert.link


_BRACKETS = str.maketrans({"<": "‹", ">": "›", "`": "'", "*": "∗", "_": "\uff3f", "~": "∼", "|": "¦"})
"""Signs that are markup or mentions for some service, and signs that look like them."""


def _harmless(line: str) -> str:
    return text.plain(line).translate(_BRACKETS)
