"""A page that shows a channel's message as people would see it: Discord's embeds, a mail's own HTML, else its text. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; padding: 0 1rem }
:root { color-scheme: light dark }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
.embed { border-left: 4px solid; border-radius: 4px; background: #8882; padding: .7rem 1rem; margin: .5rem 0;
  max-width: 33rem }
.fields { display: flex; flex-wrap: wrap; gap: .6rem 1.4rem; margin-top: .6rem }
.fields > div { flex: 1 1 100% } .fields > .inline { flex: 0 1 auto }
.fields b { display: block; font-size: 13px } footer { font-size: 12px; opacity: .7; margin-top: .6rem }
"""


def page(receiver: str, provider: str, message: Any) -> str:
    """Return the page of ``message``, given as JSON holds it."""
    mail = message.get("mail") if isinstance(message, dict) else None
    if provider == "email" and isinstance(mail, dict):
        return str(mail["html"])
    body = "".join(_discord(message["whole"]) if provider == "discord" else _text(message))
    title = escape(f"{receiver} ({provider})")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>\n"
    )


def _text(message: Any) -> Iterator[str]:
    yield f"<pre>{escape(json.dumps(message, indent=2, ensure_ascii=False))}</pre>"


def _discord(message: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p>{_markdown(message.get('content', ''))}</p>"
    for embed in message.get("embeds", ()):
        yield f'<div class="embed" style="border-color: #{int(embed.get("color") or 0):06x}">'
        yield f"<b>{_markdown(embed.get('title') or '')}</b>"
        yield f"<div>{_markdown(embed.get('description') or '')}</div><div class='fields'>"
        for field in embed.get("fields") or ():
            kind = "inline" if field.get("inline") else ""
            yield f"<div class='{kind}'><b>{_markdown(field['name'])}</b>{_markdown(field['value'])}</div>"
        yield f"</div><footer>{escape((embed.get('footer') or {}).get('text') or '')}</footer></div>"


_TOKEN = re.compile(r"\\(.)|\*\*(.+?)\*\*|\[([^\]\\]+)\]\((https?://[^)\s]+)\)|<t:(\d+):\w>|(\n)", re.DOTALL)


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
    return f"<time>{moment}</time>" if newline is None else "<br>"
