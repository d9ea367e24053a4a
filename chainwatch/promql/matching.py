"""What stands between an operator and its right operand: ``on``, ``ignoring``, ``group_left``, ``group_right``, ``fill``."""

from __future__ import annotations

from typing import Literal

from chainwatch.promql.cursor import Cursor
from chainwatch.promql.errors import quoted
from chainwatch.promql.lexer import parse_number
from chainwatch.promql.signatures import SET_OPERATORS
from chainwatch.promql.syntax import Matching

Fills = tuple[float | None, float | None]


def read_matching(cursor: Cursor, operator: str) -> Matching | None:
    """Return how elements are matched; None where nothing says so. Raises ``ParseError``."""
    start = cursor.at.start
    on = cursor.takes_word("on")
    if not on and not cursor.takes_word("ignoring"):
        fills = _read_fills(cursor, operator)
        return None if fills is None else Matching(fill_left=fills[0], fill_right=fills[1])
    labels = cursor.labels("grouping opts")
    many: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()
    if (left := cursor.takes_word("group_left")) or cursor.takes_word("group_right"):
        many = "left" if left else "right"
        if operator in SET_OPERATORS:
            raise cursor.error(f"no grouping allowed for {quoted(operator)} operation", start)
        if cursor.at.text == "(":
            include = cursor.labels("grouping opts")
        if on and (twice := set(labels) & set(include)):
            raise cursor.error(
                f"label {quoted(min(twice))} must not occur in ON and GROUP clause at once", start
            )
    fills = _read_fills(cursor, operator)
    return Matching(on, labels, many, include, *(fills or (None, None)))


def _read_fills(cursor: Cursor, operator: str) -> Fills | None:
    """Return the values of ``fill_left`` and ``fill_right``; ``fill`` is both. None where there is none of them."""
    if not _stands(cursor, "fill", "fill_left", "fill_right"):
        return None
    if operator in SET_OPERATORS:
        raise cursor.error("filling in missing series not allowed for set operators")
    if _stands(cursor, "fill"):
        value = _read_fill(cursor)
        return value, value
    left = right = None
    while (is_left := left is None and _stands(cursor, "fill_left")) or (
        right is None and _stands(cursor, "fill_right")
    ):
        value = _read_fill(cursor)
        left, right = (value, right) if is_left else (left, value)
    return left, right


def _stands(cursor: Cursor, *words: str) -> bool:
    """Return whether one of these modifiers comes next, and no metric of that name."""
    return cursor.at.kind == "word" and cursor.at.text.lower() in words and cursor.after.text == "("


def _read_fill(cursor: Cursor) -> float:
    cursor.take()
    cursor.expect("(", "fill modifier")
    sign = -1 if cursor.takes("-") else 1
    if sign > 0:
        cursor.takes("+")
    token = cursor.at
    if token.kind == "number":
        value = parse_number(cursor.take().text)
    elif token.kind == "duration":
        value = cursor.milliseconds("fill modifier") / 1000
    elif token.kind == "word" and token.text.lower() in ("inf", "nan"):
        value = float(cursor.take().text)
    else:
        raise cursor.unexpected(" in fill modifier, expected number")
    cursor.expect(")", "fill modifier")
    return sign * value
