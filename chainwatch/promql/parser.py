"""From a query's text to its syntax tree, by Prometheus' grammar (promql/parser/generated_parser.y) and its checks of types.

Refused by name: native histograms, and some that is experimental in the grammar, such as ``[5m::1m]``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

from chainwatch.promql.cursor import Cursor
from chainwatch.promql.errors import ParseError, Unsupported, quoted
from chainwatch.promql.info import info_selector
from chainwatch.promql.lexer import Token, parse_number
from chainwatch.promql.matching import read_matching
from chainwatch.promql.signatures import (
    COMPARISONS,
    EXTENDED,
    PARAMETERS,
    PRECEDENCE,
    REFUSED,
    SCALAR,
    SET_OPERATORS,
    SIGNATURES,
    VECTOR,
    Type,
    type_of,
)
from chainwatch.promql.syntax import (
    Aggregation,
    At,
    Binary,
    Call,
    Computed,
    Matcher,
    Matching,
    Negation,
    Node,
    Number,
    RangeSelector,
    Selector,
    Subquery,
    Text,
    is_computed,
    is_moved,
    with_lengths,
)

NESTING_MAX = 100
"""How deep a query may be nested, chains of operators included."""
NODES_MAX = 10_000
"""Parts of a query."""
PATTERNS_MAX = 100_000
"""Instructions of all patterns of a query."""
_REMEMBERED_MAX = 1_000
"""Characters of a query that is parsed only once."""

_POWER = 6
_WORD_OPERATORS = frozenset({*SET_OPERATORS, "atan2"})
_RESERVED = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})
_NAME = "__name__"


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was read: its text, its tree and the type of its result.

    ``is_computed``: its step or range decides durations, which ``resolve`` computes.
    """

    text: str
    root: Node
    type: Type
    is_computed: bool = False


def parse(text: str) -> Query:
    """Return the query that ``text`` is. Raises ``ParseError``, as ``Unsupported`` where Prometheus would take the text."""
    return _parse_once(text) if len(text) <= _REMEMBERED_MAX else _parse(text)


def _parse(text: str) -> Query:
    parser = _Parser(text)
    try:
        root = parser.parse_all()
    except RecursionError:
        raise ParseError("the query is nested too deep", 1, 1) from None
    return Query(text, root, type_of(root), is_computed(root))


_parse_once = lru_cache(256)(_parse)


class _Part(NamedTuple):
    """A node with what checks need: where it begins, its type, how deep it is, and whether in parentheses."""

    node: Node
    start: int
    type: Type
    depth: int = 1
    closed: bool = False


class _Parser:
    def __init__(self, source: str) -> None:
        self._cursor = Cursor(source)
        self._nesting = 0
        self._parts = 0
        self._patterns = 0

    def parse_all(self) -> Node:
        if self._cursor.at.kind == "end":
            raise self._cursor.error("no expression found in input")
        part = self._expression(0)
        if self._cursor.at.kind != "end":
            raise self._cursor.unexpected()
        if isinstance(part.node, RangeSelector) and part.node.extended:
            reason = f"{part.node.extended} ranges are not supported outside of functions"
            raise self._cursor.error(reason, part.start, Unsupported)
        return part.node

    def _part(self, node: Node, start: int, *below: _Part) -> _Part:
        """Return the part of ``node``, which stands above ``below``, if it is within bounds."""
        self._parts += 1
        depth = 1 + max((part.depth for part in below), default=0)
        if depth > NESTING_MAX:
            raise self._cursor.error(f"the query is nested more than {NESTING_MAX} times", start)
        if self._parts > NODES_MAX:
            raise self._cursor.error(f"the query has more than {NODES_MAX:,} parts", start)
        return _Part(node, start, type_of(node), depth)

    # Expressions

    def _expression(self, lowest: int) -> _Part:
        """Parse operands joined by operators of at least the precedence ``lowest``."""
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise self._cursor.error(f"the query is nested more than {NESTING_MAX} times")
        left = self._unary()
        while (operator := self._operator()) and PRECEDENCE[operator] >= lowest:
            token = self._cursor.take()
            precedence = PRECEDENCE[operator]
            returns_bool = self._cursor.takes_word("bool")
            if returns_bool and operator not in COMPARISONS:
                raise self._cursor.error(
                    "bool modifier can only be used on comparison operators", token.start
                )
            matching = read_matching(self._cursor, operator)
            right = self._expression(precedence if operator == "^" else precedence + 1)
            left = self._binary(operator, token, left, right, returns_bool, matching)
        self._nesting -= 1
        return left

    def _operator(self) -> str | None:
        token = self._cursor.at
        text = token.text.lower()
        known = token.kind == "sign" or (token.kind == "word" and text in _WORD_OPERATORS)
        return text if known and text in PRECEDENCE else None

    def _binary(
        self,
        operator: str,
        token: Token,
        left: _Part,
        right: _Part,
        returns_bool: bool,
        matching: Matching | None,
    ) -> _Part:
        for part in (left, right):
            if part.type not in (SCALAR, VECTOR):
                raise self._cursor.error(
                    f"binary expression must contain only scalar and instant vector types, got {part.type}",
                    part.start,
                )
        scalars = left.type == right.type == SCALAR
        if operator in COMPARISONS and scalars and not returns_bool:
            raise self._cursor.error("comparisons between scalars must use BOOL modifier", token.start)
        if SCALAR in (left.type, right.type):
            if operator in SET_OPERATORS:
                raise self._cursor.error(
                    f"set operator {quoted(operator)} not allowed in binary scalar expression", token.start
                )
            if matching is not None:
                is_fill = matching.is_filling and not matching.labels
                what = "filling in missing series" if is_fill else "vector matching"
                raise self._cursor.error(f"{what} only allowed between instant vectors", token.start)
        node = Binary(operator, left.node, right.node, returns_bool, matching or Matching())
        return self._part(node, left.start, left, right)

    def _unary(self) -> _Part:
        start = self._cursor.at.start
        negations = 0
        signed = False
        while self._cursor.at.text in ("+", "-") and self._cursor.at.kind == "sign":
            negations += self._cursor.take().text == "-"
            signed = True
        if not signed:
            return self._postfix()
        part = self._expression(_POWER)
        if part.type not in (SCALAR, VECTOR):
            raise self._cursor.error(
                f"unary expression only allowed on expressions of type scalar or instant vector, got {part.type}",
                start,
            )
        if isinstance(part.node, Number):
            return self._part(Number(-part.node.value if negations % 2 else part.node.value), start)
        for _ in range(min(negations, 2 - negations % 2)):  # two are not none: they drop the name
            part = self._part(Negation(part.node), start, part)
        return part._replace(start=start)

    def _postfix(self) -> _Part:
        """Parse an operand with its ranges, offsets and ``@``."""
        part = self._operand()
        while True:
            start = self._cursor.at.start
            if self._cursor.takes("["):
                part = self._range(part, start)
            elif self._cursor.takes_word("offset"):
                part = self._moved(part, start, offset=self._cursor.offset())
            elif self._cursor.takes("@"):
                part = self._moved(part, start, at=self._cursor.pinned())
            elif self._cursor.takes_word("anchored"):
                part = self._extended(part, start, "anchored")
            elif self._cursor.takes_word("smoothed"):
                part = self._extended(part, start, "smoothed")
            else:
                return part

    def _range(self, part: _Part, start: int) -> _Part:
        length = self._cursor.length("range")
        if not self._cursor.takes(":"):
            self._cursor.expect("]", "range")
            if not isinstance(part.node, Selector) or part.closed or part.node.smoothed:
                raise self._cursor.error("ranges only allowed for vector selectors", start)
            if is_moved(part.node):
                raise self._cursor.error("no offset modifiers allowed before range", start)
            if part.node.at is not None:
                raise self._cursor.error("no @ modifiers allowed before range", start)
            return self._part(with_lengths(RangeSelector(part.node, 0), range=length), part.start, part)
        step = None if self._cursor.at.text == "]" else self._cursor.length("subquery")
        self._cursor.expect("]", "range")
        if part.type != VECTOR:
            raise self._cursor.error(
                f"subquery is only allowed on instant vector, got {part.type} instead", part.start
            )
        node = with_lengths(Subquery(part.node, 0, None), range=length, step=step)
        return self._part(node, part.start, part)

    def _extended(self, part: _Part, start: int, how: Literal["anchored", "smoothed"]) -> _Part:
        """Return ``part`` with a value at the ends of its range, or between two samples."""
        node = part.node
        if isinstance(node, RangeSelector):
            if node.extended not in (None, how):
                raise self._cursor.error("anchored and smoothed modifiers cannot be used together", start)
            return part._replace(node=replace(node, extended=how))
        if isinstance(node, Selector) and how == "smoothed" and not part.closed:
            return part._replace(node=replace(node, smoothed=True))
        what = "range selectors" if how == "anchored" else "selectors"
        raise self._cursor.error(f"{how} modifier can only be used with {what}", start)

    def _moved(self, part: _Part, start: int, offset: int | Computed | None = None, at: At = None) -> _Part:
        """Return ``part`` with an offset or ``@``."""
        node = part.node
        inner = node.selector if isinstance(node, RangeSelector) else node
        name = "offset" if offset is not None else "@"
        if not isinstance(inner, Selector | Subquery) or part.closed:
            raise self._cursor.error(f"{name} must follow a selector or a subquery, not: {part.type}", start)
        if is_moved(inner) if offset is not None else inner.at is not None:
            raise self._cursor.error(f"{name} may not be set multiple times", start)
        moved = with_lengths(inner, offset=offset) if offset is not None else replace(inner, at=at)
        if isinstance(node, RangeSelector):
            assert isinstance(moved, Selector)
            return part._replace(node=replace(node, selector=moved))
        return part._replace(node=moved)

    # Operands

    def _operand(self) -> _Part:
        token = self._cursor.at
        if token.kind == "number":
            return self._part(Number(parse_number(self._cursor.take().text)), token.start)
        if token.kind == "duration":
            return self._part(Number(self._cursor.milliseconds("number") / 1000), token.start)
        if token.kind == "text":
            return self._part(Text(self._cursor.text()), token.start)
        if self._cursor.takes("("):
            part = self._expression(0)
            if not self._cursor.takes(")"):
                raise self._cursor.unexpected(' in parentheses, expected ")"')
            return part._replace(start=token.start, closed=True)
        if token.text == "{":
            return self._selector("", token)
        if token.kind == "word":
            return self._word(token)
        raise self._cursor.unexpected()

    def _word(self, token: Token) -> _Part:
        text = token.text.lower()
        following = self._cursor.after.text.lower()
        if text in _RESERVED and following != "(":
            raise self._cursor.unexpected()
        self._cursor.take()
        if text in ("inf", "nan") and following not in ("{", "("):
            return self._part(Number(float(text)), token.start)
        if text in PARAMETERS and following in ("(", "by", "without"):
            return self._aggregation(text, token)
        if following == "(":
            return self._call(token)
        return self._selector(token.text, token)

    def _selector(self, name: str, token: Token, *, may_be_empty: bool = False) -> _Part:
        matchers = [Matcher(_NAME, "=", name)] if name else []
        if self._cursor.takes("{"):
            while not self._cursor.takes("}"):
                matchers.append(self._cursor.matcher(bool(matchers and matchers[0].name == _NAME and name)))
                if not self._cursor.takes(",") and self._cursor.at.text != "}":
                    if self._cursor.at.text.lower() == "or":
                        raise self._cursor.error("'or' between matchers is no PromQL", kind=Unsupported)
                    raise self._cursor.unexpected(' in label matching, expected "," or "}"')
                self._patterns += matchers[-1].size
                if self._patterns > PATTERNS_MAX:
                    raise self._cursor.error("the query's patterns are too large together")
        if not may_be_empty and all(matcher.takes("") for matcher in matchers):
            raise self._cursor.error(
                "vector selector must contain at least one non-empty matcher", token.start
            )
        return self._part(Selector(tuple(matchers)), token.start)

    def _aggregation(self, operator: str, token: Token) -> _Part:
        modifier = self._cursor.grouping()
        arguments = self._arguments()
        modifier = modifier or self._cursor.grouping() or (False, ())
        wanted = PARAMETERS[operator]
        if len(arguments) != (2 if wanted else 1):
            expected = "2 arguments" if wanted else "1 argument"
            raise self._cursor.error(
                f"wrong number of arguments for aggregate expression provided, expected {expected}, got {len(arguments)}",
                token.start,
            )
        for part, type_ in zip(arguments, (wanted, VECTOR) if wanted else (VECTOR,), strict=True):
            if part.type != type_:
                raise self._cursor.error(
                    f"expected type {type_} in aggregation expression, got {part.type}", part.start
                )
        parameter = arguments[0].node if wanted else None
        node = Aggregation(operator, arguments[-1].node, parameter, *modifier, arguments[0].start)
        return self._part(node, token.start, *arguments)

    def _arguments(self, function: str = "") -> list[_Part]:
        self._cursor.expect("(", "arguments")
        arguments: list[_Part] = []
        while not self._cursor.takes(")"):
            if function == "info" and arguments and self._cursor.at.text == "{":
                arguments.append(self._selector("", self._cursor.at, may_be_empty=True))
            else:
                arguments.append(self._expression(0))
            if self._cursor.takes(","):
                if self._cursor.at.text == ")":
                    raise self._cursor.error("trailing commas not allowed in function call args")
            elif self._cursor.at.text != ")":
                raise self._cursor.unexpected(' in arguments, expected "," or ")"')
        return arguments

    def _call(self, token: Token) -> _Part:
        name = token.text
        if name in REFUSED:
            raise self._cursor.error(f"function {quoted(name)} {REFUSED[name]}", token.start, Unsupported)
        signature = SIGNATURES.get(name)
        if signature is None:
            raise self._cursor.error(f"unknown function with name {quoted(name[:60])}", token.start)
        arguments = self._arguments(name)
        if (wanted := signature.missed_by(len(arguments))) is not None:
            raise self._cursor.error(
                f"expected {wanted} argument(s) in call to {quoted(name)}, got {len(arguments)}", token.start
            )
        for index, part in enumerate(arguments):
            type_ = signature.arguments[min(index, len(signature.arguments) - 1)]
            if part.type != type_:
                raise self._cursor.error(
                    f"expected type {type_} in call to function {quoted(name)}, got {part.type}", part.start
                )
            how = part.node.extended if isinstance(part.node, RangeSelector) else None
            if how is not None and name not in EXTENDED[how]:
                takes = ", ".join(EXTENDED[how])
                raise self._cursor.error(
                    f"{how} modifier can only be used with: {takes} - not with {name}", part.start
                )
        nodes = [part.node for part in arguments]
        if name == "info":
            given = nodes[1] if len(nodes) > 1 else None
            if given is not None and not (
                isinstance(given, Selector) and self._cursor.is_at(arguments[1].start, "{")
            ):
                raise self._cursor.error("expected label selectors only", arguments[1].start)
            nodes = [nodes[0], info_selector(given)]
        node = Call(name, tuple(nodes), tuple(part.start for part in arguments))
        return self._part(node, token.start, *arguments)
