"""Parts of answers that several questions of `chainwatch init` take; every function raises `InitError`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from chainwatch.config.types import Expected, checked_address
from chainwatch.grammar.durations import parse_duration
from chainwatch.init.answers import InitError
from chainwatch.support.spelling import nearest

NAME = re.compile("[A-Za-z0-9_-]+")
"""A name of a network or of an attribute."""
PART = 3
"""The least letters that stand for a name within which they are."""


def check_duration(text: str) -> None:
    """Raise `InitError` unless ``text`` is a duration."""
    try:
        parse_duration(text)
    except ValueError as error:
        raise InitError(f"--within: {error}") from None


def parse_attribute(text: str) -> str:
    """Return the name of a network's attribute, or ``chain_id``."""
    if not NAME.fullmatch(text):
        raise InitError("--network-by: expected chain_id or an attribute's name: letters, digits, - and _")
    return text


def parse_address(text: str) -> str:
    """Return ``text``, which must be an address of a contract."""
    try:
        checked_address(text)
    except Expected as error:
        hint = f": {error.hint}" if error.hint else ""
        raise InitError(f"--address: expected {error}, found {json.dumps(text)}{hint}") from None
    return text


def listed(text: str) -> list[str]:
    """Return the parts of ``text`` between commas and blanks."""
    return [part for part in re.split(r"[,\s]+", text) if part]


def near(text: str, known: Sequence[str]) -> str:
    """Return the known texts of which ``text`` is a part, else the nearest one, as the end of a message; empty for none."""
    word = text.lower()
    wholes = [
        name for name in known if word and (name.startswith(word) or (len(word) >= PART and word in name))
    ]
    close = nearest(text, known)
    found = wholes or ([close] if close else [])
    return f": did you mean {' or '.join(map(json.dumps, found))}?" if found else ""
