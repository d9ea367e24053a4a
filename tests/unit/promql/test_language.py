"""What is refused by name, where errors are, and what Prometheus' own test files here do not cover."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from chainwatch.promql import arithmetic, series
from chainwatch.promql.arithmetic import least, most, variance
from chainwatch.promql.errors import EvaluationError, LimitExceeded, ParseError, Unsupported
from chainwatch.promql.evaluation import Limits
from chainwatch.promql.notation import parse_labels, parse_values
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Matrix, Scalar, Vector, evaluate, evaluate_range
from chainwatch.promql.resolving import parse_instant, resolve
from chainwatch.promql.series import Labels, MemorySource, Series
from chainwatch.promql.xxhash import xxh64
from tests.support.effort import effort_within

_SERIES = {
    'up{job="a",instance="1"}': "1 2 3 4 5 6 7 8 9 10",
    'up{job="a",instance="2"}': "1 1 2 2 NaN 3 3 0 1 2",
    'h_bucket{le="-1"}': "1x9",
    'h_bucket{le="0.5"}': "4x9",
    'h_bucket{le="1"}': "4x9",
    'h_bucket{le="2"}': "8x9",
    'h_bucket{le="+Inf"}': "10x9",
    'h_bucket{le="nonsense"}': "99x9",
    'v{n="v2"}': "1x9",
    'v{n="v10"}': "1x9",
    'v{n="v1"}': "1x9",
}
_AT = 9 * 60_000


@pytest.fixture(scope="module")
def source() -> MemorySource:
    source = MemorySource()
    for name, values in _SERIES.items():
        for index, value in enumerate(parse_values(values)):
            if value is not None:
                source.append(parse_labels(name), index * 60_000, value)
    return source


def _vector(text: str, source: MemorySource) -> dict[str, float]:
    result = evaluate(parse(text), source, _AT)
    assert isinstance(result, Vector)
    return {repr(labels): value for labels, value in result.samples}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('first_over_time(up{instance="1"}[3m])', {'up{instance="1", job="a"}': 8.0}),
        ('mad_over_time(up{instance="1"}[5m])', {'{instance="1", job="a"}': 1.0}),
        ('ts_of_max_over_time(up{instance="2"}[9m])', {'{instance="2", job="a"}': 360.0}),
        ('ts_of_min_over_time(up{instance="2"}[9m])', {'{instance="2", job="a"}': 420.0}),
        ('ts_of_first_over_time(up{instance="2"}[3m])', {'{instance="2", job="a"}': 420.0}),
        ('ts_of_last_over_time(up{instance="2"}[3m])', {'{instance="2", job="a"}': 540.0}),
        ('changes(up{instance="2"}[9m])', {'{instance="2", job="a"}': 6.0}),
        ("histogram_quantile(0.5, h_bucket)", {"{}": 1.25}),
        ("histogram_quantile(0.01, h_bucket)", {"{}": -1.0}),
        ("histogram_quantile(0.99, h_bucket)", {"{}": 2.0}),
        ("histogram_fraction(-Inf, 2, h_bucket)", {"{}": 0.8}),
        ("histogram_fraction(1, 1.5, h_bucket)", {"{}": 0.2}),
        ("histogram_fraction(2, 1, h_bucket)", {"{}": 0.0}),
        ('histogram_quantiles(h_bucket, "q", 1, 0.5)', {'{q="1.0"}': 2.0, '{q="0.5"}': 1.25}),
        ("limitk(2, v)", {'v{n="v2"}': 1.0, 'v{n="v10"}': 1.0}),
        (
            "limit_ratio(0.5, v) or limit_ratio(-0.5, v)",
            {'v{n="v2"}': 1.0, 'v{n="v10"}': 1.0, 'v{n="v1"}': 1.0},
        ),
        ("limit_ratio(0.5, v) and limit_ratio(-0.5, v)", {}),
        ("-v < 0 and up", {}),
        ('sum by (__name__) (rate({job="a", instance="1"}[5m])) > 1', {}),
        ("vector(1_000.5) + 0x_1f", {"{}": 1031.5}),
        ("vector(1h30m)", {"{}": 5400.0}),
        ('label_replace(v{n="v1"}, "__name__", "w", "", "")', {'w{n="v1"}': 1.0}),
        ('label_replace(-v{n="v1"}, "x", "${n}$$$1", "n", "(?P<n>v)(.*)")', {'{n="v1", x="v$v"}': -1.0}),
        ("clamp_min(vector(NaN), Inf)", {"{}": math.inf}),
        ("clamp_max(vector(NaN), -Inf)", {"{}": -math.inf}),
        ("year(vector(1e12))", {"{}": 33658.0}),
        ("day_of_week(vector(-62200000000))", {"{}": 4.0}),
        ('absent(none{a=~"x|y",a="x"})', {'{a="x"}': 1.0}),
        ('absent(none{a="x",a=~"x|y",b="c"})', {'{b="c"}': 1.0}),
        ('absent(none{a="x",a="y",a="z"})', {"{}": 1.0}),
        ('abs(v{n="v1"}) >= v', {'{n="v1"}': 1.0}),
        ('v <= on (n) group_right abs(v{n="v1"})', {'{n="v1"}': 1.0}),
        ("topk(-1e300, v)", {}),
        ("vector(010) + 0_17", {"{}": 23.0}),
        ("vector(019)", {"{}": 19.0}),
        (f"vector(0{'7' * 30}) == bool {'7' * 30}", {"{}": 1.0}),
        (f"vector(0{'7' * 400})", {"{}": math.inf}),
        ('--v{n="v1"}', {'{n="v1"}': 1.0}),
        ('---v{n="v1"}', {'{n="v1"}': -1.0}),
        ('+v{n="v1"} + 0 * --1', {'{n="v1"}': 1.0}),
        ('+v{n="v1"}', {'v{n="v1"}': 1.0}),
        ('count_values without (n) ("n", v)', {"{}": 3.0}),
        ('count_values by (__name__) ("n", -v{n="v1"})', {'v{n="-1"}': 1.0}),
        ("double_exponential_smoothing(none[5m], 2, 0.5)", {}),
        ('histogram_quantile(0.5, label_replace(h_bucket{le="+Inf"}, "le", " Inf", "", ""))', {}),
        ('label_replace(v{n="v1"}, "x", "$é.", "n", "(.*)")', {'v{n="v1", x="."}': 1.0}),
    ],
)
def test_gives(text: str, result: dict[str, float], source: MemorySource) -> None:
    assert _vector(text, source) == pytest.approx(result)


def test_sorts_labels_as_people_do(source: MemorySource) -> None:
    assert list(_vector('sort_by_label(v, "n")', source)) == ['v{n="v1"}', 'v{n="v2"}', 'v{n="v10"}']
    assert list(_vector('sort_by_label_desc(v, "n")', source)) == ['v{n="v10"}', 'v{n="v2"}', 'v{n="v1"}']


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('-{n="v1"} + on () group_left -{n=~"v1|v2"}', "found duplicate series"),
        ('label_replace(v, "n", "x", "", "")', "same labelset"),
        ('label_replace(v, "n", "x", "n", "(")', "invalid regular expression"),
        ('label_replace(v, "", "x", "n", "x")', "invalid destination label name"),
        ('label_join(v, "", "x")', "invalid destination label name"),
        (f'label_replace(v, "n", "{"$1" * 600}", "n", "(.*)")', "longer than 1,000 characters"),
        (f'label_join(v, "n", "{"-" * 1001}", "n", "n")', "takes 1,000 labels"),
        ("double_exponential_smoothing(v[5m], 2, 0.5)", "invalid smoothing factor"),
        ("topk(1e300, v)", "overflows int64"),
        ("up + on (job) v", "found duplicate series"),
        ("v * on () v", "many-to-many matching not allowed"),
    ],
)
def test_has_no_result(text: str, reason: str, source: MemorySource) -> None:
    with pytest.raises(EvaluationError, match=reason):
        evaluate(parse(text), source, _AT)


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("sum(rate(up[5m])", 1, 17, "unclosed left parenthesis"),
        ("up\n  + down{a='b'\n  } ) ", 3, 5, 'unexpected ")"'),
        ("up{job=~'('}", 1, 4, 'illegal pattern "(": missing ): ('),
        ("raate(up[5m])", 1, 1, 'unknown function with name "raate"'),
        ("rate(up)", 1, 6, 'expected type range vector in call to function "rate", got instant vector'),
        ("up > bool and down", 1, 15, 'unexpected identifier "down"'),
        ("1 > 2", 1, 3, "comparisons between scalars must use BOOL modifier"),
        ("up and on(a) group_left(b) down", 1, 8, 'no grouping allowed for "and" operation'),
        ("a + on(b) group_left(b) c", 1, 5, 'label "b" must not occur in ON and GROUP clause at once'),
        ("up offset 5m[1m]", 1, 13, "no offset modifiers allowed before range"),
        ("1[5m:]", 1, 1, "subquery is only allowed on instant vector"),
        ('up{a="b" "c"}', 1, 10, "unexpected string"),
        ('"a" + 1', 1, 1, "got string"),
        ("sum(1, 2)", 1, 1, "expected 1 argument"),
        ("round(up, 1, 2)", 1, 1, "expected 1 to 2 argument(s)"),
        ("up[5m", 1, 6, "unexpected end of input in range"),
        ("deriv(up[5m] smoothed)", 1, 7, "can only be used with: delta, increase, rate - not with deriv"),
        (
            "sum_over_time(up[5m] anchored)",
            1,
            15,
            "changes, delta, increase, rate, resets - not with sum_over_time",
        ),
        ("changes(up[5m] smoothed)", 1, 9, "smoothed modifier can only be used with"),
        ("info(up, up + 1)", 1, 10, "expected label selectors only"),
        ("info(up, down offset 5m)", 1, 10, "expected label selectors only"),
        ("info(up, target_info)", 1, 10, "expected label selectors only"),
        ("info(up, ({a='b'}))", 1, 10, "expected label selectors only"),
        ("info(up, {a='b'} offset 5m)", 1, 18, 'unexpected identifier "offset" in arguments'),
        ("info(up, 1)", 1, 10, 'expected type instant vector in call to function "info", got scalar'),
        ("info()", 1, 1, 'expected 1 to 2 argument(s) in call to "info", got 0'),
        ("up anchored", 1, 4, "anchored modifier can only be used with range selectors"),
        ("rate(up[5m:] smoothed)", 1, 14, "smoothed modifier can only be used with selectors"),
        ("rate(up[5m] smoothed anchored)", 1, 22, "anchored and smoothed modifiers cannot be used together"),
        ("rate(up smoothed[5m])", 1, 17, "ranges only allowed for vector selectors"),
        ("sum(up) smoothed", 1, 9, "smoothed modifier can only be used with selectors"),
        ("up + fill(0) 1", 1, 4, "filling in missing series only allowed between instant vectors"),
        ("up + on(a) fill(0) 1", 1, 4, "vector matching only allowed between instant vectors"),
        ("up or fill(0) up", 1, 7, "filling in missing series not allowed for set operators"),
        ("up + fill() up", 1, 11, 'unexpected ")" in fill modifier, expected number'),
        ("up + fill(up) up", 1, 11, 'unexpected identifier "up" in fill modifier, expected number'),
        ("up + fill(1, 2) up", 1, 12, 'unexpected "," in fill modifier, expected ")"'),
        ("up + fill(0) fill_left(1) up", 1, 14, 'unknown function with name "fill_left"'),
        ("up + fill_left(0) fill_left(1) up", 1, 19, 'unknown function with name "fill_left"'),
        ("é", 1, 1, "unexpected character"),
        ("'a", 1, 1, "unterminated quoted string"),
        ("1.2.3", 1, 1, "bad number or duration syntax"),
        ("", 1, 1, "no expression found"),
        ('up{a="\ud800"}', 1, 7, "no UTF-8"),
    ],
)
def test_errors_have_a_place(text: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("histogram_sum(up)", "histogram_sum"),
        ('timeseries_gen("up")', "timeseries_gen"),
        ("up </ 5", "</"),
        ("integral(up[5m])", "integral"),
        ("up[5m] anchored", "anchored"),
        ("max_over_time(up[5m::1m])", "::"),
        ("max_over_time(up[5m::])", "::"),
        ("holt_winters(up[5m], 0.5, 0.5)", "double_exponential_smoothing"),
        ('up{a="b" or c="d"}', "or"),
    ],
)
def test_refuses_by_name_what_it_does_not_support(text: str, name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        parse(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("m[5m + 1m]", "m[6m]"),
        ("m[-5m+35m]", "m[30m]"),
        ("m[2m*(10+5)]", "m[30m]"),
        ("m[1h30m % 1h]", "m[30m]"),
        ("m[1h/2/2]", "m[15m]"),
        ("m[60*30]", "m[30m]"),
        ("m[10 - 4 - 3]", "m[3s]"),
        ("m[2^3^0]", "m[2s]"),
        ("m[-2^2 + 5]", "m[1s]"),
        ("m[(5m)]", "m[5m]"),
        ("m[0.0019 + 0]", "m[1ms]"),
        ("m[29s+1s:5s+5s]", "m[30s:10s]"),
        ("m[1m:2*10] offset (1m - 2m)", "m[1m:20s] offset -1m"),
        ("m offset -(2 * 1m)", "m offset -2m"),
        ("m offset (1m) * 2", "m offset 2m"),
        ("m offset -(1m) * 2", "(m offset -1m) * 2"),
        ("m offset 100 + 2", "(m offset 100) + 2"),
        ("m offset -2 ^ 2", "(m offset -2) ^ 2"),
        ("m[+5m] @ 10", "m[5m] @ 10"),
        ("m[max_of(1m, 2m)]", "m[2m]"),
        ("m[MIN(1m, 2m) * 2:max(5, 3)]", "m[2m:5s]"),
        ("m offset -min_of(1m, 2m) * 2", "(m offset -1m) * 2"),
    ],
)
def test_durations_are_computed(text: str, plain: str) -> None:
    assert parse(text).root == parse(plain).root
    assert not parse(text).is_computed


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("m[step()]", "m[15s]"),
        ("m[STEP() + 1ms]", "m[15001ms]"),
        ("m[1 + (step() - 5) * 2]", "m[21s]"),
        ("m[-step() + range()]", "m[3585s]"),
        ("m[max_of(4 * step(), 30s)] @ 5", "m[1m] @ 5"),
        ("m[min(4 * step(), 30s)]", "m[30s]"),
        ("m[range() / 7]", "m[514285ms]"),
        ("m[range() % 7]", "m[2s]"),
        ("increase(m[step()] anchored)", "increase(m[15s] anchored)"),
        ("m offset step()", "m offset 15s"),
        ("m offset step()^0", "(m offset 15s) ^ 0"),
        ("m offset -step() * 2", "(m offset -15s) * 2"),
        ("m offset (-step() * 2)", "m offset -30s"),
        ("m offset +(step() * 2) * 2", "(m offset 30s) * 2"),
        ("m offset -max_of(step(), 1m)", "m offset -1m"),
        ("m offset (step() - 15) smoothed", "m smoothed"),
        ("m[5m] offset step()", "m[5m] offset 15s"),
        ("max_over_time((-m)[range():step()] offset step())", "max_over_time((-m)[1h:15s] offset 15s)"),
        ("topk(2, -rate(m[step()]) + n) by (a)", "topk(2, -rate(m[15s]) + n) by (a)"),
        ("quantile(scalar(m offset step()), n)", "quantile(scalar(m offset 15s), n)"),
    ],
)
def test_durations_that_depend_on_the_query_are_resolved(text: str, plain: str) -> None:
    query = parse(text)
    assert query.is_computed
    resolved = resolve(query, 15_000, 3_600_000)
    assert resolved == replace(query, root=parse(plain).root, is_computed=False)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("m[step()]", 3, "duration must be greater than 0 (step() is 0s, range() is 0s)"),
        ("m[1m:range()]", 6, "duration must be greater than 0"),
        ("n + rate(m[1m - step() * 2 - 1m])", 12, "duration must be greater than 0"),
        ("m offset (1m / step())", 11, "division by zero"),
        ("m offset (1m % range())", 11, "modulo by zero"),
        ("m offset (2 ^ (9 ^ (2 + step())) ^ 2)", 11, "duration is out of range"),
        ("m[9 ^ (18 + step())]", 3, "duration is out of range"),
    ],
)
def test_durations_that_are_none_for_a_query_are_refused(text: str, column: int, reason: str) -> None:
    query = parse(text)
    for evaluation in (lambda: evaluate(query, MemorySource([]), 0), lambda: parse_instant(text)):
        with pytest.raises(ParseError) as caught:
            evaluation()
        assert (caught.value.line, caught.value.column) == (1, column)
        assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("m[5m - 5m]", 3, "duration must be greater than 0"),
        ("m[5m / 0]", 6, "division by zero"),
        ("m[5m % (1 - 1)]", 6, "modulo by zero"),
        ("m[9^9^9]", 3, "duration is out of range"),
        ("m[(-1)^0.5]", 3, "duration is out of range"),
        ("m[5m + up]", 8, 'unexpected identifier "up" in range, expected number or duration'),
        ("m[5m up]", 6, 'unexpected identifier "up" in range, expected "]"'),
        ("m[(5m]", 6, 'unexpected "]" in range, expected ")"'),
        ("m offset (5m", 13, "unclosed left parenthesis"),
        (f"m[{'-' * 50_000}5m]", 104, "nested more than 100 times"),
        (f"m[{'(' * 50_000}5m]", 104, "nested more than 100 times"),
        (f"m[{'1^' * 20_000}5m]", 205, "nested more than 100 times"),
        (f"m[{'(' * 50_000}step()]", 104, "nested more than 100 times"),
        (f"m[{'step() + ' * 200}5m]", 3, "the duration is nested more than 100 times"),
        ("m[step()/(1-1)]", 9, "division by zero"),
        ("m[step() + 2^5000]", 3, "duration is out of range"),
        ("m[step]", 3, 'unexpected identifier "step"'),
        ("m[step(5)]", 8, 'unexpected number "5" in range, expected ")"'),
        ("m[min_of(5)]", 11, 'unexpected ")" in range, expected ","'),
        ("m offset step() offset 5m", 17, "offset may not be set multiple times"),
        ("m offset step()[5m]", 16, "no offset modifiers allowed before range"),
        ("m offset - -step()", 12, 'unexpected "-" in offset'),
    ],
)
def test_durations_that_cannot_be_computed_are_refused(text: str, column: int, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert reason in caught.value.reason
    assert caught.value.column == column


def test_no_number_is_too_long_to_read() -> None:
    for text in ("0x" + "f" * 60_000, "1" * 60_000 + "z", "m[" + "9" * 60_000 + "s]"):
        with pytest.raises(ParseError):
            parse(text)
    with effort_within(1), pytest.raises(ParseError, match="bad value"):
        parse_values("1" * 100_000 + "x")


def test_labels_of_many_info_series_for_many_elements_count_as_samples() -> None:
    source = MemorySource(
        Series(Labels({"__name__": name, "x": x}), [0], [1])
        for name, x in [("m", str(n)) for n in range(200)] + [(f"i{n}", "") for n in range(200)]
    )
    query = parse('info(m, {__name__=~"i.+"})')
    assert isinstance(evaluate(query, source, 0, limits=Limits(samples=41_000)), Vector)
    with pytest.raises(LimitExceeded, match="more than 20,000 samples"):
        evaluate(query, source, 0, limits=Limits(samples=20_000))


def test_patterns_are_bounded_together() -> None:
    with effort_within(3):
        with pytest.raises(ParseError, match="the query's patterns are too large together"):
            parse(" or ".join(f"m{{a=~`\\pL{{{count}}}`}}" for count in range(10, 60)))
        with pytest.raises(ParseError, match="pattern too large"):
            parse("m{a=~`\\pL{900}`}")


def test_patterns_are_cut_off_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "PATTERN_SECONDS", 0.1)
    source = MemorySource(
        [Series(Labels({"__name__": "m", "x": f"{'ab' * 2000}{n}"}), [0], [1]) for n in range(200)]
    )
    pattern = "|".join(f".*k{n}.{{3}}z" for n in range(2500))
    with effort_within(5), pytest.raises(LimitExceeded, match="patterns of a selector take more than"):
        evaluate(parse(f'm{{x=~"{pattern}"}}'), source, 0)


def test_label_replace_is_cut_off_in_time() -> None:
    source = MemorySource(
        [Series(Labels({"__name__": "m", "x": f"{'ab' * 2000}{n}"}), [0], [1]) for n in range(2000)]
    )
    query = parse(f'label_replace(m, "y", "$1", "x", "{"(.*)" * 49}")')
    with effort_within(5), pytest.raises(LimitExceeded, match="the query takes longer"):
        evaluate(query, source, 0, limits=Limits(seconds=0.2))


def test_a_pattern_is_asked_once_for_each_value() -> None:
    source = MemorySource(
        [Series(Labels({"__name__": "m", "x": f"v{n % 3}", "n": str(n)}), [0], [1]) for n in range(30)]
    )
    result = evaluate(parse('count(m{x=~"v[12]",x!="v2",n!~"1."})'), source, 0)
    assert isinstance(result, Vector)
    assert result.samples[0].value == 6


def test_results_have_the_type_of_the_query(source: MemorySource) -> None:
    assert evaluate(parse("1 / 0"), source, _AT) == Scalar(math.inf)
    matrix = evaluate(parse("up[2m]"), source, _AT)
    assert isinstance(matrix, Matrix)
    assert [list(series.values) for series in matrix.series] == [[9, 10], [1, 2]]
    ranged = evaluate_range(parse("time()"), source, 0, 120_000, 60_000)
    assert [(series.labels, list(series.times), list(series.values)) for series in ranged.series] == [
        (Labels(), [0, 60_000, 120_000], [0, 60, 120])
    ]
    with pytest.raises(EvaluationError, match="invalid expression type"):
        evaluate_range(parse("up[5m]"), source, 0, 1, 1)


def test_start_and_end_are_those_of_the_range(source: MemorySource) -> None:
    ranged = evaluate_range(
        parse('up{instance="1"} @ end() - up{instance="1"} @ start()'), source, 0, _AT, 60_000
    )
    assert set(ranged.series[0].values) == {9.0}


def test_long_ranges_are_computed_as_short_ones() -> None:
    source = MemorySource()
    values = [float(index % 37) for index in range(500)]
    for index, value in enumerate(values):
        source.append(Labels({"__name__": "m"}), index * 1000, value)
    risen = sum(value - before if value >= before else value for before, value in pairwise(values))
    result = evaluate(parse("increase(m[499s])"), source, 499_000)
    assert isinstance(result, Vector)
    # the first sample is not in the range, and the rise goes on until the range's end
    assert result.samples[0].value == pytest.approx((risen - 1) / 498 * 499, rel=1e-3)


def _source_of(series: dict[str, str]) -> MemorySource:
    source = MemorySource()
    for name, values in series.items():
        for index, value in enumerate(parse_values(values)):
            if value is not None:
                source.append(parse_labels(name), index * 60_000, value)
    return source


@pytest.mark.parametrize("compute", [variance, least, most], ids=lambda compute: compute.__name__)
@pytest.mark.parametrize(
    "special", [[], [math.inf], [math.nan], [1e308, 1e308, -1e308], [math.inf, -math.inf, math.nan]], ids=str
)
def test_many_values_are_computed_as_few(
    compute: Callable[[list[float]], float], special: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    values = [chance.gauss(1e9, 1) for _ in range(300)] + special
    quick = compute(values)
    monkeypatch.setattr(arithmetic, "WIDE", 1000)
    assert quick == pytest.approx(compute(values), rel=1e-6, nan_ok=True)


def test_values_that_cancel_each_other_are_added_as_prometheus_adds() -> None:
    source = _source_of(
        {"m": "-2e220 -1e219 0.5 2.5 1e217 -1e217 2e220 7 1e219 -500", "n": "1e100 1 -1e100 1"}
    )
    assert _vector("avg_over_time(m[1h])", source) == {"{}": 0.0}
    assert _vector("sum_over_time(n[1h])", source) == {"{}": 2.0}


def test_the_mean_of_finite_and_infinite_values_is_infinite() -> None:
    assert _vector("avg_over_time(m[1h])", _source_of({"m": "1.7e308 1.7e308 -Inf"})) == {"{}": -math.inf}


@pytest.mark.parametrize("aggregation", ["sum by (__name__) (", "quantile by (__name__) (0, "])
def test_a_group_loses_its_name_when_one_member_has(aggregation: str) -> None:
    source = _source_of({'m{a="1"}': "1x9", 'm{a="2"}': "1x9"})
    assert list(_vector(aggregation + 'm{a="1"} or -m{a="2"})', source)) == ["{}"]
    assert list(_vector(aggregation + 'm{a="1"} or m{a="2"})', source)) == ["m"]


def test_series_are_matched_whatever_their_type_and_unit() -> None:
    source = _source_of({'a{__type__="gauge",x="1"}': "6x9", 'b{__unit__="bytes",x="1"}': "2x9"})
    assert _vector("a / b", source) == {'{x="1"}': 3.0}
    assert _vector("(a - b) / a", source) == pytest.approx({'{x="1"}': 2 / 3})
    assert _vector("a unless b", source) == {}


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_hashes_as_published(data: bytes, digest: int) -> None:
    assert xxh64(data) == digest
