"""Durations that depend on a query's step or range, such as ``m[step()]``, get their values before the evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chainwatch.promql.durations import evaluate_seconds, whole_milliseconds
from chainwatch.promql.lexer import error_at
from chainwatch.promql.parser import Query, parse
from chainwatch.promql.syntax import Computed, Node, RangeSelector, Selector, Subquery, rebuild


def parse_instant(text: str) -> Query:
    """Return a query that is only evaluated at one time, as a rule's is. Raises ``ParseError``."""
    return resolve(parse(text), 0, 0)


def resolve(query: Query, step: int, length: int) -> Query:
    """Return the query for a step and a range (milliseconds; both 0 for one time), all durations known.

    Raises ``ParseError`` for a duration that is out of range or, unless it is an offset, not greater than 0.
    """
    if not query.is_computed:
        return query
    return replace(query, root=_Resolver(query.text, step, length).resolve(query.root), is_computed=False)


class _Resolver:
    def __init__(self, text: str, step: int, length: int) -> None:
        self._text = text
        self._step = step
        self._length = length

    def resolve(self, node: Node) -> Node:
        match node:
            case Selector():
                return self._resolved_selector(node)
            case RangeSelector(selector=selector):
                return replace(
                    node, selector=self._resolved_selector(selector), computed=(), **self._lengths(node)
                )
            case Subquery():
                node = replace(node, computed=(), **self._lengths(node))
        return rebuild(node, self.resolve)

    def _resolved_selector(self, selector: Selector) -> Selector:
        return replace(selector, computed=(), **self._lengths(selector))

    def _lengths(self, node: Selector | RangeSelector | Subquery) -> dict[str, Any]:
        return {name: self._milliseconds(name, computed) for name, computed in node.computed}

    def _milliseconds(self, name: str, computed: Computed) -> int:
        try:
            found = whole_milliseconds(evaluate_seconds(computed, self._step, self._length))
            if found <= 0 and name != "offset":
                raise ValueError("duration must be greater than 0")
        except ValueError as error:
            times = f"step() is {self._step / 1000:g}s, range() is {self._length / 1000:g}s"
            raise error_at(self._text, computed.start, f"{error} ({times})") from None
        return found
