"""Templates to HTML. Every value is escaped, and characters that hide or reverse text are shown as what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chainwatch.api.page.assets import address
from chainwatch.support.printable import clean

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send forms with the Origin `null`
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
KEY_HEAD, KEY_TAIL = 10, 6
"""Characters of a long key that are shown; the others are in the page too, so that what is copied is whole."""
_COPY = Markup(
    '<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" fill="none" stroke="currentColor">'
    '<rect x="5.500" y="5.500" width="8" height="8" rx="1.500"/><path d="M10.500 3.500v-1h-8v8h1"/></svg>'
)
_LONG_WORD = re.compile(r"\S{200}")
CLIPPED_TO = 300
"""Characters of a text that a list shows."""


def html_response(html: str, status: int = 200) -> web.Response:
    """Return the answer with this page."""
    return web.Response(text=html, content_type="text/html", status=status, headers=SECURITY_HEADERS)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return the HTML of ``template`` with ``values``."""
    return _environment().get_template(template).render(values)


def span(seconds: float) -> str:
    """Return a length of time as people say it: its two largest units."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0")) or "0s"


def moment(at: float) -> str:
    """Return a moment, Unix seconds, as UTC to the second; the number itself where it is beyond the calendar."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return str(at)


def when(at: float, now: float) -> Markup:
    """Return how long ago or ahead a moment is, with the moment itself as its title."""
    ahead = at - now
    said = "now" if abs(ahead) < 1 else f"in {span(ahead)}" if ahead > 0 else f"{span(-ahead)} ago"
    return Markup('<time data-at="{}" title="{}">{}</time>').format(round(at, 3), moment(at), said)


def key(text: str) -> Markup:
    """Return a key, a hash or an address: shortened for the eye, whole when it is copied."""
    shown = clean(text)
    if len(shown) <= KEY_HEAD + KEY_TAIL + 3:
        return Markup('<code class="key" title="{}">{}</code>').format(shown, shown)
    parts = (shown, shown[:KEY_HEAD], shown[KEY_HEAD:-KEY_TAIL], shown[-KEY_TAIL:], shown, _COPY)
    return Markup(
        '<code class="key" title="{}">{}<span class="middle">{}</span>{}</code>'
        '<button type="button" class="copy" data-copy="{}" aria-label="Copy" title="Copy">{}</button>'
    ).format(*parts)


def short(text: str) -> str:
    """Return a key shortened for the eye, for the text of a link."""
    shown = clean(text)
    return shown if len(shown) <= KEY_HEAD + KEY_TAIL + 3 else f"{shown[:KEY_HEAD]}…{shown[-KEY_TAIL:]}"


def hour(at: float) -> str:
    """Return the time of day of a moment, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def clip(text: str) -> str:
    """Return the beginning of a text, for lists."""
    return text if len(text) <= CLIPPED_TO else f"{text[: CLIPPED_TO - 1]}…"


def breakable(text: str) -> Markup:
    """Return a text whose very long words have places to break: browsers take minutes to find their own."""
    return Markup("<wbr>").join(_LONG_WORD.sub("\\g<0>\0", clean(text)).split("\0"))


def lines(text: str) -> Markup:
    """Return text of several lines, each shown as one."""
    return Markup("\n").join(clean(line) for line in text.split("\n"))


def is_web(text: object) -> bool:
    """Return whether ``text`` is an address that a link may have."""
    try:
        return isinstance(text, str) and urlsplit(text).scheme in ("http", "https")
    except ValueError:
        return False


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("chainwatch.api.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.globals.update(asset=address, when=when)
    environment.filters.update(
        span=span, moment=moment, key=key, short=short, hour=hour, clip=clip, lines=lines, breakable=breakable
    )
    environment.tests["web"] = is_web
    return environment


def _finalized(value: object) -> object:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
