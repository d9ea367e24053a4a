"""Which groups of rules read which series, and for how long they need their samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from chainwatch.promql.evaluation import LOOK_BACK
from chainwatch.promql.info import looked_up
from chainwatch.promql.parser import Query
from chainwatch.promql.series import Labels
from chainwatch.promql.syntax import Call, Matcher, Node, RangeSelector, Selector, Subquery, children, walk

REMEMBERED_MAX = 500_000
"""Series of which it is remembered who reads them: by hashes, as others than the database must not keep labels alive."""
TAKEN_MAX = 20_000
"""Values of which it is remembered whether they pass a matcher."""

Matchers = tuple[Matcher, ...]
_NOBODY: frozenset[str] = frozenset()


class Interests:
    """Finds the groups that may read a series, by the ``queries`` of each group. For one thread at a time."""

    def __init__(self, queries: Mapping[str, Iterable[Query]]) -> None:
        self._by_pair: dict[tuple[str, str], list[tuple[Matchers, str]]] = {}
        self._others: list[tuple[Matchers, str]] = []
        self._known: dict[int, frozenset[str]] = {}
        self._taken: dict[tuple[Matcher, str], bool] = {}
        found = [
            (node.matchers, group)
            for group, some in queries.items()
            for query in some
            for node in walk(query.root)
            if isinstance(node, Selector)
        ]
        commonness: dict[tuple[str, str], int] = {}
        for matchers, _ in found:
            for pair in _pairs(matchers):
                commonness[pair] = commonness.get(pair, 0) + 1
        for matchers, group in dict.fromkeys(found):
            rarest = min(_pairs(matchers), key=lambda pair: (commonness[pair], pair), default=None)
            if rarest is None:
                self._others.append((matchers, group))
            else:
                self._by_pair.setdefault(rarest, []).append((matchers, group))

    def of(self, labels: Labels) -> frozenset[str]:
        """Return the names of the groups with a selector that finds the series."""
        known = self._known.get(hash(labels))
        if known is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            known = self._known[hash(labels)] = self._find(labels)
        return known

    def _find(self, labels: Labels) -> frozenset[str]:
        candidates = [one for pair in labels.pairs for one in self._by_pair.get(pair, ())]
        found = {
            group
            for matchers, group in (*candidates, *self._others)
            if all(self._takes(matcher, labels.get(matcher.name)) for matcher in matchers)
        }
        return frozenset(found) if found else _NOBODY

    def _takes(self, matcher: Matcher, value: str) -> bool:
        """Return whether a value passes; remembered, as patterns take long and many series have the same value."""
        known = self._taken.get((matcher, value))
        if known is None:
            if len(self._taken) >= TAKEN_MAX:
                self._taken.clear()
            known = self._taken[matcher, value] = matcher.takes(value)
        return known


def needs(query: Query, query_offset: int = 0) -> Iterator[tuple[Matchers, int]]:
    """Yield what the query selects, and how far back from now it reads (milliseconds)."""
    yield from _needs(query.root, query_offset)


def _needs(node: Node, before: int) -> Iterator[tuple[Matchers, int]]:
    match node:
        case Selector():
            yield node.matchers, before + max(node.offset, 0) + LOOK_BACK
        case RangeSelector(selector=selector):
            yield selector.matchers, before + max(selector.offset, 0) + node.range + LOOK_BACK
        case Subquery():
            yield from _needs(node.expression, before + max(node.offset, 0) + node.range)
        case Call(function="info"):
            yield from _needs(node.arguments[0], before)
            yield from _needs(looked_up(node), before)
        case _:
            for below in children(node):
                yield from _needs(below, before)


def _pairs(matchers: Matchers) -> list[tuple[str, str]]:
    """Return the labels that a series must have to pass, the metric's name among them."""
    return [(m.name, m.value) for m in matchers if m.operator == "=" and m.value]
