"""How deep JSON or a value is nested, before a parser or an encoder that recurses is given it.

These stop at Python's recursion limit, but a library in the same process may have raised that (py-ecc does, to 100,000):
then deep nesting ends the process. So it is measured first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate, chain
from typing import Any

import msgspec

DEEPEST = 200
"""The most levels of a document; ABIs and answers of services have a dozen."""

MOST_VALUES = 100_000
"""Values that a caller's own value may consist of."""

_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def is_too_deep(json: bytes) -> bool:
    """Return whether brackets are nested deeper than ``DEEPEST`` anywhere; brackets within texts count too."""
    brackets = json.translate(None, _OTHERS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > DEEPEST


def decode_json(content: bytes, type: Any = Any) -> Any:
    """Return a foreign JSON document as ``type`` (see ``msgspec.json.decode``). Raises ``ValueError``."""
    if is_too_deep(content):
        raise ValueError("its brackets are nested too deep")
    return msgspec.json.decode(content, type=type)


def is_too_deep_or_large(value: object) -> bool:
    """Return whether ``value`` is nested over ``DEEPEST`` deep, or within itself, or has over ``MOST_VALUES`` parts.

    Looks into collections and the fields of dataclasses, attrs classes and msgspec structs. What these raise goes
    through.
    """
    path, seen = [_parts(value)], 0
    while path:
        part = next(path[-1], _NO_MORE)
        if part is _NO_MORE:
            path.pop()
            continue
        seen += 1
        path.append(_parts(part))
        if len(path) > DEEPEST or seen > MOST_VALUES:
            return True
    return False


_NO_MORE = object()


def _parts(value: object) -> Iterator[object]:
    if isinstance(value, str | bytes | bytearray | memoryview):
        return iter(())
    if isinstance(value, Mapping):
        return chain(value, value.values())
    if isinstance(value, Collection):
        return iter(value)
    kind = type(value)
    names = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", None)
    names = names or [field.name for field in getattr(kind, "__attrs_attrs__", ())]
    return (getattr(value, name, None) for name in names)
