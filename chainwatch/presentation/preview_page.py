"""A page that shows a channel's message about as people see it, and of channels for programs their JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from typing import Any

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; padding: 0 1rem }
:root { color-scheme: light dark }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
.embed { border-left: 4px solid; border-radius: 4px; background: #8882; padding: .7rem 1rem; margin: .5rem 0;
  max-width: 33rem; overflow-wrap: anywhere }
.fields { display: flex; flex-wrap: wrap; gap: .6rem 1.4rem; margin-top: .6rem }
.fields > div { flex: 1 1 100% } .fields > .inline { flex: 0 1 auto }
.button { border: 1px solid #8888; border-radius: 6px; padding: .25rem .7rem; font-size: 14px }
.fields b { display: block; font-size: 13px } footer { font-size: 12px; opacity: .7; margin-top: .6rem }
"""


def page(receiver: str, provider: str, message: Any) -> str:
    """Return the page of ``message``, given as JSON holds it."""
    mail = message.get("mail") if isinstance(message, dict) else None
    if provider == "email" and isinstance(mail, dict):
        return str(mail["html"])
    body = "".join(_BODIES.get(provider, _text)(message))
    title = escape(f"{receiver} ({provider})")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def _text(message: Any) -> Iterator[str]:
    yield f"<pre>{escape(json.dumps(message, indent=2, ensure_ascii=False))}</pre>"


def _discord(rendered: Mapping[str, Any]) -> Iterator[str]:
    message = rendered["whole"]
    yield f"<p>{_markdown(message.get('content', ''))}</p>"
    for embed in message.get("embeds", ()):
        yield f'<div class="embed" style="border-color: #{int(embed.get("color") or 0):06x}">'
        yield f"<b>{_markdown(embed.get('title') or '')}</b>"
        yield f"<div>{_markdown(embed.get('description') or '')}</div><div class='fields'>"
        for field in embed.get("fields") or ():
            kind = "inline" if field.get("inline") else ""
            yield f"<div class='{kind}'><b>{_markdown(field['name'])}</b>{_markdown(field['value'])}</div>"
        yield f"</div><footer>{escape((embed.get('footer') or {}).get('text') or '')}</footer></div>"


def _slack(rendered: Mapping[str, Any]) -> Iterator[str]:
    for block in rendered["whole"].get("blocks", ()):
        if block["type"] == "actions":
            yield _buttons(element["text"]["text"] for element in block["elements"])
        elif block["type"] == "context":
            yield f"<footer>{' '.join(_mrkdwn(element['text']) for element in block['elements'])}</footer>"
        elif "text" in block:
            tag = "h3" if block["type"] == "header" else "p"
            yield f"<{tag}>{_mrkdwn(block['text']['text'])}</{tag}>"


_MRKDWN = re.compile(r"<(https?://[^|>]+)(?:\|([^>]*))?>|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(\n)")


def _mrkdwn(text: str) -> str:
    """Return the HTML of Slack's mrkdwn, in which ``&``, ``<`` and ``>`` are escaped as in HTML."""

    def tag(match: re.Match[str]) -> str:
        url, label, bold, newline = match.groups()
        if url is not None:
            return f'<a href="{_once(url)}" rel="noreferrer">{_once(label or url)}</a>'
        return "<br>" if newline is not None else f"<b>{_once(bold)}</b>"

    parts, position = [], 0
    for match in _MRKDWN.finditer(text):
        parts += [_once(text[position : match.start()]), tag(match)]
        position = match.end()
    return "".join([*parts, _once(text[position:])])


def _once(text: str) -> str:
    """Escape what is not escaped yet."""
    return escape(re.sub("&(amp|lt|gt);", lambda entity: {"amp": "&", "lt": "<", "gt": ">"}[entity[1]], text))


def _telegram(rendered: Mapping[str, Any]) -> Iterator[str]:
    allowed = _Allowed()
    allowed.feed(rendered["whole"]["text"].replace("\n", "<br>"))
    allowed.close()
    yield f"<p>{''.join(allowed.parts)}</p>"
    for row in (rendered["whole"].get("reply_markup") or {}).get("inline_keyboard", ()):
        yield _buttons(button["text"] for button in row)


class _Allowed(HTMLParser):
    """Keeps the tags that Telegram has, and shows all others as text."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        url = dict(attrs).get("href") or ""
        if tag == "a" and url.startswith(("https://", "http://")):
            self.parts.append(f'<a href="{escape(url)}" rel="noreferrer">')
        elif tag in ("b", "i", "code", "br"):
            self.parts.append(f"<{tag}>")
        else:
            self.parts.append(escape(self.get_starttag_text() or ""))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>" if tag in ("a", "b", "i", "code") else escape(f"</{tag}>"))

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data))


def _console(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"<pre>{escape(chr(10).join(' ' * line['indent'] + line['text'] for line in lines))}</pre>"


def _apprise(message: Mapping[str, str]) -> Iterator[str]:
    yield f"<b>{escape(message['title'])}</b><pre>{escape(message['body'])}</pre>"


def _buttons(labels: Iterator[str]) -> str:
    return "".join(f'<span class="button">{escape(label)}</span> ' for label in labels)


_BODIES: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "apprise": _apprise,
    "console": _console,
    "discord": _discord,
    "slack": _slack,
    "telegram": _telegram,
}

_TOKEN = re.compile(
    r"\\(.)|\*\*(.+?)\*\*|\[([^\]\\]+)\]\((https?://[^)\s]+)\)|<t:(\d{1,20}):\w>|(\n)", re.DOTALL
)


def _markdown(text: str) -> str:
    """Return the HTML of what chainwatch's messages use of Discord's Markdown; all else is text."""
    parts, position = [], 0
    for match in _TOKEN.finditer(text):
        parts.append(escape(text[position : match.start()]))
        parts.append(_tag(match))
        position = match.end()
    return "".join([*parts, escape(text[position:])])


def _tag(match: re.Match[str]) -> str:
    escaped, bold, label, url, moment, newline = match.groups()
    if escaped is not None:
        return escape(escaped)
    if bold is not None:
        return f"<b>{_markdown(bold)}</b>"
    if label is not None:
        return f'<a href="{escape(url)}" rel="noreferrer">{escape(label)}</a>'
    return f"<time>{_moment(int(moment))}</time>" if newline is None else "<br>"


def _moment(timestamp: int) -> str:
    """Return a time as people read it; the number itself where it is beyond the calendar."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%-d %B %Y %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)
