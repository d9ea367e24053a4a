"""The evaluation of a syntax tree at many times at once, with the results that ``evaluation.py`` has at each of them.

What depends on which elements there are at a time is computed time by time, over what lies below it at all times.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from chainwatch.promql.arithmetic import DATE_PARTS, FUNCTIONS, quantile
from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.labelling import label_join, label_replace
from chainwatch.promql.range_windows import Windows
from chainwatch.promql.rows import (
    Floats,
    Ints,
    Row,
    Rows,
    aggregate_rows,
    apply,
    columns,
    combine_rows,
    combine_sets,
    combine_with_numbers,
    gather,
    merge,
    operate,
)
from chainwatch.promql.series import NAME, STALE_BITS, Labels, Series
from chainwatch.promql.signatures import SCALAR, SET_OPERATORS, VECTOR, type_of
from chainwatch.promql.syntax import (
    Aggregation,
    At,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    RangeSelector,
    Selector,
    Subquery,
    Text,
    children,
    walk,
)
from chainwatch.promql.vectors import Vector
from chainwatch.promql.windows import NAMED, WINDOW_FUNCTIONS

if TYPE_CHECKING:
    from chainwatch.promql.evaluation import Evaluation

ELEMENTS_MAX = 500_000
"""Elements that one node may have at the times that are evaluated together."""
TIMES_MIN = 32
"""From so many times on, it is faster to evaluate them together."""

_SPANNED_MAX = 10 * ELEMENTS_MAX
"""Steps of a subquery from its first range to its last one, those between two ranges among them."""
_FAR = 1 << 50
"""Milliseconds, as many of which as an expression can have are added up without overflow."""


def evaluate_together(evaluation: Evaluation, node: Node, times: range) -> Iterator[tuple[Ints, Rows]]:
    """Yield the rows of ``node``, a vector or scalar, at some of the ``times`` after the others.

    Raises ``EvaluationError``.
    """
    size = _times_together(evaluation, node)
    for first in range(0, len(times), size):
        some = np.array(times[first : first + size], np.int64)
        together = Together(evaluation, some)
        with np.errstate(all="ignore"):
            rows = together.number_row(node) if type_of(node) == SCALAR else together.rows(node)
        yield some, rows


def is_faster_together(evaluation: Evaluation, node: Node, times: range) -> bool:
    """Return whether to evaluate ``node`` at the ``times`` together, in one part or several."""
    return (
        len(times) >= TIMES_MIN
        and not _is_for_each_time(node)
        and _are_near(evaluation, node, times)
        and _times_together(evaluation, node) >= TIMES_MIN
    )


def can_be_together(evaluation: Evaluation, node: Node, times: range) -> bool:
    """Return whether to evaluate ``node`` at all of the ``times`` together."""
    return is_faster_together(evaluation, node, times) and len(times) <= _times_together(evaluation, node)


def _times_together(evaluation: Evaluation, node: Node) -> int:
    """Return at how many times ``node`` can be evaluated together, by the widest selector below it."""
    selectors = (one for one in walk(node) if isinstance(one, Selector))
    widest = max((len(evaluation.find(selector)) for selector in selectors), default=1)
    return ELEMENTS_MAX // max(1, widest)


def _is_for_each_time(node: Node) -> bool:
    """Return whether something below ``node`` is evaluated time by time.

    That is what has other elements at each time, so that each would be a row of its own, and what reaches beyond its range.
    """
    return any(
        (isinstance(one, Aggregation) and one.operator == "count_values")
        or (isinstance(one, RangeSelector) and one.extended is not None)
        or (isinstance(one, Selector) and one.smoothed)
        for one in walk(node)
    )


def _are_near(evaluation: Evaluation, node: Node, times: range) -> bool:
    """Return whether the times at which something below ``node`` is looked up are integers of 64 bits."""
    found = [times[0], times[-1], *evaluation.bounds]
    for one in walk(node):
        if isinstance(one, Selector | Subquery):
            found += [one.offset, one.at if isinstance(one.at, int) else 0]
        if isinstance(one, RangeSelector | Subquery):
            found.append(one.range)
        if isinstance(one, Subquery):
            found.append(one.step or evaluation.subquery_step)
    return max(map(abs, found)) < _FAR


class Together:
    """Evaluates nodes at all ``times`` (rising Unix milliseconds). Everything raises ``EvaluationError``."""

    def __init__(self, evaluation: Evaluation, times: Ints) -> None:
        self._evaluation = evaluation
        self._times = times
        self.read: Ints = np.ones(len(times), np.int64)
        """How many samples were read for each time."""

    def number_row(self, node: Node) -> Rows:
        """Return the scalar that ``node`` is at each time as the only row, without labels."""
        return [Row(Labels(), self.numbers(node), np.ones(len(self._times), np.bool_), False)]

    def rows(self, node: Node) -> Rows:
        """Return the vector that ``node`` is at each time."""
        rows = [row for row in self._computed(node) if row.present.any()]
        self._spend(len(rows))
        return rows

    def series(self, rows: Rows) -> Iterator[tuple[Labels, Ints, Floats, bool]]:
        """Yield the times and values of the elements with the same labels, and whether they are unnamed."""
        by_labels: dict[Labels, Rows] = {}
        for row in rows:
            by_labels.setdefault(row.labels, []).append(row)
        for labels, some in by_labels.items():
            values, present = merge(some)
            first = min(some, key=lambda row: int(row.present.argmax()))
            yield labels, self._times[present], values[present], first.unnamed

    def numbers(self, node: Node) -> Floats:
        """Return the scalar that ``node`` is at each time."""
        match node:
            case Number(value=value):
                return np.full(len(self._times), value)
            case Negation(expression=below):
                return -self.numbers(below)
            case Binary(operator=operator, left=left, right=right):
                return operate(operator, self.numbers(left), self.numbers(right))
            case Call(function="scalar", arguments=(below,)):
                rows = self.rows(below)
                numbers, there = np.full(len(self._times), np.nan), np.zeros(len(self._times), np.int64)
                for row in rows:
                    numbers = np.where(row.present, row.values, numbers)
                    there += row.present
                return np.where(there == 1, numbers, np.nan)
            case _:
                evaluation = self._evaluation
                return np.array(
                    [evaluation.number_apart(node, at) for at in self._times.tolist()], np.float64
                )

    def _spend(self, samples: int | Ints) -> None:
        """Count samples at each time. Raises ``LimitExceeded``."""
        before = int(self.read.sum())
        self.read += samples
        self._evaluation.spend_together(int(self.read.max()), int(self.read.sum()) - before)

    def _computed(self, node: Node) -> Rows:
        match node:
            case Selector():
                return self._selected(node)
            case Negation(expression=below):
                return [Row(row.labels, -row.values, row.present, True) for row in self.rows(below)]
            case Binary():
                return self._binary(node)
            case Aggregation():
                return self._aggregated(node)
            case Call():
                return self._called(node)
            case _:
                raise AssertionError(f"{node} is no vector")

    def _each(self, node: Node, *known: Rows) -> Rows:
        """Return what ``node`` is at each time by itself; ``known``: the rows of the vectors directly below it."""
        below = [child for child in children(node) if type_of(child) == VECTOR]
        rows = known or [self.rows(child) for child in below]
        vectors = [columns(some, len(self._times)) for some in rows]

        def evaluated() -> Iterator[Vector]:
            for index, at in enumerate(self._times.tolist()):
                given = {id(child): some[index] for child, some in zip(below, vectors, strict=True)}
                before = self._evaluation.spent
                yield self._evaluation.vector_over(node, at, given)
                self.read[index] += self._evaluation.spent - before

        return gather(evaluated(), len(self._times))

    # Selectors

    def _moments(self, pinned: At, offset: int) -> Ints:
        if pinned is None:
            return self._times - offset
        return np.full(len(self._times), self._evaluation.moment(0, pinned, offset), np.int64)

    def _selected(self, node: Selector, *, of_times: bool = False) -> Rows:
        """Return the values at each time; or, with ``of_times``, the times of their samples in seconds."""
        ends = self._moments(node.at, node.offset)
        oldest = ends - self._evaluation.look_back
        found = self._evaluation.find(node)
        self._spend(len(found) + 1)
        rows = []
        for series in found:
            self._evaluation.check_time()
            times, values = _samples(series, int(oldest.min()), int(ends.max()))
            if not len(times):
                continue
            index = np.searchsorted(times, ends, "right") - 1
            present = (index >= 0) & (times[index] > oldest)
            if series.ends:
                present &= values.view(np.int64)[index] != STALE_BITS
            rows.append(
                Row(series.labels, times[index] / 1000 if of_times else values[index], present, of_times)
            )
        return rows

    def _windows(self, node: Node) -> Iterable[tuple[Labels, Windows, bool]] | None:
        """Return the ranges of each series that ``node`` has; None where there are too many to have them together."""
        if isinstance(node, Subquery):
            return self._subquery(node)
        assert isinstance(node, RangeSelector)
        return self._selected_windows(node)

    def _selected_windows(self, node: RangeSelector) -> Iterator[tuple[Labels, Windows, bool]]:
        ends = self._moments(node.selector.at, node.selector.offset)
        starts = ends - node.range
        found = self._evaluation.find(node.selector)
        self._spend(len(found) + 1)
        for series in found:
            times, values = _samples(series, int(starts.min()), int(ends.max()))
            if series.ends:
                kept = values.view(np.int64) != STALE_BITS
                times, values = times[kept], values[kept]
            if len(times):
                windows = Windows(times, values, starts, ends)
                self._spend(windows.counts)
                yield series.labels, windows, False

    def _subquery(self, node: Subquery) -> list[tuple[Labels, Windows, bool]] | None:
        ends = self._moments(node.at, node.offset)
        starts = ends - node.range
        step = node.step or self._evaluation.subquery_step
        firsts = (starts // step + 1) * step
        longest = int(np.argmax(ends - firsts))
        self._evaluation.check_steps(int(firsts[longest]), int(ends[longest]), step)
        if int(ends.max() - firsts.min()) // step > _SPANNED_MAX:
            return None
        times = np.arange(int(firsts.min()), int(ends.max()) + 1, step, dtype=np.int64)
        # what lies between two ranges is not evaluated
        times = times[starts[np.searchsorted(ends, times)] < times]
        if not 0 < len(times) <= _times_together(self._evaluation, node.expression):
            return None
        inner = Together(self._evaluation, times)
        rows = inner.rows(node.expression)
        read = np.concatenate(([0], np.cumsum(inner.read)))
        self._spend(
            read[np.searchsorted(times, ends, "right")] - read[np.searchsorted(times, starts, "right")]
        )
        return [
            (labels, Windows(some, values, starts, ends), unnamed)
            for labels, some, values, unnamed in inner.series(rows)
        ]

    # Operators and functions

    def _binary(self, node: Binary) -> Rows:
        if type_of(node.right) == SCALAR:
            rows = self.rows(node.left)
            return combine_with_numbers(node, rows, self.numbers(node.right), numbers_first=False)
        if type_of(node.left) == SCALAR:
            numbers = self.numbers(node.left)
            return combine_with_numbers(node, self.rows(node.right), numbers, numbers_first=True)
        left, right = self.rows(node.left), self.rows(node.right)
        if node.operator in SET_OPERATORS:
            return combine_sets(node, left, right)
        found = combine_rows(node, left, right)
        return self._each(node, left, right) if found is None else found

    def _aggregated(self, node: Aggregation) -> Rows:
        rows = self.rows(node.expression)
        found = None
        if node.parameter is None:
            found = aggregate_rows(node, rows)
        elif node.operator == "quantile" and isinstance(node.parameter, Number):
            share = node.parameter.value
            if self._evaluation.notes is not None:
                self._evaluation.notes.quantile(share, node.start)
            found = aggregate_rows(node, rows, lambda values: quantile(share, values))
        return self._each(node, rows) if found is None else found

    def _called(self, node: Call) -> Rows:
        name, arguments = node.function, node.arguments
        if name in WINDOW_FUNCTIONS:
            return self._over_windows(node)
        if name == "vector":
            return self.number_row(arguments[0])
        if name in ("label_replace", "label_join"):
            return self._relabelled(node)
        if name == "timestamp" and isinstance(arguments[0], Selector):
            return self._selected(arguments[0], of_times=True)
        of_value = FUNCTIONS.get(name) or DATE_PARTS.get(name)
        if of_value is None or not arguments:
            return self._each(node)
        return apply(of_value, self.rows(arguments[0]))

    def _over_windows(self, node: Call) -> Rows:
        windows = self._windows(node.arguments[0])
        if windows is None:
            return self._each(node)
        rows = []
        for labels, some, unnamed in windows:
            self._evaluation.check_time()
            values, present = some.compute(node.function, self._evaluation.check_time)
            rows.append(Row(labels, values, present, unnamed or node.function not in NAMED))
        if self._evaluation.notes is not None and node.function in ("rate", "increase"):
            names = (row.labels.get(NAME) for row in rows if row.present.any())
            self._evaluation.notes.counters(names, node.starts[0])
        return rows

    def _relabelled(self, node: Call) -> Rows:
        """Return the rows with the labels of ``label_replace`` or ``label_join``."""
        rows = self.rows(node.arguments[0])
        texts = [argument.value for argument in node.arguments[1:] if isinstance(argument, Text)]
        places: Vector = [(row.labels, float(index), row.unnamed) for index, row in enumerate(rows)]
        try:
            if node.function == "label_join":
                places = label_join(places, texts[0], texts[1], texts[2:])
            else:
                target, replacement, source, pattern = texts
                places = label_replace(places, target, replacement, source, pattern, self._spend)
        except EvaluationError:
            return self._each(node, rows)  # there may be times at which nothing is wrong
        return [
            Row(labels, rows[int(index)].values, rows[int(index)].present, unnamed)
            for labels, index, unnamed in places
        ]


def _samples(series: Series, start: int, end: int) -> tuple[Ints, Floats]:
    """Return the samples later than ``start`` and not later than ``end``."""
    times, values = series.samples
    if not times or times[0] > start:
        times, values = series.reaching(start)
    first, after = bisect_right(times, start), bisect_right(times, end)
    return np.array(times[first:after], np.int64), np.array(values[first:after], np.float64)
