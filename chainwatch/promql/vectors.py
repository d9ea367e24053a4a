"""Operations on instant vectors: aggregations, and operators between vectors and scalars.

An element is ``(labels, value, unnamed)``: ``unnamed`` says that the metric's name is to be dropped from the final result.
Until then it stays, so that two metrics are no duplicates of each other where nobody asks for the name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from chainwatch.promql.arithmetic import (
    COMPARISONS,
    FUNCTIONS,
    OPERATIONS,
    kahan_sum,
    least,
    mean,
    most,
    quantile,
    variance,
)
from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.numbers import format_float
from chainwatch.promql.series import METADATA, NAME, Labels
from chainwatch.promql.syntax import Aggregation, Binary, Matching
from chainwatch.promql.xxhash import hash_labels

Element = tuple[Labels, float, bool]
Vector = list[Element]

_INT64 = float(1 << 63)


def aggregate(node: Aggregation, vector: Vector, parameter: float | str | None) -> Vector:
    """Return the aggregation of ``vector``. Raises ``EvaluationError``."""
    operator = node.operator
    if operator == "count_values":
        assert isinstance(parameter, str)
        return _count_values(node, vector, parameter)
    if isinstance(parameter, float):
        return _aggregate_by(node, vector, parameter)
    result: Vector = []
    compute = REDUCTIONS[operator]
    for labels, members in _groups(node, vector):
        result.append((labels, compute([value for _, value, _ in members]), _unnamed(members)))
    return result


def _groups(node: Aggregation, vector: Vector) -> Iterable[tuple[Labels, Vector]]:
    if not vector:
        return ()
    if not node.without and not node.labels:
        return ((Labels(), vector),)
    groups: dict[Labels, Vector] = {}
    names = (*node.labels, NAME) if node.without else node.labels
    for element in vector:
        labels = element[0]
        groups.setdefault(labels.drop(names) if node.without else labels.keep(names), []).append(element)
    return groups.items()


def group_labels(node: Aggregation, labels: Labels) -> Labels:
    """Return the labels of the group that an element belongs to."""
    return labels.drop((*node.labels, NAME)) if node.without else labels.keep(node.labels)


def _unnamed(members: Vector) -> bool:
    """Return whether a group has no name in the final result: one member without is enough."""
    return any(unnamed for _, _, unnamed in members)


def _variance(values: Sequence[float]) -> float:
    if any(not math.isfinite(value) for value in values):
        return math.nan
    return variance(values)


REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": kahan_sum,
    "avg": mean,
    "count": lambda values: float(len(values)),
    "min": least,
    "max": most,
    "group": lambda values: 1.0,
    "stddev": lambda values: FUNCTIONS["sqrt"](_variance(values)),
    "stdvar": _variance,
}


def _aggregate_by(node: Aggregation, vector: Vector, parameter: float) -> Vector:
    """Return an aggregation that takes a number: quantile, and those that choose elements."""
    if node.operator == "quantile":
        return [
            (labels, quantile(parameter, [value for _, value, _ in members]), _unnamed(members))
            for labels, members in _groups(node, vector)
        ]
    if parameter != parameter:
        raise EvaluationError(
            "Ratio value is NaN" if node.operator == "limit_ratio" else "Parameter value is NaN"
        )
    if node.operator == "limit_ratio":
        return _sample(vector, max(-1.0, min(1.0, parameter)))
    result: Vector = []
    if parameter < 1:
        return result
    if parameter >= _INT64:
        raise EvaluationError(f"Scalar value {format_float(parameter)} overflows int64")
    count = int(parameter)
    for _, members in _groups(node, vector):
        if node.operator == "topk":
            members = sorted(members, key=lambda element: (element[1] != element[1], -element[1]))
        elif node.operator == "bottomk":
            members = sorted(members, key=lambda element: (element[1] != element[1], element[1]))
        result += members[:count]
    return result


def _sample(vector: Vector, ratio: float) -> Vector:
    """Return the share ``ratio`` of the elements, chosen by their labels; a negative one chooses the rest of 1 + it."""
    chosen = []
    for element in vector:
        place = hash_labels(element[0].pairs) / ((1 << 64) - 1)
        if place < ratio if ratio >= 0 else place >= 1 + ratio:
            chosen.append(element)
    return chosen


def _count_values(node: Aggregation, vector: Vector, label: str) -> Vector:
    if not label:
        raise EvaluationError('invalid label name ""')
    counts: dict[Labels, float] = {}
    names = (*node.labels, NAME) if node.without else node.labels
    for labels, value, _ in vector:
        kept = labels.drop(names) if node.without else labels.keep(names)
        group = kept if node.without and label in names else kept.put({label: format_float(value)})
        counts[group] = counts.get(group, 0.0) + 1
    return [(labels, count, False) for labels, count in counts.items()]


def combine_scalars(operator: str, left: float, right: float) -> float:
    """Return the result of an operator between numbers; a comparison gives 0 or 1."""
    compare = COMPARISONS.get(operator)
    return float(compare(left, right)) if compare else OPERATIONS[operator](left, right)


def combine_with_scalar(node: Binary, vector: Vector, scalar: float, *, scalar_first: bool) -> Vector:
    """Return an operator between each element and a number; comparisons filter, or give 0 or 1 (``bool``)."""
    compare = COMPARISONS.get(node.operator)
    if compare is None:
        operate = OPERATIONS[node.operator]
        if scalar_first:
            return [(labels, operate(scalar, value), True) for labels, value, _ in vector]
        return [(labels, operate(value, scalar), True) for labels, value, _ in vector]
    if node.returns_bool:
        return [
            (labels, float(compare(scalar, value) if scalar_first else compare(value, scalar)), True)
            for labels, value, _ in vector
        ]
    if scalar_first:
        return [element for element in vector if compare(scalar, element[1])]
    return [element for element in vector if compare(element[1], scalar)]


def combine_sets(node: Binary, left: Vector, right: Vector) -> Vector:
    """Return ``and``, ``or`` or ``unless`` of two vectors."""
    matching = node.matching
    if node.operator == "or":
        known = _signatures(matching, left)
        return [*left, *(element for element in right if matching_key(matching, element[0]) not in known)]
    if not left or (not right and node.operator == "and"):
        return []
    others = _signatures(matching, right)
    wanted = node.operator == "and"
    return [element for element in left if (matching_key(matching, element[0]) in others) is wanted]


def combine_vectors(node: Binary, left: Vector, right: Vector) -> Vector:
    """Return an arithmetic operator or comparison of two vectors. Raises ``EvaluationError``."""
    matching = node.matching
    if (not left or not right) and not matching.is_filling:
        return []
    swapped = matching.many == "right"
    many, one = (right, left) if swapped else (left, right)
    partners = _unique(matching, one, "left" if swapped else "right")
    if matching.is_filling:
        many = _filled(matching, many, partners)
    compare = COMPARISONS.get(node.operator)
    operate = None if compare else OPERATIONS[node.operator]
    result: Vector = []
    matched: dict[object, set[Labels]] = {}
    for labels, value, unnamed in many:
        signature = matching_key(matching, labels)
        partner = partners.get(signature)
        if partner is None:
            continue
        metric = result_labels(node, labels, partner[0])
        if matching.many is None:
            if signature in matched:
                raise EvaluationError(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                )
            matched[signature] = set()
        elif metric in (seen := matched.setdefault(signature, set())):
            raise EvaluationError("multiple matches for labels: grouping labels must ensure unique matches")
        else:
            seen.add(metric)
        first, second = (partner[1], value) if swapped else (value, partner[1])
        if operate is not None:
            result.append((metric, operate(first, second), False))
        elif compare is not None:
            holds = compare(first, second)
            if node.returns_bool:
                result.append((metric, float(holds), True))
            elif holds:
                result.append((metric, first, unnamed))
    return result


def _filled(matching: Matching, many: Vector, partners: dict[object, Element]) -> Vector:
    """Add partners for elements that have none, and return ``many`` with elements for partners that have none."""
    known = list(partners.items())
    signatures = set()
    for labels, _, _ in many:
        signature = matching_key(matching, labels)
        signatures.add(signature)
        if matching.fill_right is not None:
            partners.setdefault(signature, (_group_of(matching, labels), matching.fill_right, False))
    if matching.fill_left is None:
        return many
    fill = matching.fill_left
    lonely = (partner for signature, partner in known if signature not in signatures)
    return [*many, *((_group_of(matching, labels), fill, False) for labels, _, _ in lonely)]


def _group_of(matching: Matching, labels: Labels) -> Labels:
    """Return the labels that elements have in common that belong together."""
    if matching.on:
        return labels.keep(matching.labels)
    return labels.drop((*matching.labels, *METADATA))


def _unique(matching: Matching, vector: Vector, side: str) -> dict[object, Element]:
    """Return the elements of the side that may have only one for each group of matching labels."""
    found: dict[object, Element] = {}
    for element in vector:
        signature = matching_key(matching, element[0])
        if signature in found:
            group = _group_of(matching, element[0])
            twice = ", ".join(_show(one) for one in sorted((found[signature][0], element[0])))
            raise EvaluationError(
                f"found duplicate series for the match group {_show(group)} on the {side} hand-side of the operation: "
                f"[{twice}];many-to-many matching not allowed: matching labels must be unique on one side"
            )
        found[signature] = element
    return found


def _show(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.pairs) + "}"


def result_labels(node: Binary, labels: Labels, partner: Labels) -> Labels:
    """Return the labels of the result of two elements; ``partner``: those of the side that has one for each."""
    matching = node.matching
    result = labels if node.operator in COMPARISONS else labels.drop(METADATA)
    if matching.many is None:
        result = result.keep(matching.labels) if matching.on else result.drop(matching.labels)
    if matching.include:
        result = result.put({name: partner.get(name) for name in matching.include})
    return result


def matching_key(matching: Matching, labels: Labels) -> object:
    """Return what two elements have in common that belong together."""
    if matching.on:
        return tuple([labels.get(name) for name in matching.labels])
    return labels.drop((*matching.labels, *METADATA) if matching.labels else METADATA)


def _signatures(matching: Matching, vector: Vector) -> set[object]:
    return {matching_key(matching, element[0]) for element in vector}
