"""Durations as people write them: ``"90s"``, ``"1h30m"``, ``"500ms"``, or ISO 8601 ``"PT5M"``."""

from __future__ import annotations

import re
from decimal import Decimal

EXAMPLES = '"90s", "30m", "1h30m", "7d" or "PT5M"'

LONGEST = 36_500 * 86_400
"""A hundred years in seconds: longer is a mistake, and would exceed the range of timestamps."""

_UNITS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_PLAIN = re.compile("".join(f"(?:{_NUMBER}{unit})?" for unit in _UNITS))
_ISO = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` stands for.

    Units are w, d, h, m, s and ms, the larger first, or ISO 8601 with W, D, H, M and S (years and months
    have no fixed length and are refused). Raises ValueError, whose text never repeats ``text``.
    """
    text = text.strip()
    if text.startswith("-"):
        raise ValueError(f"a duration cannot be negative: expected {EXAMPLES}")
    match = _ISO.fullmatch(text) or _PLAIN.fullmatch(text)
    counts = match.groups() if match else ()
    if not any(count is not None for count in counts):
        raise ValueError(f"expected a duration such as {EXAMPLES}")
    scales = _UNITS.values()
    milliseconds = sum(
        (Decimal(count) * scale for count, scale in zip(counts, scales, strict=False) if count), Decimal()
    )
    seconds = float(milliseconds / 1000)
    if seconds > LONGEST:
        raise ValueError(f"expected a duration of at most 36500d (100 years), such as {EXAMPLES}")
    return seconds


def format_duration(seconds: float) -> str:
    """Return ``seconds`` (not negative) in the form that `parse_duration` reads, to the millisecond: ``"1h30m"``."""
    rest = round(seconds * 1000)
    parts = []
    for unit, scale in list(_UNITS.items())[1:]:  # "90d" reads better than "12w6d"
        count, rest = divmod(rest, scale)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def span(seconds: float) -> str:
    """Return a length of time in its two largest units, for people: ``2h 5m``; a negative one is ``0s``."""
    parts = []
    left = int(max(0.0, seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"
