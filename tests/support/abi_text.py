"""ABI files from events as people write them: ``Sent(address indexed from, (uint32 eid, bytes32 id) origin)``."""

from __future__ import annotations

import json
import re
from typing import Any


def abi_json(*events: str) -> str:
    """Return the JSON of an ABI with ``events``."""
    entries = []
    for event in events:
        name, _, inputs = event.strip().partition("(")
        entries.append(
            {"type": "event", "name": name, "anonymous": False, "inputs": _params(inputs.rpartition(")")[0])}
        )
    return json.dumps(entries)


def _params(text: str) -> list[dict[str, Any]]:
    return [_param(part.strip()) for part in _split(text) if part.strip()]


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _param(text: str) -> dict[str, Any]:
    inner, _, rest = text.rpartition(")")
    words = (rest if inner else text).split()
    indexed = "indexed" in words
    found: dict[str, Any] = {"name": words[-1], "indexed": indexed}
    if not inner:
        return {"type": words[0], **found}
    array = re.match(r"[\[\]0-9]*", rest)
    return {
        "type": f"tuple{array[0] if array else ''}",
        "components": _params(inner.removeprefix("(")),
        **found,
    }
