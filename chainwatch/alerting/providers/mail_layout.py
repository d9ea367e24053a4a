"""A notification as an e-mail's subject, text and HTML: pure.

The HTML is tables with styles inline, as mail programs need it, and loads nothing. What it says is cut by whole alerts:
first some with all their facts, then rows of a table, then a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.grammar.durations import span

SUBJECT_MAX = 150
"""Characters of a subject."""
DETAILED_MAX = 10
"""Alerts that are shown with all their facts; digests and summaries show none so."""
DETAILED_BYTES = 60_000
"""Bytes of HTML about such alerts, after which the others are rows: Gmail cuts mails off at 102 kB."""
ROWS_MAX = 100
"""Alerts that are shown as rows of a table; the others are counted."""
NAME_MAX, SUMMARY_MAX, FACTS_MAX = 120, 300, 30
"""Characters of an alert's name and of its summary in a row; facts of an alert."""

COLORS = {"P0": "#b00020", "P1": "#c62828", "P2": "#b45309", "P3": "#1565c0"}
RESOLVED_COLOR = "#2e7d32"

_FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_DARK = """\
@media (prefers-color-scheme: dark) {
  .page { background: #121212 !important; }
  .card { background: #1e1e1e !important; border-color: #3a3a3a !important; }
  .card, .strong { color: #ececec !important; }
  .faint { color: #a8a8a8 !important; }
  .line { border-color: #3a3a3a !important; }
  .link { color: #8ab4f8 !important; }
}"""


class Mail(NamedTuple):
    """What a mail says. ``subject`` says nothing about what fires now: a follow-up keeps it, to stay in its conversation."""

    subject: str
    text: str
    html: str


def compose(notification: Notification) -> Mail:
    """Return a notification as a mail."""
    alerts = text.by_urgency(notification)
    return Mail(_subject(notification, alerts), _text(notification, alerts), _html(notification, alerts))


def _subject(notification: Notification, alerts: Sequence[NotifiedAlert]) -> str:
    if notification.kind or not alerts:
        subject = text.headline(notification)
    else:
        subject = f"[{min(alert.severity for alert in alerts)}] {text.title(notification)}"
    return _fit(text.plain(subject), SUBJECT_MAX)


def _fit(words: str, limit: int) -> str:
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


# --- text ---------------------------------------------------------------------------------------------------


def _text(notification: Notification, alerts: Sequence[NotifiedAlert]) -> str:
    parts = ["\n".join(map(text.plain, [text.headline(notification), *text.overview(notification)]))]
    detailed = _detailed_number(notification)
    parts += ["\n".join(_text_of(alert)) for alert in alerts[:detailed]]
    rows = alerts[detailed : detailed + ROWS_MAX]
    if rows:
        parts.append("\n".join(_row_text(alert) for alert in rows))
    if (left := len(alerts) - detailed - len(rows)) > 0:
        parts.append(f"… and {left:,} more.")
    if notification.external_url:
        parts.append(notification.external_url)
    return "\n\n".join(parts) + "\n"


def _text_of(alert: NotifiedAlert) -> Iterator[str]:
    yield _state(alert)
    for line in text.summary(alert):
        yield f"  {text.plain(line)}"
    for line in text.continued(alert):
        yield f"  > {text.plain(line)}"
    yield f"  {_times(alert)}"
    for fact in text.facts(alert)[:FACTS_MAX]:
        yield f"  {text.plain(fact.name)}: {text.plain(fact.value)}"
        yield from (f"    {url}" for url in fact.links.values())
    for url in _own_links(alert).values():
        yield f"  {url}"


def _row_text(alert: NotifiedAlert) -> str:
    return f"{_state(alert)}, {_times(alert)}{_said(alert)}"


def _state(alert: NotifiedAlert) -> str:
    return f"{alert.severity} {alert.status.upper()}: {_fit(text.plain(text.name_of(alert)), NAME_MAX)}"


def _said(alert: NotifiedAlert) -> str:
    said = " ".join(map(text.plain, text.summary(alert)[:1]))
    return f": {_fit(said, SUMMARY_MAX)}" if said else ""


def _times(alert: NotifiedAlert) -> str:
    since = f"since {text.when(alert.starts_at)}"
    if alert.ends_at is None:
        return since
    reason = f" ({text.plain(alert.reason)})" if alert.reason else ""
    return f"{since}, ended {text.when(alert.ends_at)} after {span(alert.ends_at - alert.starts_at)}{reason}"


def _own_links(alert: NotifiedAlert) -> dict[str, str]:
    found = {"Open": alert.link, "Runbook": text.runbook(alert)}
    return {words: url for words, url in found.items() if url}


def _detailed_number(notification: Notification) -> int:
    return 0 if notification.kind else DETAILED_MAX


# --- HTML ---------------------------------------------------------------------------------------------------


def _html(notification: Notification, alerts: Sequence[NotifiedAlert]) -> str:
    headline = _safe(text.headline(notification))
    color = _color(alerts[0]) if alerts else RESOLVED_COLOR
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="supported-color-schemes" content="light dark">',
            f"<title>{headline}</title><style>{_DARK}</style></head>\n",
            f'<body class="page" style="margin:0;padding:16px 8px;background:#f4f4f5;{_FONT}">',
            '<table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" ',
            'style="max-width:680px;margin:0 auto;background:#ffffff;color:#1a1a1a;border:1px solid #dddddd;',
            'border-collapse:separate;border-radius:6px">',
            f'<tr><td style="padding:16px 20px;border-top:6px solid {color};border-radius:6px 6px 0 0;',
            f'font-size:18px;font-weight:bold">{headline}</td></tr>\n',
            *(_line(_safe(line)) for line in text.overview(notification)),
            *_alerts_html(notification, alerts),
            _footer(notification),
            "</table></body></html>\n",
        ]
    )


def _alerts_html(notification: Notification, alerts: Sequence[NotifiedAlert]) -> Iterator[str]:
    detailed, size = 0, 0
    for alert in alerts[: _detailed_number(notification)]:
        block = _detailed(alert)
        size += len(block.encode())
        if detailed and size > DETAILED_BYTES:
            break
        detailed += 1
        yield block
    rows = alerts[detailed : detailed + ROWS_MAX]
    if rows:
        yield _table(rows)
    if (left := len(alerts) - detailed - len(rows)) > 0:
        yield _line(f"… and {left:,} more.")


def _detailed(alert: NotifiedAlert) -> str:
    color = _color(alert)
    rows = "".join(
        f'<tr><td class="faint" valign="top" style="padding:2px 12px 2px 0;color:#666666;white-space:nowrap">'
        f'{_safe(fact.name)}</td><td style="padding:2px 0;word-break:break-word">{_linked(fact.value, fact.links)}</td></tr>'
        for fact in text.facts(alert)[:FACTS_MAX]
    )
    quoted = "<br>".join(_safe(line) for line in text.continued(alert))
    return "".join(
        [
            '<tr><td style="padding:0 20px 16px">',
            '<table role="presentation" class="line" width="100%" cellpadding="0" cellspacing="0" ',
            f'style="border-left:4px solid {color};border-collapse:separate"><tr><td style="padding:4px 0 4px 14px;',
            'font-size:14px;line-height:1.45">',
            f'<div style="padding-bottom:4px">{_badge(alert)} ',
            f'<strong class="strong">{_safe(_fit(text.name_of(alert), NAME_MAX))}</strong></div>',
            *(f"<div>{_safe(line)}</div>" for line in text.summary(alert)),
            f'<div class="faint" style="color:#666666;padding-left:10px">{quoted}</div>' if quoted else "",
            f'<div class="faint" style="color:#666666">{_safe(_times(alert))}</div>',
            f'<table role="presentation" cellpadding="0" cellspacing="0" style="font-size:13px">{rows}</table>'
            if rows
            else "",
            _links(_own_links(alert)),
            "</td></tr></table></td></tr>\n",
        ]
    )


def _table(alerts: Iterable[NotifiedAlert]) -> str:
    cell = 'class="line" valign="top" style="padding:6px 10px 6px 0;border-top:1px solid #e2e2e2"'
    rows = "".join(
        f"<tr><td {cell}>{_badge(alert)}</td>"
        f'<td {cell}><strong class="strong">{_safe(_fit(text.name_of(alert), NAME_MAX))}</strong>{_safe(_said(alert))}<br>'
        f'<span class="faint" style="color:#666666">{_safe(_times(alert))}</span>{_links(_own_links(alert))}</td></tr>'
        for alert in alerts
    )
    return (
        '<tr><td style="padding:0 20px 16px"><table role="presentation" width="100%" cellpadding="0" cellspacing="0" '
        f'style="font-size:13px;line-height:1.4;word-break:break-word">{rows}</table></td></tr>\n'
    )


def _badge(alert: NotifiedAlert) -> str:
    return (
        f'<span style="background:{_color(alert)};color:#ffffff;padding:2px 7px;border-radius:3px;font-size:12px;'
        f'font-weight:bold;white-space:nowrap">{_safe(alert.severity)} {alert.status.upper()}</span>'
    )


def _footer(notification: Notification) -> str:
    sent = f"Sent by chainwatch to {_safe(notification.receiver)}."
    if notification.external_url:
        sent += f" {_link(notification.external_url, 'Open chainwatch')}"
    return (
        '<tr><td class="faint line" style="padding:10px 20px;border-top:1px solid #e2e2e2;color:#666666;font-size:12px">'
        f"{sent}</td></tr>"
    )


def _line(content: str) -> str:
    return f'<tr><td style="padding:0 20px 10px;font-size:14px">{content}</td></tr>\n'


def _links(links: Mapping[str, str]) -> str:
    shown = " · ".join(_link(url, words) for words, url in links.items())
    return f'<div style="padding-top:4px">{shown}</div>' if shown else ""


def _linked(value: str, links: Mapping[str, str]) -> str:
    """Return ``value`` with its hashes and addresses as links; they are hexadecimal, so nothing in them is escaped."""
    if not links:
        return _safe(value)
    return re.sub("|".join(links), lambda found: _link(links[found[0]], found[0]), _safe(value))


def _link(url: str, words: str) -> str:
    return f'<a class="link" href="{escape(url)}" style="color:#1a56db">{_safe(words)}</a>'


def _color(alert: NotifiedAlert) -> str:
    return COLORS.get(alert.severity, COLORS["P3"]) if alert.status == "firing" else RESOLVED_COLOR


def _safe(words: str) -> str:
    """Return ``words`` as HTML that shows exactly them, without links."""
    return escape(text.plain(words))
