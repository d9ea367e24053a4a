"""Text of any size, shortened to a bound so that different texts stay different."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

LABEL_MAX = 1_024
"""The most bytes (UTF-8) of a label's value, which is matched, grouped by and indexed."""
ANNOTATION_MAX = 16_384
"""The most bytes (UTF-8) of an annotation."""
MARK = "…#"
"""Separates the beginning of a shortened text from the hash (32 hex digits) of the whole."""

_HASH_BYTES = 16
_TAIL_MAX = len(MARK.encode()) + 2 * _HASH_BYTES


def cut(text: str, limit: int) -> str:
    """Return ``text`` if it has at most ``limit`` bytes as UTF-8, else its beginning, ``MARK`` and a hash of the whole."""
    if len(text) * 4 <= limit:
        return text
    whole = text.encode(errors="surrogatepass")
    if len(whole) <= limit:
        return text
    kept = whole[: limit - _TAIL_MAX].decode(errors="ignore")  # half a character at the end is left out
    return f"{kept}{MARK}{hashlib.blake2b(whole, digest_size=_HASH_BYTES).hexdigest()}"


def cut_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return ``labels`` with values of at most ``LABEL_MAX`` bytes, as alerts have them."""
    return {name: cut(value, LABEL_MAX) for name, value in labels.items()}


def beginning(text: str) -> str | None:
    """Return the beginning that `cut` has left of a text; None for a text that does not look shortened."""
    kept, mark, digits = text.rpartition(MARK)
    is_hash = len(digits) == 2 * _HASH_BYTES and all(digit in "0123456789abcdef" for digit in digits)
    return kept if mark and is_hash else None
