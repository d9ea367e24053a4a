"""The pictures of the page in `docs/page.md`: what each is of, and its text, by which a test knows that it is current."""

from __future__ import annotations

import hashlib
import re
from html import unescape
from typing import NamedTuple

from tests.support.browsing import DESK, PHONE


class Picture(NamedTuple):
    """One picture: the screen's path, and how it is looked at."""

    name: str
    path: str
    scheme: str = "light"
    size: dict[str, int] = DESK

    @property
    def file(self) -> str:
        return f"{self.name}.png"


PICTURES = (
    Picture("now", "/ui/"),
    Picture("now-phone", "/ui/", "dark", PHONE),
    Picture("alert", "/ui/alerts/5"),
    Picture("incident", "/ui/incidents/1", "dark"),
    Picture("silence", "/ui/silences/new?alert=1"),
)


def text_of(html: str) -> str:
    """A hash of what a screen says: without the frame around it, and without what depends on the time."""
    (main,) = re.findall("<main.*?</main>", html, re.DOTALL)
    steady = re.sub(r"<time.*?</time>|Until.*?</td>|after \d\S*( \d\S*)?", "", main, flags=re.DOTALL)
    steady = re.sub(r"<input type=\"hidden\"[^>]*>|<[^>]+>", " ", steady)
    return hashlib.sha256(" ".join(unescape(steady).split()).encode()).hexdigest()
