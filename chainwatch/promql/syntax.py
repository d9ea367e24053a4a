"""The syntax tree of a query. Nodes are immutable, and equal where they mean the same. Times are in milliseconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import re2

SUBQUERY_STEP = 60_000
"""Milliseconds between the evaluations of a subquery without a step of its own, by default."""
At = int | Literal["start", "end"] | None
"""The modifier ``@``: Unix milliseconds, the start or end of the evaluated range, or none."""
CAPTURING_MAX = 1_000
"""Characters of a pattern of which groups are used."""
GROUPS_MAX = 50
_PATTERN_BYTES = 4_000_000
"""Memory that a compiled pattern may take."""
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


class Matcher:
    """The test of one label; a label that a series does not have counts as empty.

    ``operator`` is ``=``, ``!=``, ``=~`` or ``!~``. Patterns are RE2's and match the whole value, line breaks included.
    Raises ``ValueError`` for a text that is no pattern.
    """

    __slots__ = ("_pattern", "name", "operator", "value")

    def __init__(self, name: str, operator: str, value: str) -> None:
        self.name = name
        self.operator = operator
        self.value = value
        self._pattern = compile_pattern(value) if operator in ("=~", "!~") else None

    @property
    def size(self) -> int:
        """How many instructions the pattern has; 0 where there is none."""
        return self._pattern.programsize if self._pattern is not None else 0

    def takes(self, value: str) -> bool:
        """Return whether a label's ``value`` passes."""
        if self._pattern is None:
            return (value == self.value) is (self.operator == "=")
        return (self._pattern.fullmatch(value) is not None) is (self.operator == "=~")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matcher) and other._key() == self._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{self.name}{self.operator}{self.value!r}"

    def _key(self) -> tuple[str, str, str]:
        return self.name, self.operator, self.value


def compile_pattern(pattern: str, *, captures: bool = False) -> re2._Regexp[str]:
    """Return ``pattern`` compiled as Prometheus does, for ``fullmatch``. Raises ``ValueError``.

    Without ``captures`` it takes linear time; with them, that time for each group, so that both are bounded.
    """
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.never_capture = not captures
    options.max_mem = _PATTERN_BYTES
    if captures and len(pattern) > CAPTURING_MAX:
        raise ValueError(f"longer than {CAPTURING_MAX:,} characters")
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(
            reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)
        ) from None
    if captures and compiled.groups > GROUPS_MAX:
        raise ValueError(f"more than {GROUPS_MAX} groups")
    return compiled


def expand_references(replacement: str, match: Any) -> str:
    """Return ``replacement`` with ``$1``, ``$name`` and ``${name}`` filled in; what ``match`` does not have is empty."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        if name.isascii() and name.isdecimal():
            index = int(name) if len(name) < 6 else -1
            return (match.group(index) or "") if 0 <= index <= match.re.groups else ""
        return (match.group(name) or "") if name in match.re.groupindex else ""

    return _REFERENCE.sub(group, replacement)


@dataclass(frozen=True, slots=True)
class Computed:
    """A duration that depends on the query's step or range: ``max_of(2 * step(), 1m)``.

    ``operator`` is one of arithmetic (with one operand a sign), ``min_of``, ``max_of``, ``step`` or ``range``. ``start``:
    where it stands in the query's text.
    """

    operator: str
    operands: tuple[Seconds, ...] = ()
    start: int = field(default=0, compare=False)


Seconds = float | Computed
Lengths = tuple[tuple[str, Computed], ...]
"""The fields of a node, by name, that have no value before ``resolve`` gives them one."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Selector:
    """``metric{label="value"} offset 5m @ 0``; ``smoothed``: what lies between two samples counts."""

    matchers: tuple[Matcher, ...]
    offset: int = 0
    at: At = None
    smoothed: bool = False
    computed: Lengths = ()


@dataclass(frozen=True, slots=True)
class RangeSelector:
    """``metric[5m]``; ``extended``: the range has a value at both of its ends."""

    selector: Selector
    range: int
    extended: Literal["anchored", "smoothed"] | None = None
    computed: Lengths = ()


@dataclass(frozen=True, slots=True)
class Subquery:
    """``expression[1h:1m]``; without ``step``, every ``subquery_step`` of the evaluation."""

    expression: Node
    range: int
    step: int | None
    offset: int = 0
    at: At = None
    computed: Lengths = ()


@dataclass(frozen=True, slots=True)
class Negation:
    """``-expression``"""

    expression: Node


@dataclass(frozen=True, slots=True)
class Matching:
    """Which elements of two vectors belong together.

    They are compared by ``labels`` (``on``) or by all but these (``ignoring``). ``many`` is the side with several elements
    for one of the other side, of which the labels ``include`` are copied. For an element without a partner on the left or
    right stands ``fill_left`` or ``fill_right``, if that is not None; with ``group_right`` it is the other way round, as in
    Prometheus.
    """

    on: bool = False
    labels: tuple[str, ...] = ()
    many: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None

    @property
    def is_filling(self) -> bool:
        """Whether elements without a partner have a result."""
        return self.fill_left is not None or self.fill_right is not None


@dataclass(frozen=True, slots=True)
class Binary:
    """``left operator right``; ``returns_bool``: a comparison gives 0 or 1 instead of filtering."""

    operator: str
    left: Node
    right: Node
    returns_bool: bool = False
    matching: Matching = Matching()


@dataclass(frozen=True, slots=True)
class Aggregation:
    """``operator without (labels) (parameter, expression)``"""

    operator: str
    expression: Node
    parameter: Node | None = None
    without: bool = False
    labels: tuple[str, ...] = ()
    start: int = field(default=0, compare=False)
    """Where the parameter stands in the query's text."""


@dataclass(frozen=True, slots=True)
class Call:
    """``starts``: where each argument stands in the query's text."""

    function: str
    arguments: tuple[Node, ...]
    starts: tuple[int, ...] = field(default=(), compare=False)


Node = Number | Text | Selector | RangeSelector | Subquery | Negation | Binary | Aggregation | Call


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below ``node``."""
    match node:
        case RangeSelector(selector=selector):
            return (selector,)
        case Subquery(expression=below) | Negation(expression=below):
            return (below,)
        case Binary(left=left, right=right):
            return left, right
        case Aggregation(expression=below, parameter=parameter):
            return (below,) if parameter is None else (parameter, below)
        case Call(arguments=arguments):
            return arguments
        case _:
            return ()


def is_computed(node: Node) -> bool:
    """Return whether the query's step or range decides a duration in ``node`` or below."""
    lasting = (one for one in walk(node) if isinstance(one, Selector | RangeSelector | Subquery))
    return any(one.computed for one in lasting)


def is_moved(node: Selector | Subquery) -> bool:
    """Return whether ``node`` has an offset."""
    return node.offset != 0 or "offset" in dict(node.computed)


_Lasting = TypeVar("_Lasting", bound=Selector | RangeSelector | Subquery)


def with_lengths(node: _Lasting, **lengths: int | Computed | None) -> _Lasting:
    """Return ``node`` with these lengths of time as fields, or with how these are to be computed."""
    computed = tuple((name, one) for name, one in lengths.items() if isinstance(one, Computed))
    known: dict[str, Any] = {name: one for name, one in lengths.items() if not isinstance(one, Computed)}
    return replace(node, computed=node.computed + computed, **known)


def rebuild(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return ``node`` with what ``change`` returns for each node directly below it, but for the selector of a range."""
    match node:
        case Subquery(expression=below) | Negation(expression=below):
            return replace(node, expression=change(below))
        case Binary(left=left, right=right):
            return replace(node, left=change(left), right=change(right))
        case Aggregation(expression=below, parameter=parameter):
            return replace(node, expression=change(below), parameter=parameter and change(parameter))
        case Call(arguments=arguments):
            return replace(node, arguments=tuple(map(change, arguments)))
        case _:
            return node


def walk(node: Node) -> Iterator[Node]:
    """Yield ``node`` and all nodes below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += children(node)
