"""The arguments of ``AlertManager.send_alert``: severities, and alerts as ``submit`` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from chainwatch.support.nesting import is_too_deep_or_large


class Severity(StrEnum):
    """How urgent an alert is, from the most to the least."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    CRITICAL = P0
    HIGH = P1
    MEDIUM = P2
    LOW = P3


def alert_of(
    severity: Severity | str, source: str, title: str, message: str, metadata: Mapping[str, object] | None
) -> dict[str, Any]:
    """Return the alert that ``AlertManager.send_alert`` raises, as ``submit`` takes it. Raises ``ValueError``."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValueError(f"metadata: expected a table, found {type(metadata).__name__}")
    more = dict(_metadata(key, value) for key, value in (metadata or {}).items())
    return {
        "labels": {"alertname": title, "severity": str(severity), "source": source},
        "annotations": {"summary": title, "description": message, **more},
    }


def _metadata(key: object, value: object) -> tuple[str, str]:
    """Return a name and its value as text. Raises ``ValueError``, with the name, for a value that has no text form."""
    try:
        name = str(key)
    except Exception as error:  # noqa: BLE001 - the caller's own object may raise anything
        raise ValueError(f"metadata: a name that is no text: {type(error).__name__}") from None
    try:
        if not is_too_deep_or_large(value):
            return name, _text(value)
    except Exception as error:  # noqa: BLE001 - the caller's own object may raise anything
        raise ValueError(f"metadata: {name!r}: cannot be written as text ({type(error).__name__})") from None
    raise ValueError(f"metadata: {name!r}: too large, nested too deep, or within itself")


def _text(value: object) -> str:
    """Return text unchanged, bytes as 0x-hex, other values as JSON; JSON strings without their quotes."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    written = msgspec.json.encode(value, enc_hook=str)
    return msgspec.json.decode(written) if written.startswith(b'"') else written.decode()
