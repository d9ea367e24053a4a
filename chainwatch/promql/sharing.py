"""Common sub-expressions of several queries: equal nodes become one, so that an evaluation can compute them once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from chainwatch.promql.parser import Query
from chainwatch.promql.series import NAME
from chainwatch.promql.signatures import VECTOR, type_of
from chainwatch.promql.syntax import Node, Selector, rebuild, walk


def share(queries: Iterable[Query], changing: Collection[str]) -> tuple[list[Query], frozenset[int]]:
    """Return the queries with equal nodes as one object, and the ``id`` of each vector that is needed more than once.

    Nodes that may select a metric named in ``changing``, whose series change between the queries, are left out.
    """
    pool: dict[Node, Node] = {}
    uses: dict[int, int] = {}
    shared = [replace(query, root=_interned(query.root, pool, uses)) for query in queries]
    ids = frozenset(
        id(node)
        for node in pool.values()
        if uses[id(node)] > 1 and type_of(node) == VECTOR and not _selects(node, changing)
    )
    return shared, ids


def _interned(node: Node, pool: dict[Node, Node], uses: dict[int, int]) -> Node:
    node = rebuild(node, lambda below: _interned(below, pool, uses))
    node = pool.setdefault(node, node)
    uses[id(node)] = uses.get(id(node), 0) + 1
    return node


def _selects(node: Node, names: Collection[str]) -> bool:
    """Return whether a selector in ``node`` may find a metric of these names."""
    return any(
        all(matcher.takes(name) for matcher in selector.matchers if matcher.name == NAME)
        for selector in walk(node)
        if isinstance(selector, Selector)
        for name in names
    )
