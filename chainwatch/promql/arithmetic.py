"""Arithmetic of floats as IEEE 754 and Go do it: nothing raises; what has no result is NaN or infinite."""

from __future__ import annotations

import calendar
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

NAN = math.nan
INF = math.inf
_CLOSE = 1e-9
WIDE = 128
"""From so many values on, numpy is faster than a loop."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR_YEARS = 400
_CALENDAR_SECONDS = 146_097 * 86_400
"""After so many years the calendar repeats."""
_TIME_MAX = float(1 << 62)


def add(left: float, right: float) -> float:
    return left + right


def subtract(left: float, right: float) -> float:
    return left - right


def multiply(left: float, right: float) -> float:
    return left * right


def divide(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or left != left or right != right:
        return NAN
    return math.copysign(INF, left) * math.copysign(1, right)


def modulo(left: float, right: float) -> float:
    try:
        return math.fmod(left, right)
    except ValueError:
        return NAN


def power(base: float, exponent: float) -> float:
    odd = exponent % 2 == 1 if math.isfinite(exponent) else False
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -INF if base < 0 and odd else INF
    except ValueError:  # zero to a negative power, or a negative base to a fraction
        if base:
            return NAN
        return math.copysign(INF, base) if odd else INF


OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "^": power,
    "atan2": math.atan2,
}
"""Operators that compute; the others compare."""

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}


def kahan_sum(values: Sequence[float]) -> float:
    """Return the sum with Neumaier's compensation, as Prometheus adds."""
    try:
        exact = math.fsum(values)
    except (OverflowError, ValueError):
        return _compensated_sum(values)
    if abs(sum(values) - exact) <= _CLOSE * abs(exact):
        return exact  # values that do not cancel: compensation has this result, too, but takes longer
    return _compensated_sum(values)


def exact_sum(values: Sequence[float]) -> float:
    """Return the sum, rounded once, also where values cancel each other."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return _compensated_sum(values)


def _compensated_sum(values: Sequence[float]) -> float:
    total = lost = 0.0
    for value in values:
        after = total + value
        if math.isinf(after):
            lost = 0.0
        elif abs(total) >= abs(value):
            lost += (total - after) + value
        else:
            lost += (value - after) + total
        total = after
    return total + lost


def mean(values: Sequence[float]) -> float:
    """Return the mean, also where the sum would be too large for a float."""
    count = len(values)
    total = kahan_sum(values)
    if math.isfinite(total):
        return total / count
    endless = [value for value in values if not math.isfinite(value)]
    return sum(endless) if endless else math.fsum(value / count for value in values)


def least(values: Sequence[float]) -> float:
    """Return the smallest value that is a number; NaN where none is."""
    if len(values) >= WIDE:
        return float(np.fmin.reduce(np.asarray(values)))
    return min((value for value in values if value == value), default=NAN)


def most(values: Sequence[float]) -> float:
    """Return the largest value that is a number; NaN where none is."""
    if len(values) >= WIDE:
        return float(np.fmax.reduce(np.asarray(values)))
    return max((value for value in values if value == value), default=NAN)


def variance(values: Sequence[float]) -> float:
    """Return the population's variance by Welford's method; NaN where a value is infinite."""
    if len(values) >= WIDE:
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.asarray(values) - mean(values)
            found = float(np.mean(np.square(apart)) - np.mean(apart) ** 2)
        if math.isfinite(found):
            return found
    middle = lost_middle = squares = lost_squares = 0.0
    for count, value in enumerate(values, 1):
        delta = value - (middle + lost_middle)
        middle, lost_middle = _compensated(delta / count, middle, lost_middle)
        squares, lost_squares = _compensated(delta * (value - (middle + lost_middle)), squares, lost_squares)
    return (squares + lost_squares) / len(values)


def _compensated(value: float, total: float, lost: float) -> tuple[float, float]:
    after = total + value
    if math.isinf(after):
        return after, 0.0
    if abs(total) >= abs(value):
        return after, lost + ((total - after) + value)
    return after, lost + ((value - after) + total)


def quantile(share: float, values: Sequence[float]) -> float:
    """Return the ``share``-quantile, interpolated; NaN counts as the smallest value."""
    if not values or share != share:
        return NAN
    if share < 0:
        return -INF
    if share > 1:
        return INF
    ordered = sorted(value for value in values if value == value)
    ordered[:0] = [NAN] * (len(values) - len(ordered))
    rank = share * (len(ordered) - 1)
    lower = max(0, math.floor(rank))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def _guarded(function: Callable[[float], float]) -> Callable[[float], float]:
    def compute(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return NAN
        except OverflowError:
            return INF

    return compute


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: function(value) if value > 0 else -INF if value == 0 else NAN


def _sinh(value: float) -> float:
    try:
        return math.sinh(value)
    except OverflowError:
        return math.copysign(INF, value)


def _atanh(value: float) -> float:
    return math.copysign(INF, value) if abs(value) == 1 else math.atanh(value)


def _sign(value: float) -> float:
    return 1.0 if value > 0 else -1.0 if value < 0 else value


def _dated(part: Callable[[datetime], int]) -> Callable[[float], float]:
    def compute(value: float) -> float:
        found = _date(value)
        return NAN if found is None else float(part(found[1]))

    return compute


def _year(value: float) -> float:
    found = _date(value)
    return NAN if found is None else float(found[1].year + found[0] * _CALENDAR_YEARS)


def _date(value: float) -> tuple[int, datetime] | None:
    """Return the date, as many repetitions of the calendar before it; None for what is no time."""
    if not abs(value) < _TIME_MAX:
        return None
    repetitions, seconds = divmod(math.trunc(value), _CALENDAR_SECONDS)
    return repetitions, _EPOCH + timedelta(seconds=seconds)


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": _whole(math.ceil),
    "floor": _whole(math.floor),
    "exp": _guarded(math.exp),
    "ln": _logarithm(math.log),
    "log2": _logarithm(math.log2),
    "log10": _logarithm(math.log10),
    "sqrt": _guarded(math.sqrt),
    "sgn": _sign,
    "sin": _guarded(math.sin),
    "cos": _guarded(math.cos),
    "tan": _guarded(math.tan),
    "asin": _guarded(math.asin),
    "acos": _guarded(math.acos),
    "atan": math.atan,
    "sinh": _sinh,
    "cosh": _guarded(math.cosh),
    "tanh": math.tanh,
    "asinh": math.asinh,
    "acosh": _guarded(math.acosh),
    "atanh": _guarded(_atanh),
    "deg": math.degrees,
    "rad": math.radians,
}
"""Functions of one value."""

DATE_PARTS: dict[str, Callable[[float], float]] = {
    "minute": _dated(lambda date: date.minute),
    "hour": _dated(lambda date: date.hour),
    "day_of_week": _dated(lambda date: date.isoweekday() % 7),
    "day_of_month": _dated(lambda date: date.day),
    "day_of_year": _dated(lambda date: date.timetuple().tm_yday),
    "days_in_month": _dated(lambda date: calendar.monthrange(date.year, date.month)[1]),
    "month": _dated(lambda date: date.month),
    "year": _year,
}
"""Functions of a time in Unix seconds, in UTC."""


def round_to(value: float, nearest: float) -> float:
    """Return the multiple of ``nearest`` next to ``value``, of two the larger."""
    inverse = divide(1.0, nearest)
    return divide(FUNCTIONS["floor"](value * inverse + 0.5), inverse)


def lesser(left: float, right: float) -> float:
    """Return the smaller number. NaN wins over all but ``-Inf``, as in Go's ``math.Min``."""
    return -INF if -INF in (left, right) else NAN if left != left or right != right else min(left, right)


def greater(left: float, right: float) -> float:
    """Return the larger number. NaN wins over all but ``Inf``, as in Go's ``math.Max``."""
    return INF if INF in (left, right) else NAN if left != left or right != right else max(left, right)


def clamp(value: float, least: float, most: float) -> float:
    """Return ``value`` within bounds."""
    return greater(lesser(value, most), least)


def parse_float(text: str) -> float | None:
    """Return the decimal number that ``text`` is as Go reads it; None for no number."""
    if "_" in text or not text.isascii() or text != text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return None
