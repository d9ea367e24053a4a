"""Notifications as Telegram shows them: HTML within 4,096 characters, cut between lines. Pure.

core.telegram.org/bots/api#html-style. Telegram makes links of addresses, mentions, hashtags and commands by itself, wherever
they stand, except in ``<code>``; so in foreign text the sign by which each begins becomes one that looks alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from itertools import chain
from typing import Any

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.actions import button
from chainwatch.grammar.durations import span
from chainwatch.support.printable import clean

TEXT_MAX = 4_096
"""UTF-16 units of a message. Tags count here too, though Telegram does not count them: so no other reading exceeds it."""
MORE_MAX = 60
"""Units kept free for the line that counts what is not shown."""
LINE_MAX = 1_200
"""Units of one line without its tags."""
ALERT_MIN = 600
"""Units that every alert of a message may take, however many there are."""
NAME_MAX = 100
"""Characters of a fact's name that are shown."""

_ALIKE = str.maketrans({"@": "\uff20", "#": "\uff03"})
_IP = re.compile(r"(?<!\d)(?:\d{1,3}\.){3}\d{1,3}(?!\d)")
_SIGNS = (
    (re.compile(r"://"), "\uff1a//"),
    (re.compile(r"(?<=\S)\.(?=[^\W\d_])"), "\u2024"),  # of a host name
    (re.compile(r"(?<![\w/])/(?=\w)"), "\uff0f"),  # of a command
    (re.compile(r"\$(?=[A-Za-z])"), "\uff04"),  # of a currency's tag
    (re.compile(r"\+(?=\d)"), "\uff0b"),  # of a telephone number
    (_IP, lambda found: found[0].replace(".", "\u2024")),
)
_LINK = re.compile(r"https?://[^\s<>\"'`]{1,2000}")


def prose(said: str) -> str:
    """Return one line of foreign text as HTML that shows it unchanged: without markup, links, mentions or commands."""
    shown = clean(said).translate(_ALIKE)
    for sign, alike in _SIGNS:
        shown = sign.sub(alike, shown)
    return _escaped(shown)


def code(said: str) -> str:
    """Return one line of foreign text as HTML in which Telegram finds nothing; a tap copies it."""
    return f"<code>{_escaped(clean(said))}</code>"


def body(notification: Notification) -> str:
    """Return the message about ``notification``; alerts and lines that do not fit are counted."""
    alerts = text.by_urgency(notification)
    sign = f"{text.emoji(alerts[0])} " if alerts else ""
    lines = [f"{sign}<b>{prose(text.headline(notification))}</b>", *map(prose, text.overview(notification))]
    head = text.within(lines, TEXT_MAX // 2)
    room = TEXT_MAX - MORE_MAX - text.units(head)
    most = max(ALERT_MIN, room // max(1, len(alerts)))
    parts = [head]
    for alert in alerts:
        part = _alert(alert, most)
        room -= text.units(part) + 2
        if room < 0:
            break
        parts.append(part)
    return _with_rest("\n\n".join(parts), len(alerts) - len(parts) + 1)


def follow_up(notification: Notification) -> dict[str, Any]:
    """Return the arguments of the reply to the first message: a line for each alert."""
    alerts = text.by_urgency(notification)
    head = [f"<b>{prose(text.headline(notification))}</b>", *map(prose, text.overview(notification))]
    shown = text.within(chain(head, map(_line, alerts)), TEXT_MAX - MORE_MAX)
    return _formatted(_with_rest(shown, len(head) + len(alerts) - shown.count("\n") - 1))


def keyboard(notification: Notification) -> list[list[dict[str, str]]]:
    """Return the rows of buttons (``inline_keyboard``) by which people act on what fires; none where nothing does."""
    firing = notification.firing
    row: list[dict[str, str]] = []
    if any("acknowledged_by" not in alert.annotations for alert in firing):
        row.append({"text": "Acknowledge", "callback_data": button("acknowledge", notification)})
    if firing:
        row.append({"text": "Silence 1 h", "callback_data": button("silence", notification)})
    return [row] if row else []


def _with_rest(shown: str, left: int) -> str:
    return f"{shown}\n… and {left} more, not shown here." if left > 0 else shown


def _line(alert: NotifiedAlert) -> str:
    said = next(iter(text.summary(alert)), "")
    about = f": {prose(text.cut(said, NAME_MAX))}" if said else ""
    name = prose(text.cut(text.name_of(alert), NAME_MAX))
    return f"{text.emoji(alert)} {alert.severity} {alert.status} <b>{name}</b>{about}"


def _alert(alert: NotifiedAlert, most: int) -> str:
    """Return one alert in at most ``most`` units, by whole lines."""
    name = prose(text.cut(text.name_of(alert), NAME_MAX))
    lines = [f"{text.emoji(alert)} <b>{alert.severity} {alert.status.upper()}: {name}</b>"]
    lines += [_fitting(prose(line)) for line in text.summary(alert)]
    lines += [_fitting(f"│ {prose(line)}") for line in text.continued(alert)]
    lines += map(_fact, text.facts(alert))
    lines += _ends(alert)
    shown = text.within(lines, most - MORE_MAX)
    left = len(lines) - shown.count("\n") - 1
    return f"{shown}\n… ({left} more lines)" if left > 0 else shown


def _fact(fact: text.Fact) -> str:
    name = f"<b>{prose(text.cut(fact.name, NAME_MAX))}:</b> "
    if fact.links:
        linked = prose(fact.value)
        for one, url in fact.links.items():
            linked = linked.replace(one, f'<a href="{_escaped(url)}">{one}</a>')
        if text.units(linked) <= LINE_MAX:
            return name + linked
    return f"{name}<code>{_fitting(_escaped(clean(fact.value)))}</code>"


def _ends(alert: NotifiedAlert) -> Iterable[str]:
    if alert.ends_at is None:
        yield f"since {text.when(alert.starts_at)}"
    else:
        lasted = span(alert.ends_at - alert.starts_at)
        reason = f" ({prose(text.cut(alert.reason, LINE_MAX // 4))})" if alert.reason else ""
        yield f"ended {text.when(alert.ends_at)}, after {lasted}{reason}"
    links = {"runbook": text.runbook(alert), "open": alert.link}
    shown = [f'<a href="{_escaped(url)}">{label}</a>' for label, url in links.items() if _LINK.fullmatch(url)]
    if shown:
        yield " · ".join(shown)


def _fitting(escaped: str) -> str:
    """Return text without tags in at most ``LINE_MAX`` units, never cut within an entity."""
    return re.sub("&[#a-z0-9]*…$", "…", text.cut(escaped, LINE_MAX))


def _escaped(shown: str) -> str:
    return escape(shown, quote=True)


def arguments(notification: Notification, *, buttons: bool) -> dict[str, Any]:
    """Return what ``sendMessage`` and ``editMessageText`` need beside the chat."""
    rows = keyboard(notification) if buttons else []
    return {**_formatted(body(notification)), **({"reply_markup": {"inline_keyboard": rows}} if rows else {})}


def _formatted(html: str) -> dict[str, Any]:
    """Return the arguments for a text in HTML, whose links show no preview of their pages."""
    return {"text": html, "parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}
