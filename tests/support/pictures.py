"""The pictures of the page in `docs/page.md`: what each is of, and its text, by which a test knows that it is current."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import NamedTuple

from tests.support import served_transfers
from tests.support.browsing import DESK, PHONE
from tests.support.served_page import ServedPage, fill, serving_page


class Picture(NamedTuple):
    """One picture: the screen's path, how it is looked at, and what has happened."""

    name: str
    path: str
    scheme: str = "light"
    size: dict[str, int] = DESK
    story: str = "night"

    @property
    def file(self) -> str:
        return f"{self.name}.png"


PICTURES = (
    Picture("now", "/ui/"),
    Picture("now-phone", "/ui/", "dark", PHONE),
    Picture("alert", "/ui/alerts/5"),
    Picture("incident", "/ui/incidents/1", "dark"),
    Picture("silence", "/ui/silences/new?alert=1"),
    Picture("transfers", "/ui/transfers", story="transfers"),
    Picture("transfer", f"/ui/transfers/bridge/{served_transfers.key_of(20)}", "dark", story="transfers"),
)


@contextmanager
def serving_stories(folder: Path) -> Iterator[dict[str, ServedPage]]:
    """Serve a page for each story, by its name."""
    folders = {name: folder / name for name in ("night", "transfers")}
    for one in folders.values():
        one.mkdir()
    tables = served_transfers.tables(folders["transfers"])
    with (
        serving_page(folders["night"], fill) as night,
        serving_page(folders["transfers"], served_transfers.fill, tables) as transfers,
    ):
        yield {"night": night, "transfers": transfers}


def text_of(html: str) -> str:
    """A hash of what a screen says: without the frame around it, and without what depends on the time."""
    (main,) = re.findall("<main.*?</main>", html, re.DOTALL)
    steady = re.sub(r"<time.*?</time>|Until.*?</td>|after \d\S*( \d\S*)?", "", main, flags=re.DOTALL)
    steady = re.sub(r"<input type=\"hidden\"[^>]*>|<[^>]+>", " ", steady)
    return hashlib.sha256(" ".join(unescape(steady).split()).encode()).hexdigest()
