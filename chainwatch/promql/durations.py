"""Durations that are computed from others: ``m[5m + 1m]``, ``m offset (2 * 1h)`` (Prometheus' ``promql-duration-expr``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainwatch.promql.arithmetic import OPERATIONS
from chainwatch.promql.errors import Unsupported, quoted
from chainwatch.promql.lexer import Token, parse_number

if TYPE_CHECKING:
    from chainwatch.promql.cursor import Cursor

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_SIGN = 3
"""A sign binds less than a power, and closer than all else."""
_OF_QUERY = frozenset({"step", "range", "min", "max"})


def read_seconds(cursor: Cursor, where: str, lowest: int = 1) -> float:
    """Read operands that are joined by operators of at least the precedence ``lowest``. Raises ``ParseError``."""
    seconds = _operand(cursor, where)
    while (operator := cursor.at).kind == "sign" and _PRECEDENCE.get(operator.text, 0) >= lowest:
        cursor.take()
        precedence = _PRECEDENCE[operator.text]
        right = read_seconds(cursor, where, precedence if operator.text == "^" else precedence + 1)
        if right == 0 and operator.text in ("/", "%"):
            name = "division" if operator.text == "/" else "modulo"
            raise cursor.error(f"{name} by zero in a duration", operator.start)
        seconds = OPERATIONS[operator.text](seconds, right)
    return seconds


def _operand(cursor: Cursor, where: str) -> float:
    if cursor.takes("-"):
        return -read_seconds(cursor, where, _SIGN)
    if cursor.takes("+"):
        return read_seconds(cursor, where, _SIGN)
    if cursor.takes("("):
        seconds = read_seconds(cursor, where)
        cursor.expect(")", where)
        return seconds
    refuse_functions(cursor)
    if cursor.at.kind == "number":
        return parse_number(cursor.take().text)
    return cursor.milliseconds(where) / 1000


def refuse_functions(cursor: Cursor) -> None:
    """Raise ``Unsupported`` where a function stands that only the evaluation can compute."""
    token: Token = cursor.at
    if token.kind == "word" and token.text.lower() in _OF_QUERY and cursor.after.text == "(":
        raise cursor.error(
            f"the experimental function {quoted(token.text)} in a duration is not supported", kind=Unsupported
        )
