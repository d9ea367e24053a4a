"""A screen is a path, a function that reads what it shows, and a template; an action is a path and a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa
from multidict import MultiMapping

from chainwatch.api.reads import Reads
from chainwatch.api.writes import Writes
from chainwatch.grammar.durations import parse_duration
from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid, NotFound


class Asked(NamedTuple):
    """What a request asks for: the parts of its path, and its query or the fields of its form, as text."""

    path: Mapping[str, str]
    fields: MultiMapping[str]
    actor: str
    """Whoever sends the request: the token's name, or ``api`` without tokens."""

    def id(self, name: str) -> int:
        """Return the ID that stands in the path as ``{name}``. Raises ``NotFound``."""
        text = self.path[name]
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise NotFound(f"{text[:100]!r} is not an ID: expected a number")
        return int(text)

    def text(self, name: str) -> str:
        """Return the last value of a field without blanks around it; empty where it was left out. Raises ``Invalid``."""
        value = self.fields.getall(name, [""])[-1].strip()
        if "\0" in value:  # PostgreSQL stores and compares no such text
            raise Invalid(f"{name}: it holds the character NUL: leave it out")
        return value

    def numbers(self, name: str) -> list[int]:
        """Return all values of a field, each a number. Raises ``Invalid``."""
        texts = self.fields.getall(name, [])
        if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in texts):
            raise Invalid(f"{name}: expected numbers")
        return [int(text) for text in texts]

    def length(self, name: str) -> float | None:
        """Return the length of time in a field, such as ``2h``, in seconds; None without one. Raises ``Invalid``."""
        text = self.text(name)
        try:
            return parse_duration(text) if text else None
        except ValueError as error:
            raise Invalid(f"{name}: {error}") from None


Read = Callable[[sa.Connection, Context, float, Asked], dict[str, Any]]
Perform = Callable[[sa.Connection, Context, float, Asked], Any]
Wait = Callable[[Reads, Writes, Any], Awaitable[str]]


class Screen(NamedTuple):
    """One screen. ``read`` returns what ``template`` shows; ``nav``: its name in the navigation, where it has a row there.

    ``section``: the name of the row that it belongs to, where it has none. ``live``: it is brought up to date as a whole.
    """

    path: str
    template: str
    read: Read
    nav: str = ""
    section: str = ""
    live: bool = True


class Action(NamedTuple):
    """What a form does: ``perform`` runs in a transaction that is audited, and returns the path to show next.

    Where that has to wait for something, ``wait`` gets what ``perform`` returned, and returns the path.
    """

    path: str
    perform: Perform
    wait: Wait | None = None
