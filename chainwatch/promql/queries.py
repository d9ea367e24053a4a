"""The evaluation of a query: at one time, or over a range of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from chainwatch.promql.errors import EvaluationError, LimitExceeded
from chainwatch.promql.evaluation import LOOK_BACK, Evaluation, Limits
from chainwatch.promql.parser import Query
from chainwatch.promql.ranges import evaluate_together, is_faster_together
from chainwatch.promql.resolving import resolve
from chainwatch.promql.rows import Ints, Rows, merge
from chainwatch.promql.series import METADATA, Labels, Series, Source
from chainwatch.promql.signatures import RANGE, SCALAR, TEXT
from chainwatch.promql.syntax import SUBQUERY_STEP, Subquery, Text, walk
from chainwatch.promql.vectors import Vector as Elements

POINTS_MAX = 50_000_000
"""The most samples in the result of a range query, by default."""


class Sample(NamedTuple):
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Vector:
    """At most one sample for each set of labels, all at one time."""

    samples: list[Sample]


@dataclass(frozen=True, slots=True)
class Scalar:
    value: float


@dataclass(frozen=True, slots=True)
class String:
    value: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Series of samples over time, each with other labels."""

    series: list[Series]


def evaluate(
    query: Query,
    source: Source,
    at: int,
    *,
    look_back: int = LOOK_BACK,
    subquery_step: int = SUBQUERY_STEP,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    clock: Callable[[], float] = time.monotonic,
) -> Vector | Scalar | String | Matrix:
    """Return the result of ``query`` at the time ``at`` (Unix milliseconds). Raises ``EvaluationError``.

    A sample counts for ``look_back`` milliseconds where none follows; subqueries without a step are evaluated every
    ``subquery_step`` milliseconds; ``limits`` bound the work, ``clock`` (seconds, monotonic) its time.
    """
    return evaluate_with(
        Evaluation(
            source, at, at, look_back=look_back, subquery_step=subquery_step, limits=limits, clock=clock
        ),
        query,
        at,
    )


def evaluate_with(evaluation: Evaluation, query: Query, at: int) -> Vector | Scalar | String | Matrix:
    """Return the result of ``query`` at ``at`` by an evaluation that several queries share.

    Raises ``EvaluationError``, and ``ParseError`` where a duration that depends on the range of time is none.
    """
    start, end = evaluation.bounds
    query = resolve(query, evaluation.step, end - start)
    if query.type == TEXT:
        assert isinstance(query.root, Text)
        return String(query.root.value)
    if query.type == SCALAR:
        return Scalar(evaluation.number(query.root, at))
    if query.type == RANGE:
        windows = evaluation.windows(query.root, at)
        return Matrix(
            _distinct_series(
                [
                    Series(labels.drop(METADATA) if unnamed else labels, window.times, window.values)
                    for labels, window, unnamed in windows
                ]
            )
        )
    return Vector(_named(evaluation.vector(query.root, at)))


def evaluate_range(
    query: Query,
    source: Source,
    start: int,
    end: int,
    step: int,
    *,
    look_back: int = LOOK_BACK,
    subquery_step: int = SUBQUERY_STEP,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    clock: Callable[[], float] = time.monotonic,
) -> Matrix:
    """Return the results of ``query`` from ``start`` to ``end`` every ``step``, all in milliseconds, by labels.

    Raises ``EvaluationError``, also for a query whose result is neither a vector nor a scalar.
    """
    evaluation = Evaluation(
        source, start, end, look_back=look_back, subquery_step=subquery_step, limits=limits, clock=clock
    )
    return evaluate_range_with(evaluation, query, start, end, step)


def evaluate_range_with(
    evaluation: Evaluation, query: Query, start: int, end: int, step: int, *, points_max: int = POINTS_MAX
) -> Matrix:
    """Return the same by an evaluation from ``start`` to ``end`` that no other query shares.

    Raises ``EvaluationError``, also for more than ``points_max`` samples in the result, and ``ParseError`` as
    ``evaluate_with`` does.
    """
    if query.type in (TEXT, RANGE):
        raise EvaluationError(
            f"invalid expression type {query.type!r} for range query, must be scalar or instant vector"
        )
    limits = evaluation.limits
    if step <= 0 or (end - start) // step >= limits.steps:
        raise LimitExceeded(f"a range query has more than {limits.steps:,} steps")
    query = resolve(query, step, end - start)
    evaluation.step = step
    evaluation.share(
        frozenset(id(node.expression) for node in walk(query.root) if isinstance(node, Subquery))
    )
    result = _Result(points_max)
    times = range(start, end + 1, step)
    if is_faster_together(evaluation, query.root, times):
        for some, rows in evaluate_together(evaluation, query.root, times):
            result.add_rows(some, rows)
        return result.matrix()
    for at in times:
        evaluation.begin_step()
        evaluation.spend(1)
        if query.type == SCALAR:
            result.add(at, [Sample(Labels(), evaluation.number(query.root, at))])
        else:
            result.add(at, _named(evaluation.vector(query.root, at)))
    return result.matrix()


class _Result:
    """Collects the result of a range query. Raises ``EvaluationError`` for too many samples, and for duplicates."""

    def __init__(self, points_max: int) -> None:
        self._points_max = points_max
        self._points = 0
        self._series: dict[Labels, Series] = {}

    def add(self, at: int, samples: list[Sample]) -> None:
        """Add the results at one time, later than those before."""
        self._count(len(samples))
        for labels, value in samples:
            self._of(labels).append(at, value)

    def add_rows(self, times: Ints, rows: Rows) -> None:
        """Add the results at several times, later than those before."""
        by_labels: dict[Labels, Rows] = {}
        for row in rows:
            by_labels.setdefault(row.labels.drop(METADATA) if row.unnamed else row.labels, []).append(row)
        for labels, some in by_labels.items():
            values, present = merge(some)
            self._count(int(present.sum()))
            self._of(labels).extend(times[present].tobytes(), values[present].tobytes())

    def matrix(self) -> Matrix:
        return Matrix(sorted(self._series.values(), key=lambda series: series.labels))

    def _count(self, points: int) -> None:
        self._points += points
        if self._points > self._points_max:
            raise LimitExceeded(f"the result has more than {self._points_max:,} samples")

    def _of(self, labels: Labels) -> Series:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = Series(labels)
        return series


def _named(elements: Elements) -> list[Sample]:
    """Return a final result: names dropped where they are to be. Raises ``EvaluationError`` for duplicates."""
    if not elements:
        return []
    samples = [
        Sample(labels.drop(METADATA) if unnamed else labels, value) for labels, value, unnamed in elements
    ]
    if len(samples) > 1 and len({labels for labels, _ in samples}) < len(samples):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    return samples


def _distinct_series(series: list[Series]) -> list[Series]:
    if len({one.labels for one in series}) < len(series):
        raise EvaluationError("vector cannot contain metrics with the same labelset")
    return series
