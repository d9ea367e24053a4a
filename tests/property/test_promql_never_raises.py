"""PromQL: any text is a query or a typed error, and any samples give a result or a typed error."""

from __future__ import annotations

import math
import random
from contextlib import suppress

import promql_parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.promql.errors import EvaluationError, LimitExceeded, ParseError
from chainwatch.promql.evaluation import Evaluation, Limits
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Vector, evaluate, evaluate_range, evaluate_range_with
from chainwatch.promql.series import STALE, Labels, MemorySource, Series
from chainwatch.promql.signatures import EXTENDED, PARAMETERS, SIGNATURES
from tests.support.effort import effort_within

_HUGE = [math.nan, math.inf, -math.inf, STALE, 0.0, -0.0, 1e308, -1e308, 5e-324, 1.0, -1.0, 2.5]
_values = st.lists(st.sampled_from(_HUGE) | st.floats(), max_size=12)
_WRITTEN = """a b{c='d'} [5m] [5m:1m] ( ) { } + - * / % ^ == != > < >= <= =~ !~ , by without on ignoring group_left bool
offset @ 1 2.5 1m 1e3 0x1f 'x' "y" and or unless sum rate topk count_values time() inf nan atan2 \\ $ é #"""
_WORDS = _WRITTEN.split()


def _arguments(types: tuple[str, ...]) -> str:
    written = {"instant vector": "a", "range vector": "a[5m]", "scalar": "0.5", "string": '"c"'}
    return ", ".join(written[type_] for type_ in types)


OPERATORS = ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless"]
QUERIES = [
    *(
        f"{name}({_arguments(signature.arguments)})"
        for name, signature in SIGNATURES.items()
        if name != "info"
    ),
    "info(a, {})",
    *(
        f"{name} {grouping} ({_arguments((parameter,)) + ', ' if parameter else ''}a)"
        for name, parameter in PARAMETERS.items()
        for grouping in ("", "by (c)", "without (c)")
    ),
    *(
        f"a {operator} a"
        for operator in [
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "==",
            "!=",
            ">",
            "<",
            ">=",
            "<=",
            "and",
            "or",
            "unless",
        ]
    ),
    *(f"a {operator} 3" for operator in OPERATORS[:-3]),
    "-a",
    "a / on (c) group_left b",
    "sum_over_time(rate(a[2m])[5m:30s])",
    'histogram_quantile(0.9, label_replace(a, "le", "$1", "c", "(.*)"))',
    "predict_linear(a[5m], 1e300)",
    "round(a, 0)",
    "clamp(a, 2, 1)",
    "topk(1e300, a)",
    "a @ -1 offset -1h",
    "a offset 290000000y",
    "rate(a[290000000y] offset -290000000y)",
    "a @ -9000000000000000",
    "sum_over_time(rate(a[1m] offset -290000000y)[10m:1s] offset 290000000y)",
    "sum_over_time(a[10m:290000000y])",
    "sum_over_time(a[max_of(step(), 290000000y)] offset -(range() - 290000000y))",
    "sum_over_time(sum_over_time(a[2m:1s] @ end())[2m:1s] offset 145000000y)",
    "a smoothed offset -290000000y",
    "a smoothed @ -9000000000000000",
    *(f"{name}(a[30s] {how})" for how, names in EXTENDED.items() for name in names),
    "rate(a[290000000y] smoothed)",
    "increase(a[290000000y] anchored offset 290000000y)",
    "a - on (c) fill_left(1e308) fill_right(-Inf) b",
    "info(a @ -9000000000000000, {__name__='b'})",
]


@settings(max_examples=400, deadline=None)
@given(text=st.sampled_from(QUERIES), values=st.lists(_values, min_size=1, max_size=4))
def test_any_samples_give_a_result(text: str, values: list[list[float]]) -> None:
    _evaluate(text, values)


def test_the_worst_samples_give_a_result() -> None:
    for text in QUERIES:
        _evaluate(text, [_HUGE, _HUGE[::-1], [1e308] * 12, [-math.inf, math.inf] * 6])


def _evaluate(text: str, values: list[list[float]]) -> None:
    series = [
        Series(
            Labels({"__name__": "ab"[index % 2], "c": str(index // 2)}),
            range(0, 20_000 * len(row), 20_000),
            row,
        )
        for index, row in enumerate(values)
    ]
    for at in (0, 100_000):
        try:
            result = evaluate(parse(text), MemorySource(series), at)
        except EvaluationError:
            continue
        if isinstance(result, Vector):
            labels = [sample.labels for sample in result.samples]
            assert len(labels) == len(set(labels))
    with suppress(EvaluationError):
        evaluate_range(parse(text), MemorySource(series), 0, 120_000, 60_000)
    for start in (0, -(1 << 62)):
        with suppress(EvaluationError):
            evaluate_range(parse(text), MemorySource(series), start, start + 120_000, 3_000)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join))
def test_any_text_is_a_query_or_an_error_with_its_place(text: str) -> None:
    error = _error(text)
    assert error is None or 1 <= error.line <= text.count("\n") + 1
    assert error is None or 1 <= error.column <= len(text) + 1


def _error(text: str) -> ParseError | None:
    try:
        parse(text)
    except ParseError as error:
        return error
    return None


_DIFFERENT = ("$", "\\", "é", "#", "@", "0x1f", "inf", "nan")
"""Words that promql-parser reads in another way than Prometheus does, or refuses with a panic."""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([word for word in _WORDS if word not in _DIFFERENT]), max_size=9).map(" ".join)
)
def test_takes_what_another_parser_takes(text: str) -> None:
    try:
        promql_parser.parse(text)
        other = True
    except ValueError:
        other = False
    assert (_error(text) is None) == other


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_series_does_not_matter(order: random.Random) -> None:
    series = [
        Series(
            Labels({"__name__": "a", "c": str(index % 3), "d": str(index)}),
            [0, 30_000],
            [1e100 * index, index + 0.1],
        )
        for index in range(12)
    ]
    shuffled = order.sample(series, len(series))
    for text in (
        "sum by (c) (a)",
        "avg(a)",
        "topk(3, a)",
        "rate(a[2m])",
        "a / on (d) a",
        "count_values by (c) ('x', a)",
    ):
        first, second = (evaluate(parse(text), MemorySource(one), 60_000) for one in (series, shuffled))
        assert isinstance(first, Vector)
        assert isinstance(second, Vector)
        assert sorted(first.samples) == sorted(second.samples)


def test_the_samples_of_a_range_are_limited_for_each_time_alone() -> None:
    times = range(0, 600_000, 1000)
    evaluation = Evaluation(
        MemorySource([Series(Labels({"__name__": "a"}), times, times)]),
        0,
        600_000,
        limits=Limits(samples=100),
    )
    (series,) = evaluate_range_with(evaluation, parse("rate(a[1m])"), 1000, 600_000, 1000).series
    assert len(series.times) == 600
    assert evaluation.spent > 30_000


def test_limits_cut_off() -> None:
    source = MemorySource(
        Series(Labels({"__name__": "a", "c": str(index)}), range(0, 600_000, 1000), range(600))
        for index in range(50)
    )
    query = parse("sum(rate(a[10m]))")
    evaluate(query, source, 600_000)
    with pytest.raises(LimitExceeded, match="more than 1,000 samples"):
        evaluate(query, source, 600_000, limits=Limits(samples=1000))
    with pytest.raises(LimitExceeded, match="more than 10 series"):
        evaluate(query, source, 600_000, limits=Limits(series=10))
    with pytest.raises(LimitExceeded, match="more than 5 steps"):
        evaluate(parse("sum_over_time(a[10m:1s])"), source, 600_000, limits=Limits(steps=5))
    with pytest.raises(LimitExceeded, match="more than 5 steps"):
        evaluate_range(query, source, 0, 600_000, 1000, limits=Limits(steps=5))
    with pytest.raises(LimitExceeded, match="more than 1,000 samples"):
        evaluate_range(query, source, 0, 600_000, 100_000, limits=Limits(samples=1000))
    seconds = iter(range(1000))
    with pytest.raises(LimitExceeded, match="longer than 5 seconds"):
        evaluate_range(
            query, source, 0, 600_000, 1000, limits=Limits(seconds=5), clock=lambda: float(next(seconds))
        )
    seconds = iter(range(1000))
    with pytest.raises(LimitExceeded, match="longer than 1 seconds"):
        evaluate(query, source, 600_000, limits=Limits(seconds=1), clock=lambda: float(next(seconds)))


@pytest.mark.parametrize(
    "text", ["(" * 5000 + "1" + ")" * 5000, "1" + "+1" * 5000, "-" * 60_000 + "1", "a" * 70_000]
)
def test_deep_and_long_queries_are_refused_or_read_at_once(text: str) -> None:
    error = _error(text)
    if error is None:
        evaluate(parse(text), MemorySource(), 0)
    else:
        assert "nested" in str(error) or "longer" in str(error)


def test_no_pattern_takes_long() -> None:
    source = MemorySource(
        Series(Labels({"__name__": "a", "c": "a" * 100 + str(index)}), [0], [1]) for index in range(50)
    )
    with effort_within(5):
        wide = "(a*)*" * 5000
        evaluate(parse(f'a{{c=~"{wide}"}}'), source, 0)
        with pytest.raises(EvaluationError, match="longer than 1,000 characters"):
            evaluate(parse(f'label_replace(a, "d", "$1", "c", "{wide}")'), source, 0)
        with pytest.raises(EvaluationError, match="more than 50 groups"):
            evaluate(parse(f'label_replace(a, "d", "$1", "c", "{"(a*)" * 51}")'), source, 0)
