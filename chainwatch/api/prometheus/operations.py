"""What clients ask of the database of samples, as functions that run in threads. Times are Unix milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from chainwatch.api.prometheus.answers import Refused, Result, encode, labels_json, query_data, success
from chainwatch.api.prometheus.budget import LISTED_MAX, POINTS_MAX, Budget
from chainwatch.api.prometheus.parameters import invalid
from chainwatch.promql.errors import ParseError, PromqlError, TimedOut
from chainwatch.promql.evaluation import Evaluation
from chainwatch.promql.notes import Notes
from chainwatch.promql.parser import Query
from chainwatch.promql.queries import Matrix, Vector, evaluate_range_with, evaluate_with
from chainwatch.promql.resolving import resolve
from chainwatch.promql.syntax import SUBQUERY_STEP, Aggregation, Call, Matcher, Selector, walk
from chainwatch.tsdb.tsdb import Tsdb

TRUNCATED = "results truncated due to limit"
EVERYTHING: tuple[Matcher, ...] = ()
_SORTING = frozenset({"sort", "sort_desc", "sort_by_label", "sort_by_label_desc", "topk", "bottomk"})

T = TypeVar("T")


class Wanted(NamedTuple):
    """A query with what else is asked for: ``limit`` of series (0: none), statistics.

    ``look_back``, and ``subquery_step`` of subqueries without a step, are in milliseconds.
    """

    query: Query
    look_back: int
    subquery_step: int = SUBQUERY_STEP
    limit: int = 0
    stats: bool = False


def query_at(samples: Tsdb, budget: Budget, wanted: Wanted, at: int) -> bytes:
    """Return the answer to a query at one time. Raises ``Refused``."""
    began = time.monotonic()
    result, evaluation = evaluate_once(samples, budget, wanted, at)
    return _answer(result, wanted, at, evaluation, began)


def query_range(samples: Tsdb, budget: Budget, wanted: Wanted, start: int, end: int, step: int) -> bytes:
    """Return the answer to a query from ``start`` to ``end``, every ``step``. Raises ``Refused``."""
    began = time.monotonic()
    result, evaluation = evaluate_over(samples, budget, wanted, start, end, step)
    return _answer(result, wanted, end, evaluation, began)


def evaluate_once(samples: Tsdb, budget: Budget, wanted: Wanted, at: int) -> tuple[Result, Evaluation]:
    """Return the result at one time, in the order of Prometheus, and its evaluation. Raises ``Refused``."""
    query = resolved(wanted.query, 0, 0)
    evaluation = _refusing(lambda: _evaluation(samples, budget, wanted, at, at))
    result = _refusing(lambda: evaluate_with(evaluation, query, at))
    if isinstance(result, Vector) and not _is_sorted(wanted.query):
        result = Vector(sorted(result.samples))
    elif isinstance(result, Matrix):
        result = Matrix(sorted(result.series, key=lambda series: series.labels))
    return result, evaluation


def evaluate_over(
    samples: Tsdb, budget: Budget, wanted: Wanted, start: int, end: int, step: int
) -> tuple[Matrix, Evaluation]:
    """Return the results from ``start`` to ``end``, and its evaluation. Raises ``Refused``."""
    query = resolved(wanted.query, step, end - start)
    evaluation = _refusing(lambda: _evaluation(samples, budget, wanted, start, end))
    result = _refusing(
        lambda: evaluate_range_with(evaluation, query, start, end, step, points_max=POINTS_MAX)
    )
    return result, evaluation


def resolved(query: Query, step: int, length: int) -> Query:
    """Return the query with the durations that its step and range (milliseconds) decide. Raises ``Refused``."""
    try:
        return resolve(query, step, length)
    except ParseError as error:
        raise invalid("query", str(error)) from None


def list_series(
    samples: Tsdb, matcher_sets: Sequence[tuple[Matcher, ...]], start: int, end: int, limit: int
) -> bytes:
    """Return the labels of the series that pass."""
    found, warnings = _limited(_refusing(lambda: samples.series(matcher_sets, start, end)), limit)
    return success(b"[" + b",".join(map(labels_json, found)) + b"]", warnings)


def list_names(
    samples: Tsdb, matcher_sets: Sequence[tuple[Matcher, ...]], start: int, end: int, limit: int
) -> bytes:
    """Return the names of labels."""
    found, warnings = _limited(
        _refusing(lambda: samples.label_names(matcher_sets or [EVERYTHING], start, end)), limit
    )
    return success(encode(found), warnings)


def list_values(
    samples: Tsdb, name: str, matcher_sets: Sequence[tuple[Matcher, ...]], start: int, end: int, limit: int
) -> bytes:
    """Return the values of a label."""
    found, warnings = _limited(
        _refusing(lambda: samples.label_values(name, matcher_sets or [EVERYTHING], start, end)), limit
    )
    return success(encode(found), warnings)


def list_metadata(samples: Tsdb, metric: str, limit: int) -> bytes:
    """Return what is known of metrics, by their names: type, help and unit."""
    found: dict[str, list[dict[str, Any]]] = {
        name: [{"type": one.type, "unit": one.unit, "help": one.help}]
        for name, one in samples.metadata(metric or None, limit or None).items()
    }
    return success(encode(found))


def _evaluation(samples: Tsdb, budget: Budget, wanted: Wanted, start: int, end: int) -> Evaluation:
    if not budget.left:
        raise Refused("timeout", "query timed out in query queue")
    limits, until = budget.limits, time.monotonic() + budget.left

    def check() -> None:
        if budget.clock() > until:
            raise TimedOut("the selectors take longer than there is time")

    selections = [node.matchers for node in walk(wanted.query.root) if isinstance(node, Selector)]
    return Evaluation(
        samples.snapshot(selections, limits.series, check),
        start,
        end,
        look_back=wanted.look_back,
        subquery_step=wanted.subquery_step,
        limits=limits,
        clock=budget.clock,
        notes=Notes(),
    )


def _refusing(evaluate: Callable[[], T]) -> T:
    """Return what ``evaluate`` returns, its errors as ``Refused``."""
    try:
        return evaluate()
    except TimedOut:
        raise Refused("timeout", "query timed out in expression evaluation") from None
    except PromqlError as error:
        raise Refused("execution", str(error)) from None


def _answer(result: Result, wanted: Wanted, at: int, evaluation: Evaluation, began: float) -> bytes:
    evaluated = time.monotonic()
    warnings: Sequence[str] = ()
    if isinstance(result, Vector):
        kept, warnings = _limited(result.samples, wanted.limit)
        result = Vector(kept)
    elif isinstance(result, Matrix):
        series, warnings = _limited(result.series, wanted.limit)
        result = Matrix(series)
    stats = None
    if wanted.stats:
        stats = {
            "timings": {"evalTotalTime": evaluated - began, "execTotalTime": evaluated - began},
            "samples": {"totalQueryableSamples": evaluation.spent},
        }
    text, notes = wanted.query.text, evaluation.notes or Notes()
    warnings = [*notes.shown("warning", text), *warnings]
    return success(query_data(result, at, stats), warnings, notes.shown("info", text))


def _limited(found: list[T], limit: int) -> tuple[list[T], Sequence[str]]:
    """Return at most ``limit`` (0: as many as an answer may have), with a warning where there are more."""
    most = min(limit or LISTED_MAX, LISTED_MAX)
    return (found[:most], (TRUNCATED,)) if len(found) > most else (found, ())


def _is_sorted(query: Query) -> bool:
    """Return whether the query itself says in which order its result is."""
    return any(
        (isinstance(node, Call) and node.function in _SORTING)
        or (isinstance(node, Aggregation) and node.operator in _SORTING)
        for node in walk(query.root)
    )
