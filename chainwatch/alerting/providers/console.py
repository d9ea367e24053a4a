"""Alerts as readable lines on standard output."""

from __future__ import annotations

import aiohttp
from rich.console import Console
from rich.text import Text

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import DeliveryError
from chainwatch.alerting.providers.thread import Threads
from chainwatch.config import ConsoleSettings
from chainwatch.support.printable import clean

SHOWN_MAX = 50
"""Alerts of one notification that are written out; the others are counted."""
INDENT = 5
"""Columns before what is said of an alert."""
HANGING = 2
"""Columns more before what goes on from the line above."""
CONTINUED = "│ "
"""Begins the further lines of a description."""
NARROWEST = 20
"""Columns that a line has at least, however narrow the terminal."""
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
            await self._threads.run(lambda: self._write(notification))
        except (OSError, ValueError) as error:
            raise DeliveryError(f"standard output does not take it: {type(error).__name__}") from None

    def _write(self, notification: Notification) -> None:
        """To whatever standard output is now; made anew so that a redirected one is followed."""
        console = Console(
            force_terminal=True if self._color == "always" else None,
            no_color=self._color == "never" or None,
            highlight=False,
            soft_wrap=True,
        )
        console.print(render(notification, console if console.is_terminal else None))
        console.file.flush()


def render(notification: Notification, terminal: Console | None = None) -> Text:
    """The notification as coloured text.

    On a ``terminal`` long lines go on in further ones, indented more: nothing that a chain says begins a line or looks
    like a fact's.
    """
    alerts = text.by_urgency(notification)
    message = Text()
    if notification.kind == "digest" and not alerts:
        _add(message, 1, Text(text.headline(notification), "bold"), terminal)
    for sentence in text.overview(notification):
        _add(message, 1, Text(sentence), terminal)
    for alert in alerts[:SHOWN_MAX]:
        _add_alert(message, alert, terminal)
    if len(alerts) > SHOWN_MAX:
        more = f"… and {len(alerts) - SHOWN_MAX} more: {text.headline(notification)}"
        _add(message, 0, Text(more, "dim"), terminal)
    message.rstrip()
    return message


def _add_alert(message: Text, alert: NotifiedAlert, terminal: Console | None) -> None:
    firing = alert.status == "firing"
    line = Text()
    line.append(f" {alert.severity} ", STYLES.get(alert.severity, "bold") if firing else "bold green")
    line.append(f" {alert.status.upper()} ", "bold" if firing else "green")
    line.append(clean(alert.name), "bold")
    line.append(f"  since {text.when(alert.starts_at)}", "dim")
    if alert.ends_at is not None:
        lasted = text.span(alert.ends_at - alert.starts_at)
        why = f" ({clean(alert.reason)})" if alert.reason else ""
        line.append(f", ended {text.when(alert.ends_at)} after {lasted}{why}", "dim")
    _add(message, 0, line, terminal)
    for sentence in text.summary(alert):
        _add(message, INDENT, Text(sentence), terminal)
    for sentence in text.continued(alert):
        _add(message, INDENT, Text(CONTINUED + sentence), terminal)
    for name, value in text.facts(alert):
        _add(message, INDENT, Text.assemble((f"{name}: ", "dim"), value), terminal)
    if runbook := alert.annotations.get("runbook_url"):
        _add(message, INDENT, Text(f"runbook: {clean(runbook)}", "dim"), terminal)


def _add(message: Text, indent: int, line: Text, terminal: Console | None) -> None:
    rows = [line]
    if terminal is not None and line.cell_len > terminal.width - indent:
        rows = list(line.wrap(terminal, max(NARROWEST, terminal.width - INDENT - HANGING), overflow="fold"))
    for number, row in enumerate(rows):
        message.append(" " * (INDENT + HANGING if number else indent))
        message.append_text(row)
        message.append("\n")
