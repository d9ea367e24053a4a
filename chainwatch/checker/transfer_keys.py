"""Keys of transfers in flows where the key of an event alone does not say to which transfer it belongs. Pure.

``KEY`` is the first transfer of a key, ``KEY#2`` the second; ``KEY#NETWORK:BLOCK:LOG`` is that of an event which took no
opening; ``NAME#STEP`` is that of events which name their transfer by the alias of a ``STEP`` that was not seen. A ``#`` of
the key itself is written ``%23``.
"""

from __future__ import annotations

import re

from chainwatch.model import Occurrence

_MARK, _ESCAPED = "#", "%23"
_ADDED = re.compile(r"[0-9]+|[^#]*:[0-9]+:[0-9]+(:[0-9]+)?")
"""What follows the mark where several transfers have one key."""


def numbered_key(key: str, number: int) -> str:
    """Return the key of the transfer that is the so-manieth of ``key``; 0 and 1 are the first."""
    key = key.replace(_MARK, _ESCAPED) if _MARK in key else key
    return f"{key}{_MARK}{number}" if number > 1 else key


def unopened_key(key: str, event: Occurrence) -> str:
    """Return the key of the transfer that is ``event`` alone, a step with ``key`` that took no opening.

    It says where the event is: network, block and log index, and the position of the element after the first of its array.
    """
    item = f":{event.item}" if event.item else ""
    network = numbered_key(event.network, 1)
    return f"{numbered_key(key, 1)}{_MARK}{network}:{event.block}:{event.log_index}{item}"


def unknown_alias_key(alias: str, step: str) -> str:
    """Return the key of the transfer of events whose ``alias`` no event of ``step`` has."""
    return f"{numbered_key(alias, 1)}{_MARK}{step}"


def event_key(transfer_key: str) -> str:
    """Return the key, as events have it, of the transfer ``transfer_key``, which has no unknown alias."""
    key, mark, added = transfer_key.rpartition(_MARK)
    return (key if mark and _ADDED.fullmatch(added) else transfer_key).replace(_ESCAPED, _MARK)


def topic_of(text: str, abi_type: str) -> bytes:
    """Return the 32-byte topic of an indexed value given as a key's text (contract ABI specification, "Events")."""
    if abi_type == "bool":
        return int(text == "true").to_bytes(32, "big")
    if text.startswith("0x"):
        raw = bytes.fromhex(text[2:])
        return raw.rjust(32, b"\0") if abi_type == "address" else raw.ljust(32, b"\0")
    return int(text).to_bytes(32, "big", signed=int(text) < 0)
