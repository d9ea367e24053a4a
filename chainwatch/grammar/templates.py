"""Templates of messages: Jinja2 (jinja.palletsprojects.com), in its sandbox, cut down until no template can take long.

A template has no calls, no assignments and no Python attributes; loops nest twice at most and go over at most
``ITEMS_MAX`` elements; only the filters of this module exist. So time and memory are bounded by the template's length
and the values, whatever a chain has written into them. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import ChainableUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment

from chainwatch.grammar.durations import span
from chainwatch.support.asset_units import DECIMALS_MAX, in_units

SOURCE_MAX = 16_384
"""Characters of a template."""
OUTPUT_MAX = 65_536
"""Characters of a result; what is longer is cut."""
JSON_MAX = 1_000_000
"""Characters of a webhook's body, and of a result of the filter ``json``."""
ITEMS_MAX = 200
"""Elements that a loop goes over; further ones are left out."""
LOOPS_MAX = 2
"""How deep loops may be nested."""
EXPRESSIONS_MAX = 2_000
"""Nodes of a template's syntax tree, that is about twice its values and operators."""

EXPLORERS = "explorers"
"""The value, network → address of its explorer, that the filter ``link`` reads."""

WORK_MAX = 200_000
"""Elements of loops, parts of JSON and hundreds of characters that filters make, in one rendering: about a second."""
_left: ContextVar[int] = ContextVar("left", default=WORK_MAX)
"""What is left of that in the rendering under way."""
DEPTH_MAX = 50
"""How deep brackets may be nested."""

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.For,
    nodes.If,
    nodes.Name,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Filter,
    nodes.Test,
    nodes.Compare,
    nodes.Operand,
    nodes.CondExpr,
    nodes.Concat,
    nodes.Keyword,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Neg,
    nodes.Pos,
)

_LOOP = frozenset({"index", "index0", "first", "last", "length"})
_TESTS = frozenset({"defined", "undefined", "none", "number", "string", "in", "eq", "ne"})
_PROMETHEUS = re.compile(r"\$(?=(?:labels|value|externalURL)\b)")
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_TIME_FORMAT = re.compile("(?:[^%]|%[-]?[A-Za-z%]){0,64}")
_JSON = json.JSONEncoder(ensure_ascii=False)
_ADDRESS_ENDS = 6, 4
"""Characters of an address or hash that ``short`` keeps on either side."""


class TemplateError(ValueError):
    """A template that cannot be compiled, or fails on its values; the text says why, and in which line."""


class Template:
    """A compiled template. Templates are equal if their sources are."""

    def __init__(self, source: str) -> None:
        """Compile ``source``. Raises ``TemplateError``."""
        self.source = source
        self._compiled = _compile(source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)

    def render(self, values: Mapping[str, Any], limit: int = OUTPUT_MAX) -> str:
        """Return the text for ``values``: strings, numbers, and lists and mappings of them. Raises ``TemplateError``.

        A text of more than ``limit`` characters is cut.
        """
        parts: list[str] = []
        room = limit
        _left.set(WORK_MAX)
        try:
            for part in self._compiled.generate(**values):
                parts.append(part[:room])
                room -= len(part)
                if room < 0:
                    parts.append("…")
                    break
        except Exception as error:  # values may be anything, and so what an operator raises on them
            raise TemplateError(f"{type(error).__name__}: {error}"[:300]) from error
        return "".join(parts)


def _compile(source: str) -> Any:
    if len(source) > SOURCE_MAX:
        raise TemplateError(f"longer than {SOURCE_MAX:,} characters")
    if _depth(source) > DEPTH_MAX:
        raise TemplateError(f"brackets are nested more than {DEPTH_MAX} times")
    try:
        tree = _ENVIRONMENT.parse(_without_dollars(source))
        _check(tree)
        return _ENVIRONMENT.from_string(tree)
    except TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: {error.message}") from None
    except (
        RecursionError,
        MemoryError,
        SyntaxError,
    ) as error:  # SyntaxError: from Python, of what Jinja2 made of it
        raise TemplateError(f"too complicated: {type(error).__name__}") from None


def _depth(source: str) -> int:
    """Return how deep brackets are nested, those in texts included."""
    depth = deepest = 0
    for char in source:
        depth = max(depth + (char in "([{") - (char in ")]}"), 0)
        deepest = max(deepest, depth)
    return deepest


def _without_dollars(source: str) -> str:
    """Return ``source`` with ``$labels``, ``$value`` and ``$externalURL``, as in Prometheus' templates, without ``$``."""
    return _TAGS.sub(lambda tag: _PROMETHEUS.sub("", tag[0]), source)


def _check(tree: nodes.Template) -> None:
    """Refuse what could take long; let every loop go over bounded elements. Raises ``TemplateError``."""
    left = EXPRESSIONS_MAX
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, loops = waiting.pop()
        left -= 1
        if left < 0:
            raise TemplateError("too many expressions")
        _check_node(node, loops)
        waiting += [(child, loops + isinstance(node, nodes.For)) for child in node.iter_child_nodes()]
        if isinstance(node, nodes.For):
            node.iter = nodes.Filter(node.iter, "bounded", [], [], None, None, lineno=node.lineno)


def _check_node(node: nodes.Node, loops: int) -> None:
    where = f"line {node.lineno}: "
    if not isinstance(node, _ALLOWED):
        raise TemplateError(f"{where}{type(node).__name__.lower()} is not available in templates")
    if isinstance(node, nodes.For) and (node.recursive or loops >= LOOPS_MAX):
        raise TemplateError(f"{where}loops may be nested {LOOPS_MAX} times, and never be recursive")
    if isinstance(node, nodes.Filter) and node.name not in _ENVIRONMENT.filters:
        known = ", ".join(sorted(FILTERS))
        raise TemplateError(f"{where}no filter {node.name!r}; there are {known}")
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        raise TemplateError(f"{where}no test {node.name!r}; there are {', '.join(sorted(_TESTS))}")
    if isinstance(node, nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
        raise TemplateError(f"{where}* and ** are not available in templates")


class _Environment(SandboxedEnvironment):
    """Values have elements, no attributes: nothing of Python can be reached."""

    intercepted_binops = frozenset({"*", "%", "+", "-", "/", "//"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self._element(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._element(obj, argument)

    def _element(self, obj: Any, argument: Any) -> Any:
        try:
            if isinstance(obj, Mapping) or (isinstance(obj, Sequence) and not isinstance(argument, str)):
                return obj[argument]
        except (LookupError, TypeError):
            return self.undefined(name=str(argument))
        return self.undefined(name=str(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator in ("*", "%") and not (_is_number(left) and _is_number(right)):
            raise TypeError(f"{operator} takes two numbers; the filter int makes one of a text")
        return super().call_binop(context, operator, left, right)


# --- filters ------------------------------------------------------------------------------------------


def _amount(value: object, decimals: int = 0, symbol: str = "") -> str:
    """Return an integer of an asset's smallest units in whole units: ``1,234.5 USDC``."""
    if not 0 <= decimals <= DECIMALS_MAX:
        raise ValueError(f"amount: decimals are 0 to {DECIMALS_MAX}")
    return in_units(int(str(value)), symbol, decimals).removesuffix('""').rstrip()


def _short(value: object) -> str:
    """Return an address or hash shortened in its middle: ``0x1f98…f984``."""
    text, (start, end) = str(value), _ADDRESS_ENDS
    return text if len(text) <= start + end + 1 else f"{text[:start]}…{text[-end:]}"


@pass_context
def _link(context: Context, value: object, network: str) -> str:
    """Return the explorer's page of a transaction hash or an address; the value itself without one."""
    text, explorer = str(value), (context.get(EXPLORERS) or {}).get(network)
    if explorer and re.fullmatch("0x[0-9a-fA-F]{64}", text):
        return f"{explorer}/tx/{text}"
    if explorer and re.fullmatch("0x[0-9a-fA-F]{40}", text):
        return f"{explorer}/address/{text}"
    return text


def _duration(value: object) -> str:
    """Return seconds as ``2h 5m``."""
    seconds = float(str(value))
    return ("-" if seconds <= -1 else "") + span(min(abs(seconds), 1e12))


def _time(value: object, zone: str = "UTC", pattern: str = "%Y-%m-%d %H:%M:%S %Z") -> str:
    """Return Unix seconds as a time in ``zone`` (IANA name), by a ``strftime`` pattern."""
    if not _TIME_FORMAT.fullmatch(pattern):
        raise ValueError("time: the pattern takes letters after %, and is at most 64 long")
    try:
        local = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a name too long for a file
        raise ValueError(f"time: no zone {zone!r}") from None
    try:
        return datetime.fromtimestamp(float(str(value)), UTC).astimezone(local).strftime(pattern)
    except (ValueError, OverflowError, OSError):  # a chain may claim any time
        return str(value)


def _json(value: object) -> str:
    """Return ``value`` as JSON, as a webhook's template needs it: quoted and escaped."""
    parts, room = [], JSON_MAX
    for part in _JSON.iterencode("" if isinstance(value, ChainableUndefined) else value):
        parts.append(part)
        _spend(1 + len(part) // 100)
        room -= len(part)
        if room < 0:
            raise ValueError(f"json: the result is longer than {JSON_MAX:,} characters")
    return "".join(parts)


def _join(values: Iterable[object], separator: str = "") -> str:
    joined = str(separator).join(map(str, _bounded(values)))[:OUTPUT_MAX]
    _spend(len(joined) // 100)
    return joined


def _replace(value: object, old: str, new: str) -> str:
    text, old, new = str(value), str(old), str(new)
    if len(text) + text.count(old) * len(new) > OUTPUT_MAX:
        raise ValueError(f"replace: the result is longer than {OUTPUT_MAX:,} characters")
    _spend(len(text) // 100)
    return text.replace(old, new)


def _truncate(value: object, length: int) -> str:
    text = str(value)
    return text if len(text) <= length else text[: max(length - 1, 0)] + "…"


def _items(value: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return the pairs of a mapping, by name."""
    return sorted(value.items()) if isinstance(value, Mapping) else []


def _default(value: object, other: object = "") -> object:
    """Return ``other`` for what is missing or empty."""
    return value if value and not isinstance(value, ChainableUndefined) else other


def _bounded(values: object) -> list[Any]:
    """Return the elements of a list, or the names of a mapping, at most ``ITEMS_MAX``."""
    if isinstance(values, Mapping | list | tuple):
        elements = list(values)[:ITEMS_MAX]
        _spend(1 + len(elements))
        return elements
    if isinstance(values, ChainableUndefined):
        return []
    raise TypeError("a loop goes over a list or a mapping")


FILTERS: Mapping[str, Any] = {
    "amount": _amount,
    "default": _default,
    "duration": _duration,
    "first": lambda values: _bounded(values)[0],
    "float": lambda value: float(str(value)),
    "int": lambda value: int(str(value)),
    "items": _items,
    "join": _join,
    "json": _json,
    "last": lambda values: _bounded(values)[-1],
    "length": len,
    "link": _link,
    "lower": lambda value: str(value).lower(),
    "replace": _replace,
    "round": lambda value, digits=0: round(float(str(value)), digits),
    "short": _short,
    "time": _time,
    "title": lambda value: str(value).title(),
    "trim": lambda value: str(value).strip(),
    "truncate": _truncate,
    "upper": lambda value: str(value).upper(),
}
"""The filters of templates by name."""


def _spend(work: int) -> None:
    """Count ``work`` of the rendering under way. Raises ``ValueError`` once it is too much."""
    left = _left.get() - work
    if left < 0:
        raise ValueError("it takes too long: fewer or smaller loops are needed")
    _left.set(left)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _environment() -> _Environment:
    environment = _Environment(undefined=ChainableUndefined, autoescape=False, keep_trailing_newline=False)
    environment.filters = {**FILTERS, "bounded": _bounded}
    environment.tests = {name: test for name, test in environment.tests.items() if name in _TESTS}
    environment.globals = {}
    return environment


_ENVIRONMENT = _environment()
