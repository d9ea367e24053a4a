"""Alerts as readable lines on standard output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pydantic import Field
from rich.console import Console
from rich.text import Text

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.thread import Threads
from chainwatch.alerting.providers.transport import Transport
from chainwatch.config.receivers import ReceiverSettings
from chainwatch.grammar.durations import span
from chainwatch.support.printable import clean

SHOWN_MAX = 50
"""Alerts of one notification that are shown; the others are counted."""
INDENT = 5
"""Columns by which the lines about an alert are indented."""
HANGING = 2
"""Further columns by which the rows of a wrapped line are indented."""
CONTINUED = "│ "
"""Marks the lines of a description after its first."""
NARROWEST = 20
"""The least width of a line in columns, however narrow the terminal."""
WRITE_TIMEOUT = 10.0
"""Seconds within which a terminal or pipe must take a notification."""
STYLES = {"P0": "bold white on red", "P1": "bold red", "P2": "bold yellow", "P3": "bold cyan"}


class ConsoleSettings(ReceiverSettings):
    """Alerts as readable lines on standard output."""

    color: Literal["auto", "always", "never"] = Field(
        default="auto", description="Colours; `auto`: on a terminal."
    )


class Line(NamedTuple):
    """One line of a message, and the columns that it is indented by."""

    indent: int
    text: Text


class ConsoleProvider:
    """Writes each notification to standard output, one at a time."""

    settings_type = ConsoleSettings
    capabilities = Capabilities()
    server: Server | None = None

    def __init__(self, settings: ConsoleSettings, transport: Transport) -> None:
        self._color = settings.color
        self._threads = Threads("the console", WRITE_TIMEOUT)

    def render(self, notification: Notification, previous: Receipt | None) -> list[Line]:
        """Return the lines, not yet wrapped: the width of the terminal is known when they are written."""
        return render(notification)

    async def send(self, message: list[Line]) -> Receipt:
        """Write it. Raises ``DeliveryError`` for a closed standard output, and for a pipe that is not read."""
        try:
            await self._threads.run(lambda: self._write(message))
        except (OSError, ValueError) as error:
            raise DeliveryError(f"standard output does not take it: {type(error).__name__}") from None
        return Receipt()

    def _write(self, message: list[Line]) -> None:
        """Write to ``sys.stdout`` as it is now: it may have been redirected since the last message."""
        console = Console(
            force_terminal=True if self._color == "always" else None,
            no_color=self._color == "never" or None,
            highlight=False,
            soft_wrap=True,
        )
        console.print(layout(message, console if console.is_terminal else None))
        console.file.flush()


def render(notification: Notification) -> list[Line]:
    """Return the notification as coloured lines; alerts beyond ``SHOWN_MAX`` are counted."""
    alerts = text.by_urgency(notification)
    lines: list[Line] = []
    if notification.kind == "digest" and not alerts:
        lines.append(Line(1, Text(text.headline(notification), "bold")))
    lines += [Line(1, Text(sentence)) for sentence in text.overview(notification)]
    for alert in alerts[:SHOWN_MAX]:
        lines += _alert(alert)
    if len(alerts) > SHOWN_MAX:
        more = f"… and {len(alerts) - SHOWN_MAX} more: {text.headline(notification)}"
        lines.append(Line(0, Text(more, "dim")))
    return lines


def layout(lines: Sequence[Line], terminal: Console | None = None) -> Text:
    """Return ``lines`` as one text, without a line break at its end.

    For a ``terminal``, long lines are wrapped and their further rows indented more, so no text from a chain begins a line or
    looks like a fact.
    """
    laid_out = Text()
    for indent, line in lines:
        rows = [line]
        if terminal is not None and line.cell_len > terminal.width - indent:
            rows = list(
                line.wrap(terminal, max(NARROWEST, terminal.width - INDENT - HANGING), overflow="fold")
            )
        for number, row in enumerate(rows):
            laid_out.append(" " * (INDENT + HANGING if number else indent))
            laid_out.append_text(row)
            laid_out.append("\n")
    laid_out.rstrip()
    return laid_out


def _alert(alert: NotifiedAlert) -> Iterator[Line]:
    firing = alert.status == "firing"
    line = Text()
    line.append(f" {alert.severity} ", STYLES.get(alert.severity, "bold") if firing else "bold green")
    line.append(f" {alert.status.upper()} ", "bold" if firing else "green")
    line.append(text.name_of(alert), "bold")
    line.append(f"  since {text.when(alert.starts_at)}", "dim")
    if alert.ends_at is not None:
        lasted = span(alert.ends_at - alert.starts_at)
        reason = f" ({clean(alert.reason)})" if alert.reason else ""
        line.append(f", ended {text.when(alert.ends_at)} after {lasted}{reason}", "dim")
    yield Line(0, line)
    for sentence in text.summary(alert):
        yield Line(INDENT, Text(sentence))
    for sentence in text.continued(alert):
        yield Line(INDENT, Text(CONTINUED + sentence))
    for name, value, links in text.facts(alert):
        yield Line(INDENT, Text.assemble((f"{name}: ", "dim"), " ".join([value, *links.values()])))
    if runbook := alert.annotations.get("runbook_url"):
        yield Line(INDENT, Text(f"runbook: {clean(runbook)}", "dim"))
