"""How deep JSON is nested, before a parser that recurses is given it.

Parsers stop at Python's recursion limit, but a library in the same process may have raised that (py-ecc does, to 100,000):
then deep nesting ends the process. So it is measured first.
"""

from __future__ import annotations

from itertools import accumulate

DEEPEST = 200
"""Levels that a document may have here; ABIs and answers of services have a dozen."""

_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def is_too_deep(json: bytes) -> bool:
    """Whether brackets are open more than ``DEEPEST`` deep anywhere; those within texts count too."""
    brackets = json.translate(None, _OTHERS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > DEEPEST
