"""Keys of transfers in flows where the key of an event alone does not say to which transfer it belongs. Pure.

``KEY`` is the first transfer of a key, ``KEY#2`` the second; ``NAME#STEP`` is that of events which name their transfer by
the alias of a ``STEP`` that was not seen. A ``#`` of the key itself is written ``%23``.
"""

from __future__ import annotations

_MARK, _ESCAPED = "#", "%23"


def numbered_key(key: str, number: int) -> str:
    """Return the key of the transfer that is the so-manieth of ``key``; 0 and 1 are the first."""
    key = key.replace(_MARK, _ESCAPED) if _MARK in key else key
    return f"{key}{_MARK}{number}" if number > 1 else key


def unknown_alias_key(alias: str, step: str) -> str:
    """Return the key of the transfer of events whose ``alias`` no event of ``step`` has."""
    return f"{numbered_key(alias, 1)}{_MARK}{step}"


def event_key(transfer_key: str) -> str:
    """Return the key, as events have it, of the transfer ``transfer_key``, which has no unknown alias."""
    key, mark, number = transfer_key.rpartition(_MARK)
    return (key if mark and number.isdigit() else transfer_key).replace(_ESCAPED, _MARK)


def topic_of(text: str, abi_type: str) -> bytes:
    """Return the 32-byte topic of an indexed value given as a key's text (contract ABI specification, "Events")."""
    if abi_type == "bool":
        return int(text == "true").to_bytes(32, "big")
    if text.startswith("0x"):
        raw = bytes.fromhex(text[2:])
        return raw.rjust(32, b"\0") if abi_type == "address" else raw.ljust(32, b"\0")
    return int(text).to_bytes(32, "big", signed=int(text) < 0)
