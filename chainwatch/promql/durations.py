"""Durations that are computed: ``m[5m + 1m]``, ``m[max_of(2 * step(), 1m)]`` (Prometheus' ``promql-duration-expr``).

What depends on the query's step or range is computed when these are known (``resolving.py``), and all else at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chainwatch.promql.arithmetic import OPERATIONS, greater, lesser
from chainwatch.promql.syntax import Computed, Seconds

if TYPE_CHECKING:
    from chainwatch.promql.cursor import Cursor

SECONDS_MAX = (1 << 63) / 1000
"""Durations and times are shorter."""
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
SIGN = 3
"""A sign binds less than a power, and closer than all else."""
_NESTING_MAX = 100
_NESTED = f"the duration is nested more than {_NESTING_MAX} times"
_FUNCTIONS = {
    "step": "step",
    "range": "range",
    "min_of": "min_of",
    "max_of": "max_of",
    "min": "min_of",
    "max": "max_of",
}
"""By the names that Prometheus knows, or knew until it renamed ``min`` and ``max``."""
_OPERATIONS = OPERATIONS | {"min_of": lesser, "max_of": greater}
_BY_ZERO = {"/": "division by zero in a duration", "%": "modulo by zero in a duration"}


def read_seconds(cursor: Cursor, where: str, lowest: int = 1, depth: int = 0) -> Seconds:
    """Read operands that are joined by operators of at least the precedence ``lowest``. Raises ``ParseError``.

    ``depth`` says within how many others they stand.
    """
    start = cursor.at.start
    if depth > _NESTING_MAX:
        raise cursor.error(_NESTED, start)
    seconds = _operand(cursor, where, depth + 1)
    while (operator := cursor.at).kind == "sign" and PRECEDENCE.get(operator.text, 0) >= lowest:
        cursor.take()
        precedence = PRECEDENCE[operator.text]
        least = precedence if operator.text == "^" else precedence + 1
        right = read_seconds(cursor, where, least, depth + 1)
        if right == 0 and operator.text in _BY_ZERO:
            raise cursor.error(_BY_ZERO[operator.text], operator.start)
        seconds = _join(cursor, start, operator.text, seconds, right)
    return seconds


def read_function(cursor: Cursor, where: str, depth: int = 0) -> Seconds | None:
    """Read a function such as ``step()``; None where there is none. Raises ``ParseError``."""
    token = cursor.at
    name = _FUNCTIONS.get(token.text.lower()) if token.kind == "word" else None
    if name is None or cursor.after.text != "(":
        return None
    cursor.take()
    cursor.expect("(", where)
    operands: tuple[Seconds, ...] = ()
    if name in _OPERATIONS:
        left = read_seconds(cursor, where, depth=depth)
        cursor.expect(",", where)
        operands = (left, read_seconds(cursor, where, depth=depth))
    cursor.expect(")", where)
    return _join(cursor, token.start, name, *operands)


def negate(seconds: Seconds) -> Seconds:
    if not isinstance(seconds, Computed):
        return -seconds
    is_negative = seconds.operator == "-" and len(seconds.operands) == 1
    return seconds.operands[0] if is_negative else Computed("-", (seconds,), seconds.start)


def evaluate_seconds(seconds: Seconds, step: int, length: int) -> float:
    """Return the seconds for a query's step and range (milliseconds). Raises ``ValueError``."""
    if not isinstance(seconds, Computed):
        return seconds
    if seconds.operator in ("step", "range"):
        return (step if seconds.operator == "step" else length) / 1000
    values = [evaluate_seconds(one, step, length) for one in seconds.operands]
    if len(values) == 1:
        return -values[0]
    left, right = values
    if right == 0 and seconds.operator in _BY_ZERO:
        raise ValueError(_BY_ZERO[seconds.operator])
    return _OPERATIONS[seconds.operator](left, right)


def whole_milliseconds(seconds: float) -> int:
    """Return computed seconds in milliseconds, cut as Prometheus does. Raises ``ValueError``."""
    if not math.isfinite(seconds) or abs(seconds) >= SECONDS_MAX:
        raise ValueError("duration is out of range")
    return int(seconds * 1000)


def _operand(cursor: Cursor, where: str, depth: int) -> Seconds:
    if cursor.takes("-"):
        return negate(read_seconds(cursor, where, SIGN, depth))
    if cursor.takes("+"):
        return read_seconds(cursor, where, SIGN, depth)
    if cursor.takes("("):
        seconds = read_seconds(cursor, where, depth=depth)
        cursor.expect(")", where)
        return seconds
    if (found := read_function(cursor, where, depth)) is not None:
        return found
    if cursor.at.kind == "number":
        return cursor.number()
    return cursor.milliseconds(where) / 1000


def _join(cursor: Cursor, start: int, operator: str, *operands: Seconds) -> Seconds:
    """Return what an operator or a function makes of its operands, as a number if these are numbers."""
    computed = Computed(operator, operands, start)
    constants = [one for one in operands if not isinstance(one, Computed)]
    if not all(map(math.isfinite, constants)):
        raise cursor.error("duration is out of range", start)
    if constants and len(constants) == len(operands):
        return evaluate_seconds(computed, 0, 0)
    if _depth(computed) > _NESTING_MAX:
        raise cursor.error(_NESTED, start)
    return computed


def _depth(seconds: Seconds) -> int:
    return 1 + max(map(_depth, seconds.operands), default=0) if isinstance(seconds, Computed) else 0
