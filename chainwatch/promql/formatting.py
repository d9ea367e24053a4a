"""A query as Prometheus lays one out (``promql/parser/prettier.go``): in lines of up to 100 characters where it can.

The text means the same. Brackets stand where operators need them, as the tree has no others.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

from chainwatch.promql.durations import PRECEDENCE as DURATION_PRECEDENCE
from chainwatch.promql.durations import SIGN
from chainwatch.promql.info import info_selector
from chainwatch.promql.numbers import format_general
from chainwatch.promql.parser import Query
from chainwatch.promql.series import NAME
from chainwatch.promql.signatures import PRECEDENCE
from chainwatch.promql.syntax import (
    Aggregation,
    Binary,
    Call,
    Computed,
    Matcher,
    Matching,
    Negation,
    Node,
    Number,
    RangeSelector,
    Seconds,
    Selector,
    Subquery,
    Text,
)

LINE = 100
"""Characters of a line."""
INDENT = "  "
_POWER = "^"
_ALONE = 9
"""More than any operator binds."""
_CONSTANT_MAX = 1 << 53
"""Whole milliseconds below it are exact."""
_WORD = re.compile("[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
_UNITS = (("y", 31_536_000_000, True), ("w", 604_800_000, True), ("d", 86_400_000, False))
_SHORT_UNITS = (("h", 3_600_000, False), ("m", 60_000, False), ("s", 1_000, False), ("ms", 1, False))


def format_query(query: Query) -> str:
    """Return the text of a query."""
    return _pretty(query.root, 0)


def format_duration(milliseconds: int) -> str:
    """Return a length of time that is not negative: ``1h30m``; in years and weeks only where these are whole."""
    if milliseconds == 0:
        return "0s"
    found, rest = "", milliseconds
    for unit, size, is_whole in (*_UNITS, *_SHORT_UNITS):
        if is_whole and rest % size:
            continue
        count, rest = divmod(rest, size)
        if count:
            found += f"{count}{unit}"
    return found


def _pretty(node: Node, level: int) -> str:
    indent, line = INDENT * level, _line(node)
    if len(line) <= LINE:
        return indent + line
    match node:
        case Binary(operator=operator, left=left, right=right):
            parts = [
                _bracketed(left, _needs_brackets(left, operator, is_right=False), level + 1),
                f"{indent}{operator}{_joined(node)}",
                _bracketed(right, _needs_brackets(right, operator, is_right=True), level + 1),
            ]
            return "\n".join(parts)
        case Negation(expression=below):
            return (
                f"{indent}-{_bracketed(below, _needs_brackets(below, _POWER, is_right=True), level).lstrip()}"
            )
        case Subquery(expression=below):
            return _bracketed(below, isinstance(below, Binary | Negation), level) + _range_of(node)
        case Aggregation(expression=below, parameter=parameter):
            return _call(_head(node), [below] if parameter is None else [parameter, below], level)
        case Call(function="info", arguments=(base, Selector(matchers=matchers))):
            inner = _pretty(base, level + 1) + _info_selector(matchers, f",\n{INDENT * (level + 1)}")
            return f"{indent}info(\n{inner}\n{indent})"
        case Call(function=function, arguments=arguments) if arguments:
            return _call(function, arguments, level)
        case _:
            return indent + line


def _call(head: str, arguments: Sequence[Node], level: int) -> str:
    inner = ",\n".join(_pretty(one, level + 1) for one in arguments)
    return f"{INDENT * level}{head}(\n{inner}\n{INDENT * level})"


def _bracketed(node: Node, is_needed: bool, level: int) -> str:
    if not is_needed:
        return _pretty(node, level)
    line = f"({_line(node)})"
    if len(line) <= LINE:
        return INDENT * level + line
    return f"{INDENT * level}(\n{_pretty(node, level + 1)}\n{INDENT * level})"


def _line(node: Node) -> str:
    """Return a node in one line."""
    match node:
        case Number(value=value):
            return format_general(value)
        case Text(value=text):
            return _quoted(text)
        case Selector():
            return _selector(node, "")
        case RangeSelector(selector=selector, range=length, extended=extended):
            return _selector(selector, f"[{_length(node, 'range', length)}]") + (
                f" {extended}" if extended else ""
            )
        case Subquery(expression=below):
            return _in_line(below, isinstance(below, Binary | Negation)) + _range_of(node)
        case Negation(expression=below):
            return f"-{_in_line(below, _needs_brackets(below, _POWER, is_right=True))}"
        case Binary(operator=operator, left=left, right=right):
            first = _in_line(left, _needs_brackets(left, operator, is_right=False))
            second = _in_line(right, _needs_brackets(right, operator, is_right=True))
            return f"{first} {operator}{_joined(node)} {second}"
        case Aggregation(expression=below, parameter=parameter):
            inner = "" if parameter is None else f"{_line(parameter)}, "
            return f"{_head(node)}({inner}{_line(below)})"
        case Call(function="info", arguments=(base, Selector(matchers=matchers))):
            return f"info({_line(base)}{_info_selector(matchers, ', ')})"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(_line, arguments))})"


def _in_line(node: Node, has_brackets: bool) -> str:
    return f"({_line(node)})" if has_brackets else _line(node)


def _needs_brackets(node: Node, operator: str, *, is_right: bool) -> bool:
    """Return whether an operand of ``operator`` would otherwise be read as that of another one."""
    if isinstance(node, Negation) or (isinstance(node, Number) and math.copysign(1, node.value) < 0):
        return operator == _POWER and not is_right
    if not isinstance(node, Binary):
        return False
    binds, needed = PRECEDENCE[node.operator], PRECEDENCE[operator]
    is_chain = is_right == (operator == _POWER)  # a - b - c is (a - b) - c, and a ^ b ^ c is a ^ (b ^ c)
    return binds < needed or (binds == needed and not is_chain)


def _head(node: Aggregation) -> str:
    """Return the aggregation with the labels by which it groups."""
    if not node.without and not node.labels:
        return node.operator
    return f"{node.operator} {'without' if node.without else 'by'} ({_names(node.labels)}) "


def _joined(node: Binary) -> str:
    """Return what stands after an operator."""
    matching, text = node.matching, " bool" if node.returns_bool else ""
    if matching == Matching():
        return text
    if matching.on or matching.labels or matching.many is not None:
        text += f" {'on' if matching.on else 'ignoring'} ({_names(matching.labels)})"
    if matching.many is not None:
        text += f" group_{matching.many} ({_names(matching.include)})"
    return text + _fills(matching)


def _fills(matching: Matching) -> str:
    left, right = (
        "" if value is None else format_general(value) for value in (matching.fill_left, matching.fill_right)
    )
    if left == right:
        return f" fill ({left})" if left else ""
    return "".join(f" fill_{side} ({text})" for side, text in (("left", left), ("right", right)) if text)


def _selector(selector: Selector, length: str) -> str:
    """Return a selector; ``length`` is its range in brackets."""
    name, others = "", list(selector.matchers)
    for matcher in selector.matchers:
        if matcher.name == NAME and matcher.operator == "=" and _METRIC.fullmatch(matcher.value):
            name, others = matcher.value, [one for one in others if one is not matcher]
            break
    found = f"{name}{_tests(others)}" if others or not name else name
    return f"{found}{length}{_moved(selector)}{' smoothed' if selector.smoothed else ''}"


def _tests(matchers: Sequence[Matcher]) -> str:
    written = sorted(f"{_name(one.name)}{one.operator}{_quoted(one.value)}" for one in matchers)
    return f"{{{','.join(written)}}}"


def _info_selector(matchers: Sequence[Matcher], before: str) -> str:
    """Return the second argument of ``info``, after ``before``: it names no metric before its braces."""
    return "" if Selector(tuple(matchers)) == info_selector(None) else before + _tests(matchers)


def _range_of(node: Subquery) -> str:
    return f"[{_length(node, 'range', node.range)}:{_length(node, 'step', node.step)}]{_moved(node)}"


def _moved(node: Selector | Subquery) -> str:
    at, offset = node.at, node.offset
    text = "" if at is None else f" @ {at}()" if isinstance(at, str) else f" @ {at / 1000:.3f}"
    if (computed := dict(node.computed).get("offset")) is not None:
        return f"{text} offset {_computed_offset(computed)}"
    sign = "-" if offset < 0 else ""
    return f"{text} offset {sign}{format_duration(abs(offset))}" if offset else text


def _computed_offset(computed: Computed) -> str:
    """Return an offset to which operators that follow do not belong: with a sign where it has brackets."""
    if computed.operator not in DURATION_PRECEDENCE:
        return _seconds(computed)
    if len(computed.operands) == 1:
        return f"-{_seconds(computed.operands[0], _ALONE)}"
    return f"+({_seconds(computed)})"


def _length(node: RangeSelector | Subquery, field: str, milliseconds: int | None) -> str:
    computed = dict(node.computed).get(field)
    if computed is not None:
        return _seconds(computed)
    return "" if milliseconds is None else format_duration(milliseconds)


def _seconds(seconds: Seconds, lowest: int = 0, *, is_factor: bool = False) -> str:
    """Return a computed duration, in brackets if it binds less than ``lowest``; a constant factor is no duration."""
    if not isinstance(seconds, Computed):
        text = _constant(abs(seconds), is_factor)
        binds = _ALONE
        if math.copysign(1, seconds) < 0:
            text, binds = f"-{text}", SIGN
    elif seconds.operator not in DURATION_PRECEDENCE:
        return f"{seconds.operator}({', '.join(map(_seconds, seconds.operands))})"
    elif len(seconds.operands) == 1:
        text, binds = f"-{_seconds(seconds.operands[0], SIGN)}", SIGN
    else:
        operator, (left, right) = seconds.operator, seconds.operands
        binds, scales = DURATION_PRECEDENCE[operator], operator in ("*", "/", _POWER)
        first = _seconds(left, binds + (operator == _POWER), is_factor=scales)
        second = _seconds(right, binds + (operator != _POWER), is_factor=scales)
        text = f"{first} {operator} {second}"
    return f"({text})" if binds < lowest else text


def _constant(seconds: float, is_factor: bool) -> str:
    milliseconds = seconds * 1000
    is_number = is_factor or not milliseconds.is_integer() or milliseconds >= _CONSTANT_MAX
    return format_general(seconds) if is_number else format_duration(int(milliseconds))


def _names(labels: Sequence[str]) -> str:
    return ", ".join(map(_name, labels))


def _name(label: str) -> str:
    return label if _WORD.fullmatch(label) else _quoted(label)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
