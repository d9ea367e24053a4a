"""Floats as Go writes them (``strconv.FormatFloat`` with the fewest digits), as in labels, answers and messages."""

from __future__ import annotations

import math
from decimal import Decimal


def format_float(value: float) -> str:
    """Return the shortest digits that mean ``value``, never with an exponent (format ``f``)."""
    if not math.isfinite(value):
        return format_special(value)
    if value == int(value) and abs(value) < 1e15:
        return f"-{-int(value)}" if math.copysign(1, value) < 0 else str(int(value))
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def format_general(value: float) -> str:
    """Return the shortest digits that mean ``value``, with an exponent below 1e-4 and from 1e+06 on (format ``g``)."""
    if not math.isfinite(value):
        return format_special(value)
    number = Decimal(repr(value)).normalize()
    exponent = number.adjusted()
    if value == 0 or -4 <= exponent < 6:
        return f"{number:f}"
    sign, digits, _ = number.as_tuple()
    first, *rest = map(str, digits)
    fraction = f".{''.join(rest)}" if rest else ""
    return f"{'-' if sign else ''}{first}{fraction}e{exponent:+03d}"


def format_exponential(value: float) -> str:
    """Return the shortest digits that mean ``value``, always with an exponent (format ``e``)."""
    if not math.isfinite(value):
        return format_special(value)
    if value == 0:
        return f"{value:.0e}"
    digits = repr(value).lstrip("-").split("e")[0].replace(".", "").strip("0")
    return f"{value:.{len(digits) - 1}e}"


def format_special(value: float) -> str:
    """Return NaN or an infinity."""
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
