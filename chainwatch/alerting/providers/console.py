"""Alerts as readable lines on standard output."""

from __future__ import annotations

import aiohttp
from rich.console import Console
from rich.text import Text

from chainwatch.alerting.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.base import DeliveryError
from chainwatch.alerting.providers.thread import Threads
from chainwatch.config import ConsoleSettings

SHOWN_MAX = 50
"""Alerts of one notification that are written out; the others are counted."""
WRITE_TIMEOUT = 10.0
"""Seconds for a terminal or pipe to take a notification."""
STYLES = {"P0": "bold white on red", "P1": "bold red", "P2": "bold yellow", "P3": "bold cyan"}


class ConsoleProvider:
    """Writes each notification to standard output, one at a time."""

    concurrency = 1
    allow_private = False

    def __init__(self, settings: ConsoleSettings) -> None:
        self._color = settings.color
        self._threads = Threads("the console", WRITE_TIMEOUT)

    async def deliver(self, notification: Notification, session: aiohttp.ClientSession) -> None:
        """Write it; a pipe that nobody reads raises ``DeliveryError``."""
        try:
            await self._threads.run(lambda: self._write(render(notification)))
        except (OSError, ValueError) as error:
            raise DeliveryError(f"standard output does not take it: {type(error).__name__}") from None

    def _write(self, message: Text) -> None:
        """To whatever standard output is now; made anew so that a redirected one is followed."""
        console = Console(
            force_terminal=True if self._color == "always" else None,
            no_color=self._color == "never" or None,
            highlight=False,
            soft_wrap=True,
        )
        console.print(message)
        console.file.flush()


def render(notification: Notification) -> Text:
    """The notification as coloured text."""
    alerts = text.by_urgency(notification)
    message = Text()
    if notification.kind == "digest" and not alerts:
        message.append(f" {text.headline(notification)}\n", "bold")
    for sentence in text.overview(notification):
        message.append(f" {sentence}\n")
    for alert in alerts[:SHOWN_MAX]:
        message.append_text(_alert(alert))
    if len(alerts) > SHOWN_MAX:
        message.append(f"… and {len(alerts) - SHOWN_MAX} more: {text.headline(notification)}\n", "dim")
    message.rstrip()
    return message


def _alert(alert: NotifiedAlert) -> Text:
    firing = alert.status == "firing"
    line = Text()
    line.append(f" {alert.severity} ", STYLES.get(alert.severity, "bold") if firing else "bold green")
    line.append(f" {alert.status.upper()} ", "bold" if firing else "green")
    line.append(text.clean(alert.name), "bold")
    line.append(f"  since {text.when(alert.starts_at)}", "dim")
    if alert.ends_at is not None:
        lasted = text.span(alert.ends_at - alert.starts_at)
        why = f" ({text.clean(alert.reason)})" if alert.reason else ""
        line.append(f", ended {text.when(alert.ends_at)} after {lasted}{why}", "dim")
    line.append("\n")
    for sentence in text.summary(alert).splitlines():
        line.append(f"     {sentence}\n")
    for name, value in text.facts(alert):
        line.append(f"     {name}: ", "dim")
        line.append(f"{value}\n")
    if runbook := alert.annotations.get("runbook_url"):
        line.append(f"     runbook: {text.clean(runbook)}\n", "dim")
    return line
