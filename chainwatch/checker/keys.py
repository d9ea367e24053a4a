"""Parts of a transfer's key: how values become their text, and which can be the same. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainwatch.checker.path import Path
from chainwatch.checker.terms import kind_of
from chainwatch.model import AbiEvent, Event, to_hex


def attribute_name(text: str, event: AbiEvent) -> str | None:
    """Return ``chain_id`` for ``network.chain_id``, an attribute of the network where the event was seen; else None."""
    if not text.startswith("network.") or any(p.name == "network" for p in event.inputs):
        return None
    return text.removeprefix("network.")


def key_text(path: Path) -> Callable[[Event], str]:
    if len(path.steps) == 1 and path.type.startswith("bytes"):
        name = path.steps[0]
        return lambda event: "0x" + event.args[name].hex()  # type: ignore[index]  # the first step is a name
    get = path.reader()
    return lambda event: _text(get(event))


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
    """As in a URI (RFC 3986): ``%`` and two digits for each byte of UTF-8, so that no two texts become the same."""
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
