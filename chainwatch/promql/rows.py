"""Instant vectors at many times at once: a row has the values of one element at each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chainwatch.promql.arithmetic import COMPARISONS, OPERATIONS
from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.series import Labels
from chainwatch.promql.syntax import Aggregation, Binary
from chainwatch.promql.vectors import REDUCTIONS, Vector, group_labels, matching_key, result_labels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Row:
    """``values`` count where the element is ``present``; ``unnamed`` as in an element of a vector."""

    labels: Labels
    values: Floats
    present: Mask
    unnamed: bool


Rows = list[Row]
Reduction = Callable[[Sequence[float]], float]

_UFUNCS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
}
"""Operators that numpy computes to the last bit as Python does."""
_COMPARE: dict[str, Callable[[Floats, Floats], Mask]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def operate(operator: str, left: Floats, right: Floats) -> Floats:
    """Return an operator between numbers at each time; a comparison gives 0 or 1."""
    if operator in COMPARISONS:
        return _COMPARE[operator](left, right).astype(np.float64)
    if operator in _UFUNCS:
        return _UFUNCS[operator](left, right)
    return np.array(list(map(OPERATIONS[operator], left.tolist(), right.tolist())))


def apply(function: Callable[[float], float], rows: Rows) -> Rows:
    """Return a function of each value."""
    found = []
    for row in rows:
        values = np.full(len(row.values), np.nan)
        values[row.present] = list(map(function, row.values[row.present].tolist()))
        found.append(Row(row.labels, values, row.present, True))
    return found


def columns(rows: Rows, count: int) -> list[Vector]:
    """Return the vector at each of ``count`` times."""
    vectors: list[Vector] = [[] for _ in range(count)]
    for row in rows:
        labels, unnamed = row.labels, row.unnamed
        values = row.values.tolist()
        for index in np.flatnonzero(row.present).tolist():
            vectors[index].append((labels, values[index], unnamed))
    return vectors


def gather(vectors: Iterable[Vector], count: int) -> Rows:
    """Return the rows of the vectors at ``count`` times."""
    found: dict[tuple[Labels, bool, int], Row] = {}
    for index, vector in enumerate(vectors):
        for labels, value, unnamed in vector:
            turn = 0
            while (row := found.get((labels, unnamed, turn))) is not None and row.present[index]:
                turn += 1  # a vector may have the same labels twice
            if row is None:
                row = Row(labels, np.full(count, np.nan), np.zeros(count, np.bool_), unnamed)
                found[labels, unnamed, turn] = row
            row.values[index] = value
            row.present[index] = True
    return list(found.values())


def merge(rows: Rows) -> tuple[Floats, Mask]:
    """Return the values of rows with the same labels, and when one of them is there.

    Raises ``EvaluationError`` where two are there at the same time.
    """
    if len(rows) == 1:
        return rows[0].values, rows[0].present
    presences = [row.present for row in rows]
    there = np.array(presences).sum(axis=0)
    if there.max() > 1:
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    return np.select(presences, [row.values for row in rows]), there > 0


def combine_with_numbers(node: Binary, rows: Rows, numbers: Floats, *, numbers_first: bool) -> Rows:
    """Return an operator between each row and a number at each time."""
    found = []
    for row in rows:
        left, right = (numbers, row.values) if numbers_first else (row.values, numbers)
        if node.operator in COMPARISONS and not node.returns_bool:
            found.append(replace(row, present=row.present & _COMPARE[node.operator](left, right)))
        else:
            found.append(Row(row.labels, operate(node.operator, left, right), row.present, True))
    return found


def combine_sets(node: Binary, left: Rows, right: Rows) -> Rows:
    """Return ``and``, ``or`` or ``unless`` of two vectors."""
    matching = node.matching
    others: dict[object, Mask] = {}
    for row in left if node.operator == "or" else right:
        key = matching_key(matching, row.labels)
        others[key] = others[key] | row.present if key in others else row.present
    found = left[:] if node.operator == "or" else []
    for row in right if node.operator == "or" else left:
        there = others.get(matching_key(matching, row.labels))
        if node.operator != "and":
            found.append(row if there is None else replace(row, present=row.present & ~there))
        elif there is not None:
            found.append(replace(row, present=row.present & there))
    return found


def combine_rows(node: Binary, left: Rows, right: Rows) -> Rows | None:
    """Return an arithmetic operator or comparison of two vectors; None where rows do not belong together one by one."""
    matching = node.matching
    if matching.is_filling:
        return None  # which elements have no partner is another matter at each time
    swapped = matching.many == "right"
    many, one = (right, left) if swapped else (left, right)
    partners = {matching_key(matching, row.labels): row for row in one}
    if len(partners) < len(one):
        return None
    matched: set[object] = set()
    found = []
    for row in many:
        key = matching_key(matching, row.labels)
        partner = partners.get(key)
        if partner is None:
            continue
        labels = result_labels(node, row.labels, partner.labels)
        place = key if matching.many is None else (key, labels)
        if place in matched:
            return None
        matched.add(place)
        present = row.present & partner.present
        first, second = (partner.values, row.values) if swapped else (row.values, partner.values)
        if node.operator not in COMPARISONS:
            found.append(Row(labels, operate(node.operator, first, second), present, False))
        elif node.returns_bool:
            found.append(Row(labels, operate(node.operator, first, second), present, True))
        else:
            holds = _COMPARE[node.operator](first, second)
            found.append(Row(labels, first, present & holds, row.unnamed))
    return found


def aggregate_rows(node: Aggregation, rows: Rows, compute: Reduction | None = None) -> Rows | None:
    """Return an aggregation by groups, or by ``compute``; None where a group may be unnamed at some times only."""
    groups: dict[Labels, Rows] = {}
    for row in rows:
        groups.setdefault(group_labels(node, row.labels), []).append(row)
    found = []
    for labels, members in groups.items():
        if len({row.unnamed for row in members}) > 1:
            return None
        present = np.logical_or.reduce([row.present for row in members])
        values = _reduced(node.operator, compute, members, present)
        found.append(Row(labels, values, present, members[0].unnamed))
    return found


def _reduced(operator: str, compute: Reduction | None, members: Rows, present: Mask) -> Floats:
    if operator == "group":
        return np.ones(len(present))
    if operator == "count":
        counts: Floats = np.array([row.present for row in members]).sum(axis=0, dtype=np.float64)
        return counts
    if operator in ("min", "max"):
        better = np.less if operator == "min" else np.greater
        extreme = np.full(len(present), np.nan)
        for row in members:
            taken = row.present & (better(row.values, extreme) | np.isnan(extreme))
            extreme = np.where(taken, row.values, extreme)
        return extreme
    if len(members) == 1 and operator in ("sum", "avg"):
        return members[0].values
    compute = compute or REDUCTIONS[operator]
    if all(row.present.all() for row in members):
        return np.array(
            [compute(column) for column in zip(*(row.values.tolist() for row in members), strict=True)]
        )
    found = np.full(len(present), np.nan)
    matrix, there = np.array([row.values for row in members]).T, np.array([row.present for row in members]).T
    for index in np.flatnonzero(present).tolist():
        found[index] = compute(matrix[index][there[index]].tolist())
    return found
