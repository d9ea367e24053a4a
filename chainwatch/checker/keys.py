"""Parts of a transfer's key: how values become their text, and which can be the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from chainwatch.checker.expression import Value
from chainwatch.checker.path import EvaluationError, Path
from chainwatch.checker.terms import kind_of
from chainwatch.model import AbiEvent, Event, to_hex

MAX_PART = 1_024
"""Bytes or characters of a part of a key that is computed; the hash of more is as good."""

_NAME = re.compile(r"[\w-]+")


def attribute_name(text: str, event: AbiEvent) -> str | None:
    """Return ``chain_id`` for ``network.chain_id``: an attribute of the network where the event was seen."""
    name = text.removeprefix("network.")
    is_one = name != text and _NAME.fullmatch(name) is not None
    return name if is_one and not any(p.name == "network" for p in event.inputs) else None


def key_text(value: Value) -> Callable[[Event], str]:
    """Return what reads ``value`` as part of a key; raises `EvaluationError`."""
    get = value.read
    if value.path is None:
        return lambda event: _text(_short(get(event), value.text))
    if len(value.path.steps) == 1 and value.type.startswith("bytes"):
        name = value.path.steps[0]
        return lambda event: "0x" + event.args[name].hex()  # type: ignore[index]  # the first step is a name
    return lambda event: _text(get(event))


def _short(value: Any, source: str) -> Any:
    if isinstance(value, str | bytes) and len(value) > MAX_PART:
        what = f"{len(value)} {'bytes' if isinstance(value, bytes) else 'characters'}"
        raise EvaluationError(f"`{source}` has {what}, a part of a key has {MAX_PART} at most")
    return value


def _text(value: Any) -> str:
    """Return a key's part as text: bytes as 0x-hex, integers in decimal; text with what would break the key escaped."""
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not value.isalnum():
        return "".join(c if c.isprintable() and c not in "/%" else _percent_encoded(c) for c in value)
    return str(value)


def _percent_encoded(character: str) -> str:
    """Encode as in a URI (RFC 3986): ``%`` and two digits for each byte of UTF-8, so that no two texts become the same."""
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def searchable_topics(key_paths: Sequence[Path | None], event: AbiEvent) -> tuple[Path | None, ...] | None:
    by_name = {p.steps[0]: p for p in key_paths if p is not None and len(p.steps) == 1}
    search = tuple(
        by_name.get(p.name) if p.type not in ("string", "bytes") else None for p in event.inputs if p.indexed
    )
    return search if any(search) and not event.anonymous else None


def can_be_equal(one: str, other: str) -> bool:
    """Return whether values of two ABI types can be the same text in a key."""
    if "string" in (one, other):
        return True
    kinds = kind_of(one), kind_of(other)
    if kinds == ("bytes", "bytes"):
        return one == other or "bytes" in (one, other)
    return kinds[0] == kinds[1]


def mend_to_equal(
    one: Value, other: Value, openings: Sequence[Value | None], steps: Sequence[Value | None]
) -> str:
    """Return how to make two parts of different types the same text; empty where nothing is known that does it.

    ``openings`` and ``steps`` are all parts of the two keys: what fits here, but not in its own place, may be meant.
    """
    for opening, step in zip(openings, steps, strict=True):
        fits = step is not None and can_be_equal(one.type, step.type)
        if step is not None and fits and not (opening and can_be_equal(opening.type, step.type)):
            return f"is {step.text} meant? the parts of all keys stand in one order"
    kinds = {kind_of(one.type): one, kind_of(other.type): other}
    if kinds.keys() == {"address", "bytes"}:
        return f"write address({kinds['bytes'].text})"
    if kinds.keys() == {"bytes", "integer"}:
        return f"write uint({kinds['bytes'].text})"
    return ""
