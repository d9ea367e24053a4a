"""Measures how deep JSON is nested, before a recursive parser reads it.

Parsers stop at Python's recursion limit, but a library in the same process may have raised that (py-ecc does, to 100,000):
then deep nesting ends the process. So it is measured first.
"""

from __future__ import annotations

from itertools import accumulate

DEEPEST = 200
"""The most levels of a document; ABIs and answers of services have a dozen."""

_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def is_too_deep(json: bytes) -> bool:
    """Whether brackets are nested deeper than ``DEEPEST`` anywhere; brackets within texts count too."""
    brackets = json.translate(None, _OTHERS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > DEEPEST
