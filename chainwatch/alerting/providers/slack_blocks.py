"""Notifications as Slack shows them: Block Kit, within its limits. Pure.

Limits: docs.slack.dev/reference/block-kit/blocks and docs.slack.dev/reference/methods/chat.postMessage; escaping:
docs.slack.dev/messaging/formatting-message-text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from chainwatch.alerting.delivery.notification import Notification, NotifiedAlert
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.actions import button
from chainwatch.grammar.durations import span
from chainwatch.support.printable import clean

HEADER_MAX, SECTION_MAX, BUTTON_URL_MAX = 150, 3_000, 3_000
ALERTS_MAX = 10
"""Alerts of one message; more are counted. Each takes two blocks."""
ALERT_MAX = 2_500
"""Characters of one alert."""
TOTAL_MAX = 12_000
"""Characters of all blocks, from about which on Slack answers ``msg_blocks_too_long``."""
TEXT_MAX = 300
"""Characters of the text that stands for the blocks in desktop notifications."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FULL_WIDTH = str.maketrans({"*": "\uff0a", "~": "\uff5e", "`": "\uff40", "@": "\uff20"})
_LOOSE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_COLON = re.compile(r":(?=\S|$)(?!(?<=\d\d:)\d\d(?!\d))")
"""Those of addresses and names of emoji; not those of sentences and of times."""
_QUOTE = re.compile(r"^(\s*)>")
_LINK = re.compile(r"https?://[^\s<>|\"`]{1,2000}")


def mrkdwn(said: str) -> str:
    """Return one line of foreign text as mrkdwn shows it unchanged: without markup, links, mentions or emoji.

    ``&``, ``<`` and ``>`` become entities. There is no escape for other signs, so those that would count become their
    full-width forms.
    """
    plain = clean(said).translate(_FULL_WIDTH)
    plain = _QUOTE.sub("\\1\uff1e", _LOOSE_UNDERSCORE.sub("\uff3f", _COLON.sub("\uff1a", plain)))
    return re.sub("[&<>]", lambda found: _ENTITIES[found[0]], plain)


def body(notification: Notification, *, buttons: bool) -> dict[str, Any]:
    """Return ``text`` and ``blocks`` of the message about ``notification``; alerts that do not fit are counted.

    ``buttons``: whether people may acknowledge and silence by it.
    """
    headline = text.headline(notification)
    alerts = text.by_urgency(notification)
    blocks: list[dict[str, Any]] = [_header(f"{_sign(alerts)}{headline}")]
    if overview := text.overview(notification):
        blocks.append(_section(_fitting(map(mrkdwn, overview), SECTION_MAX)))
    room = TOTAL_MAX - sum(map(_size, blocks))
    shown = 0
    for alert in alerts[:ALERTS_MAX]:
        some = _alert(alert)
        room -= sum(map(_size, some))
        if room < 0:
            break
        blocks += some
        shown += 1
    if shown < len(alerts):
        blocks.append(_context(f"… and {len(alerts) - shown} more, not shown here."))
    blocks += _actions(notification, buttons=buttons)
    return {"text": _fallback(headline, alerts), "blocks": blocks}


def follow_up(notification: Notification) -> dict[str, Any]:
    """Return the reply in the thread of the first message: a line for each alert."""
    headline = text.headline(notification)
    alerts = text.by_urgency(notification)
    head = [f"*{mrkdwn(headline)}*", *map(mrkdwn, text.overview(notification))]
    shown = _fitting(chain(head, map(_line, alerts)), SECTION_MAX - TEXT_MAX)
    left = len(head) + len(alerts) - shown.count("\n") - 1
    if left > 0:
        shown += f"\n… and {left} more: see the message above."
    return {"text": _fallback(headline, alerts), "blocks": [_section(shown)]}


def _sign(alerts: list[NotifiedAlert]) -> str:
    return f"{text.emoji(alerts[0])} " if alerts else ""


def _line(alert: NotifiedAlert) -> str:
    said = next(iter(text.summary(alert)), "")
    about = f": {mrkdwn(text.cut(said, TEXT_MAX))}" if said else ""
    return f"{text.emoji(alert)} {alert.severity} {alert.status} *{mrkdwn(text.name_of(alert))}*{about}"


def _fallback(headline: str, alerts: list[NotifiedAlert]) -> str:
    said = next(iter(text.summary(alerts[0])), "") if alerts else ""
    return mrkdwn(text.cut(f"{headline} — {said}" if said else headline, TEXT_MAX))


def _alert(alert: NotifiedAlert) -> list[dict[str, Any]]:
    """Return the blocks of one alert: what it says, then when it began and how to find it."""
    lines = [f"*{text.emoji(alert)} {alert.severity} {alert.status.upper()}: {mrkdwn(text.name_of(alert))}*"]
    lines += map(mrkdwn, text.summary(alert))
    lines += [f"> {mrkdwn(line)}" for line in text.continued(alert)]
    lines += map(_fact, text.facts(alert))
    shown = _fitting(lines, ALERT_MAX)
    left = len(lines) - shown.count("\n") - 1
    if left > 0:
        shown += f"\n… ({left} more lines)"
    return [_section(shown), _context(_times(alert))]


def _fitting(lines: Iterable[str], limit: int) -> str:
    return text.within(map(_shortened, lines), limit)


def _shortened(line: str) -> str:
    """Return a line that fits; one that is too long in mrkdwn is cut before an entity or a link begins."""
    if text.units(line) <= ALERT_MAX // 2:
        return line
    kept = text.cut(line, ALERT_MAX // 2)
    return re.sub(r"(&[a-z]*|<[^>]*)…$", "…", kept)


def _fact(fact: text.Fact) -> str:
    value = mrkdwn(fact.value)
    linked = value
    for one, url in fact.links.items():
        linked = linked.replace(one, f"<{url}|{one}>")
    whole = f"*{mrkdwn(text.cut(fact.name, TEXT_MAX))}:* "
    return whole + (linked if text.units(linked) <= ALERT_MAX // 2 - TEXT_MAX else value)


def _times(alert: NotifiedAlert) -> str:
    parts = [f"since {text.when(alert.starts_at)}"]
    if alert.ends_at is not None:
        reason = f" ({mrkdwn(text.cut(alert.reason, TEXT_MAX))})" if alert.reason else ""
        parts.append(
            f"ended {text.when(alert.ends_at)}, after {span(alert.ends_at - alert.starts_at)}{reason}"
        )
    runbook = text.runbook(alert)
    if _LINK.fullmatch(runbook):
        parts.append(f"<{runbook.replace('&', '&amp;')}|runbook>")
    return "  ·  ".join([*parts, mrkdwn(alert.fingerprint)])


def _actions(notification: Notification, *, buttons: bool) -> list[dict[str, Any]]:
    """Return the row of buttons, which is left out where it would be empty."""
    elements: list[dict[str, Any]] = []
    firing = notification.firing
    if buttons and any("acknowledged_by" not in alert.annotations for alert in firing):
        elements.append(_button("Acknowledge", value=button("acknowledge", notification), style="primary"))
    if buttons and firing:
        elements.append(_button("Silence 1 h", value=button("silence", notification)))
    links = [alert.link for alert in notification.alerts if alert.link]
    url = links[0] if len(links) == 1 else notification.external_url
    if url and len(url) <= BUTTON_URL_MAX:
        elements.append(_button("Open", url=url))
    return [{"type": "actions", "elements": elements}] if elements else []


def _button(label: str, **more: str) -> dict[str, Any]:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": label},
        "action_id": f"chainwatch_{label.split()[0].lower()}",
        **more,
    }


def _header(line: str) -> dict[str, Any]:
    """Return a header, in which only plain text is possible, so nothing needs an escape."""
    shown = text.cut(line, HEADER_MAX)
    return {"type": "header", "text": {"type": "plain_text", "text": shown, "emoji": False}}


def _section(shown: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(shown)}


def _context(line: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_text(line)]}


def _text(shown: str) -> dict[str, Any]:
    """``verbatim``: Slack makes no links, mentions or channels out of plain words."""
    return {"type": "mrkdwn", "text": shown, "verbatim": True}


def _size(block: Mapping[str, Any]) -> int:
    return sum(text.units(part["text"]) for part in (block.get("text"), *block.get("elements", ())) if part)
