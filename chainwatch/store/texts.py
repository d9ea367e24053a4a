"""Values from outside as both databases take them: the one place where what they refuse is escaped. No database here.

PostgreSQL has no zero byte in text, and neither has half a pair of surrogates. A zero byte is stored as an escape and read
back as what it was, so that no two texts become one and every comparison holds. Half a pair of surrogates (an argument of a
command that is not UTF-8) is no text: it becomes the six characters of its escape, for good.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

MARK = "\x1a"
"""ASCII's "substitute" begins an escape: ``MARK 0`` stands for a zero byte, ``MARK 1`` for itself."""
INDEXED_MAX = 1024
"""Bytes of text from outside that may stand in an index; PostgreSQL takes 2,700 for all of an index's columns."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class Unstorable(ValueError):
    """A value that no column takes."""


def escaped(text: str) -> str:
    """Return ``text`` as a column takes it."""
    if text.isascii() and "\0" not in text and MARK not in text:
        return text  # nearly always, and much faster to find out
    return text if _REFUSED.search(text) is None else _REFUSED.sub(_escape, text)


def unescaped(stored: str) -> str:
    """Return the text that was stored as ``stored``."""
    return _ESCAPE.sub(lambda found: _MEANINGS[found[1]], stored) if MARK in stored else stored


def bounded(text: str) -> str:
    """Return ``text`` itself if an index may hold it, else its beginning and a digest of the whole."""
    if len(text) <= INDEXED_MAX // 4:
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= INDEXED_MAX:
        return text
    digest = blake2b(data, digest_size=16).hexdigest()
    return f"{data[: INDEXED_MAX // 2].decode('utf-8', 'ignore')}…{digest}"


def storable(value: Any) -> Any:
    """Return a statement's ``value`` as the drivers take it; values in lists, tuples and dicts likewise.

    Raises ``Unstorable`` for an integer of more than 64 bits, and for a float that is not a number: SQLite would store a
    missing value.
    """
    kind = type(value)
    if kind is tuple:
        return value if all(map(_is_plain, value)) else tuple(map(storable, value))
    if kind is list:
        return [storable(one) for one in value]
    if kind is str:
        return escaped(value)
    if kind is int and not INT_MIN <= value <= INT_MAX:
        raise Unstorable(f"a number of {value.bit_length()} bits where the database has 64 bits")
    if kind is float and value != value:
        raise Unstorable("a value that is not a number (NaN)")
    if isinstance(value, dict):
        return {name: storable(one) for name, one in value.items()}
    return escaped(value) if isinstance(value, str) else value


def _is_plain(value: Any) -> bool:
    """Return whether ``value`` is certainly stored as it is, as most are: such rows are not copied."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii() and "\0" not in value and MARK not in value)
    if kind is int:
        return bool(INT_MIN <= value <= INT_MAX)
    return kind is bytes or kind is bool or value is None or (kind is float and bool(value == value))


_REFUSED = re.compile("[\0\x1a\ud800-\udfff]")
_ESCAPE = re.compile(f"{MARK}([01])")
_MEANINGS = {"0": "\0", "1": MARK}
_ESCAPES = {"\0": MARK + "0", MARK: MARK + "1"}


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}"
