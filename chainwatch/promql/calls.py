"""The functions that are neither of one value nor of a range alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from chainwatch.promql.arithmetic import clamp, parse_float, quantile, round_to
from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.histograms import Buckets, fall, histogram_fraction, histogram_quantile, merge_buckets
from chainwatch.promql.info import info
from chainwatch.promql.labelling import label_join, label_replace, sort_by_label
from chainwatch.promql.numbers import format_float
from chainwatch.promql.series import NAME, Labels
from chainwatch.promql.syntax import Call, Node, RangeSelector, Selector, Text
from chainwatch.promql.vectors import Vector
from chainwatch.promql.windows import Window, double_exponential_smoothing, predict_linear

if TYPE_CHECKING:
    from chainwatch.promql.evaluation import Evaluation

_BUCKET = "le"


def _text(node: Node) -> str:
    assert isinstance(node, Text)
    return node.value


def _absent(evaluation: Evaluation, call: Call, at: int) -> Vector:
    return (
        [] if evaluation.vector(call.arguments[0], at) else [(_absent_labels(call.arguments[0]), 1.0, False)]
    )


def _absent_over_time(evaluation: Evaluation, call: Call, at: int) -> Vector:
    found = any(True for _ in evaluation.windows(call.arguments[0], at))
    return [] if found else [(_absent_labels(call.arguments[0]), 1.0, False)]


def _absent_labels(node: Node) -> Labels:
    """Return the labels that what is absent would have: those that a selector requires, and nothing else about them."""
    selector = node.selector if isinstance(node, RangeSelector) else node
    if not isinstance(selector, Selector):
        return Labels()
    required: dict[str, str] = {}
    for matcher in selector.matchers:
        if matcher.operator == "=" and matcher.name not in required:
            required[matcher.name] = matcher.value
        elif matcher.name in required:
            required[matcher.name] = ""
    return Labels({**required, NAME: ""})


def _timestamp(evaluation: Evaluation, call: Call, at: int) -> Vector:
    node = call.arguments[0]
    if isinstance(node, Selector):
        return [(labels, time / 1000, True) for labels, time, _ in evaluation.selected(node, at)]
    return [(labels, at / 1000, True) for labels, _, _ in evaluation.vector(node, at)]


def _sort(evaluation: Evaluation, call: Call, at: int, sign: int = 1) -> Vector:
    return sorted(
        evaluation.vector(call.arguments[0], at),
        key=lambda element: (element[1] != element[1], sign * element[1]),
    )


def _sort_by_label(evaluation: Evaluation, call: Call, at: int, descending: bool = False) -> Vector:
    names = [_text(node) for node in call.arguments[1:]]
    return sort_by_label(evaluation.vector(call.arguments[0], at), names, descending=descending)


def _clamp(evaluation: Evaluation, call: Call, at: int) -> Vector:
    least, most = (evaluation.number(node, at) for node in call.arguments[1:])
    if most < least:
        return []
    return _clamped(evaluation, call.arguments[0], at, least, most)


def _clamped(evaluation: Evaluation, node: Node, at: int, least: float, most: float) -> Vector:
    return [(labels, clamp(value, least, most), True) for labels, value, _ in evaluation.vector(node, at)]


def _round(evaluation: Evaluation, call: Call, at: int) -> Vector:
    nearest = evaluation.number(call.arguments[1], at) if len(call.arguments) > 1 else 1.0
    return [
        (labels, round_to(value, nearest), True)
        for labels, value, _ in evaluation.vector(call.arguments[0], at)
    ]


def _quantile_over_time(evaluation: Evaluation, call: Call, at: int) -> Vector:
    share = evaluation.number(call.arguments[0], at)
    found = evaluation.over_windows(call.arguments[1], at, lambda window: quantile(share, window.values))
    if found and evaluation.notes is not None:
        evaluation.notes.quantile(share, call.starts[0])
    return found


def _predict_linear(evaluation: Evaluation, call: Call, at: int) -> Vector:
    seconds = evaluation.number(call.arguments[1], at)
    return evaluation.over_windows(call.arguments[0], at, lambda window: predict_linear(window, seconds))


def _smoothing(evaluation: Evaluation, call: Call, at: int) -> Vector:
    smoothing, trend = (evaluation.number(node, at) for node in call.arguments[1:])

    def compute(window: Window) -> float | None:
        for name, short, factor in (("smoothing", "sf", smoothing), ("trend", "tf", trend)):
            if factor <= 0 or factor >= 1:
                raise EvaluationError(f"invalid {name} factor. Expected: 0 < {short} < 1, got: {factor:f}")
        return double_exponential_smoothing(window, smoothing, trend)

    return evaluation.over_windows(call.arguments[0], at, compute)


def _label_replace(evaluation: Evaluation, call: Call, at: int) -> Vector:
    target, replacement, source, pattern = map(_text, call.arguments[1:])
    vector = evaluation.vector(call.arguments[0], at)
    evaluation.spend(len(vector))
    return label_replace(vector, target, replacement, source, pattern, evaluation.spend)


def _label_join(evaluation: Evaluation, call: Call, at: int) -> Vector:
    target, separator, *sources = map(_text, call.arguments[1:])
    return label_join(evaluation.vector(call.arguments[0], at), target, separator, sources)


def _histograms(evaluation: Evaluation, call: Call, place: int, at: int) -> Iterator[tuple[Labels, Buckets]]:
    """Yield the classic histograms in an argument: their labels without ``le``, and their buckets."""
    found: dict[Labels, list[tuple[float, float]]] = {}
    notes = evaluation.notes
    for labels, value, _ in evaluation.vector(call.arguments[place], at):
        evaluation.spend(1)
        bound = parse_float(labels.get(_BUCKET))
        if bound is None:
            if notes is not None:
                notes.bucket(labels, labels.get(_BUCKET), call.starts[place])
            continue
        found.setdefault(labels.drop((_BUCKET,)), []).append((bound, value))
    for labels, some in found.items():
        buckets = merge_buckets(some)
        if notes is not None and call.function != "histogram_fraction" and fall(buckets):
            notes.falling_buckets(labels, call.starts[place])
        yield labels, buckets


def _histogram_quantile(evaluation: Evaluation, call: Call, at: int) -> Vector:
    share = evaluation.number(call.arguments[0], at)
    if evaluation.notes is not None:
        evaluation.notes.quantile(share, call.starts[0])
    return [
        (labels, histogram_quantile(share, buckets), True)
        for labels, buckets in _histograms(evaluation, call, 1, at)
    ]


def _histogram_quantiles(evaluation: Evaluation, call: Call, at: int) -> Vector:
    label = _text(call.arguments[1])
    histograms = list(_histograms(evaluation, call, 0, at))
    result: Vector = []
    for node, start in zip(call.arguments[2:], call.starts[2:], strict=True):
        share = evaluation.number(node, at)
        if evaluation.notes is not None:
            evaluation.notes.quantile(share, start)
        name = format_float(share)
        name += ".0" if name.lstrip("-").isdigit() else ""  # as OpenMetrics writes it
        result += [
            (labels.put({label: name}), histogram_quantile(share, buckets), True)
            for labels, buckets in histograms
        ]
    return result


def _histogram_fraction(evaluation: Evaluation, call: Call, at: int) -> Vector:
    lower, upper = (evaluation.number(node, at) for node in call.arguments[:2])
    return [
        (labels, histogram_fraction(lower, upper, buckets), True)
        for labels, buckets in _histograms(evaluation, call, 2, at)
    ]


CALLS: dict[str, Callable[[Evaluation, Call, int], Vector]] = {
    "absent": _absent,
    "info": info,
    "absent_over_time": _absent_over_time,
    "timestamp": _timestamp,
    "sort": _sort,
    "sort_desc": lambda evaluation, call, at: _sort(evaluation, call, at, -1),
    "sort_by_label": _sort_by_label,
    "sort_by_label_desc": lambda evaluation, call, at: _sort_by_label(evaluation, call, at, True),
    "clamp": _clamp,
    "clamp_min": lambda evaluation, call, at: _clamped(
        evaluation, call.arguments[0], at, evaluation.number(call.arguments[1], at), math.inf
    ),
    "clamp_max": lambda evaluation, call, at: _clamped(
        evaluation, call.arguments[0], at, -math.inf, evaluation.number(call.arguments[1], at)
    ),
    "round": _round,
    "quantile_over_time": _quantile_over_time,
    "predict_linear": _predict_linear,
    "double_exponential_smoothing": _smoothing,
    "label_replace": _label_replace,
    "label_join": _label_join,
    "histogram_quantile": _histogram_quantile,
    "histogram_quantiles": _histogram_quantiles,
    "histogram_fraction": _histogram_fraction,
    "vector": lambda evaluation, call, at: [(Labels(), evaluation.number(call.arguments[0], at), False)],
}
"""What computes each of them, from the call and the time."""
