"""Queries over the samples that are stored, for commands, which have the database but not the samples in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from chainwatch.operations.context import Context
from chainwatch.operations.errors import Invalid
from chainwatch.promql.errors import PromqlError
from chainwatch.promql.numbers import format_float
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Matrix, Scalar, String, Vector, evaluate, evaluate_range
from chainwatch.promql.series import Series
from chainwatch.rule_engine.sample_restoring import restore
from chainwatch.tsdb.tsdb import Tsdb

STEPS = 100
"""Steps of a range where no step is given."""


class ResultPoint(msgspec.Struct, frozen=True):
    """A value, as text as it may be ``NaN`` or ``+Inf``, at a time (Unix seconds)."""

    at: float
    value: str


class ResultSeries(msgspec.Struct, frozen=True):
    """An element of a result with its labels."""

    labels: Mapping[str, str]
    points: Sequence[ResultPoint]


class QueryResult(msgspec.Struct, frozen=True):
    """The result of a query. ``type``: ``vector``, ``matrix``, ``scalar`` or ``string``, whose one point has the text."""

    type: str
    series: Sequence[ResultSeries]


def evaluate_stored(
    connection: sa.Connection,
    context: Context,
    now: float,
    query: str,
    at: float | None = None,
    range: float | None = None,
    step: float | None = None,
) -> QueryResult:
    """Return the result of ``query`` at a time (Unix seconds; by default now), over the samples that are stored.

    With ``range`` (seconds): the results over so long before that time, every ``step``. Raises ``Invalid``.
    """
    end = round((now if at is None else at) * 1000)
    every = step if step is not None else None if range is None else max(range / STEPS, 0.001)
    try:
        parsed = parse(query)
    except PromqlError as error:
        raise Invalid(f"query: {error}") from None
    default_step = round(context.settings.evaluation.interval * 1000)
    samples = Tsdb()
    samples.restore(restore(connection).series)
    try:
        if range is None:
            return _result(evaluate(parsed, samples, end, subquery_step=default_step), end)
        assert every is not None
        return _result(
            evaluate_range(
                parsed,
                samples,
                end - round(range * 1000),
                end,
                round(every * 1000),
                subquery_step=default_step,
            ),
            end,
        )
    except PromqlError as error:
        raise Invalid(f"query: {error}") from None


def _result(result: Vector | Scalar | String | Matrix, at: int) -> QueryResult:
    match result:
        case Scalar(value=value):
            return QueryResult("scalar", [ResultSeries({}, [_point(at, value)])])
        case String(value=text):
            return QueryResult("string", [ResultSeries({}, [ResultPoint(at / 1000, text)])])
        case Vector(samples=samples):
            rows = [ResultSeries(dict(labels.pairs), [_point(at, value)]) for labels, value in samples]
            return QueryResult("vector", rows)
        case Matrix(series=series):
            return QueryResult("matrix", [_series(one) for one in sorted(series, key=lambda one: one.labels)])


def _series(series: Series) -> ResultSeries:
    points = [_point(at, value) for at, value in zip(series.times, series.values, strict=True)]
    return ResultSeries(dict(series.labels.pairs), points)


def _point(at: int, value: float) -> ResultPoint:
    return ResultPoint(at / 1000, format_float(value))
