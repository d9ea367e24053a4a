"""A range query has at each of its times what an instant query has there, however many times are evaluated together."""

from __future__ import annotations

import math
from random import Random
from typing import Literal
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.promql import ranges
from chainwatch.promql.errors import EvaluationError
from chainwatch.promql.evaluation import Evaluation
from chainwatch.promql.notes import NOTES_MAX, Notes
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Scalar, Vector, evaluate_range_with, evaluate_with
from chainwatch.promql.series import STALE, Labels, MemorySource, Series
from chainwatch.promql.signatures import SIGNATURES

_SCRAPE = 15_000
_OVER_WINDOWS = [name for name, signature in SIGNATURES.items() if signature.arguments == ("range vector",)]
_OF_VALUES = [
    "abs",
    "ceil",
    "exp",
    "ln",
    "sgn",
    "sqrt",
    "hour",
    "year",
    "timestamp",
    "absent",
    "sort",
    "round",
]
_OPERATORS = ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<="]
_MATCHING = ["", "on (a, b)", "ignoring (b)", "on (a) group_left ()", "on (a) group_right (b)", "on (a)"]
_GROUPING = ["", "by (a)", "without (b)", "by (a, __name__)"]
_AGGREGATIONS = ["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"]


def _source(chance: Random) -> MemorySource:
    return MemorySource(
        _series(chance, Labels({"__name__": name, "a": a, "b": b, "le": le}))
        for name in ("m", "n_bucket")
        for a in "xy"
        for b, le in (("1", "1"), ("2", "2"), ("3", "+Inf"))
        if chance.random() < 0.8
    )


def _series(chance: Random, labels: Labels) -> Series:
    kind = chance.choice(["counter", "floats", "constant", "odd"])
    series, value, time = Series(labels), chance.randrange(100) * 1.0, chance.randrange(300_000)
    for _ in range(chance.randrange(200)):
        time += _SCRAPE * chance.choice([1, 1, 1, 1, 1, 1, 1, 1, 2, 30]) + chance.choice([0, 0, 1])
        if kind == "counter":
            value = 0.0 if chance.random() < 0.05 else value + chance.randrange(10)
        elif kind == "floats":
            value = chance.gauss(0, 1) * 10 ** chance.randrange(-5, 15)
        elif kind == "odd":
            value = chance.choice([math.nan, math.inf, -math.inf, -0.0, 1e308, 1.0, 2.0, -1.5])
        series.append(time, STALE if chance.random() < 0.03 else value)
    return series


def _duration(chance: Random) -> str:
    return chance.choice(["15s", "1m", "90s", "5m", "13m1ms", "1h", "2*step()"])


def _moved(chance: Random) -> str:
    return chance.choice(
        ["", "", "", "", " offset 1m", " offset -90s", " @ 600", " @ start()", " @ end() offset 30s"]
    )


def _selector(chance: Random) -> str:
    return chance.choice(["m", "n_bucket", '{a="x"}', 'm{b=~"1|2"}', "nothing"])


def _range(chance: Random, depth: int) -> str:
    if depth and chance.random() < 0.3:
        step = chance.choice(["", "15s", "40s", "2m"])
        return f"({_vector(chance, depth - 1)})[{_duration(chance)}:{step}]{_moved(chance)}"
    return f"{_selector(chance)}[{_duration(chance)}]{_moved(chance)}"


def _scalar(chance: Random, depth: int) -> str:
    if depth and chance.random() < 0.3:
        return f"scalar({_vector(chance, depth - 1)})"
    return chance.choice(
        ["2", "0.5", "-1", "NaN", "(time() % 7)", "min_of(1, time())", "(1 > bool 2)", "step()"]
    )


def _vector(chance: Random, depth: int) -> str:
    """Return an expression whose result does not depend on the order of elements."""
    form = chance.randrange(11) if depth else 0
    if form < 2:
        return _selector(chance) + _moved(chance)
    if form < 4:
        return f"{chance.choice(_OVER_WINDOWS)}({_range(chance, depth)})"
    below = _vector(chance, depth - 1)
    if form == 4:
        return f"{chance.choice(_OF_VALUES)}({below})"
    if form == 5:
        operator = chance.choice(_AGGREGATIONS)
        parameter = ""
        if chance.random() < 0.3:
            operator, parameter = "quantile", chance.choice(["0.5, ", f"{_scalar(chance, depth - 1)}, "])
        elif chance.random() < 0.2:
            operator, parameter = "count_values", '"v", '
        return f"{operator} {chance.choice(_GROUPING)} ({parameter}{below})"
    if form == 6:
        chosen = chance.choice(["topk", "bottomk", "limitk", "limit_ratio"])
        windows = f"avg_over_time({_selector(chance)}[{_duration(chance)}])"
        return f"{chosen} {chance.choice(_GROUPING[:3])} ({chance.choice(['1', '2', '0.3'])}, {windows})"
    if form == 7:
        operator, scalar = chance.choice(_OPERATORS), _scalar(chance, depth - 1)
        modifier = " bool" if operator in _OPERATORS[7:] and chance.random() < 0.5 else ""
        pair = [f"({below})", scalar]
        chance.shuffle(pair)
        return f"({pair[0]} {operator}{modifier} {pair[1]})"
    if form == 8:
        operator = chance.choice(_OPERATORS)
        modifier = " bool" if operator in _OPERATORS[7:] and chance.random() < 0.5 else ""
        return f"(({below}) {operator}{modifier} {chance.choice(_MATCHING)} ({_vector(chance, depth - 1)}))"
    if form == 9:
        matching = chance.choice(_MATCHING[:3])
        return (
            f"(({below}) {chance.choice(['and', 'or', 'unless'])} {matching} ({_vector(chance, depth - 1)}))"
        )
    return chance.choice(
        [
            f"-({below})",
            f'label_replace({below}, "c", "$1", "a", "(.)")',
            f'label_join({below}, "b", "-", "a")',
            f"histogram_quantile({_scalar(chance, depth - 1)}, {below})",
            f"clamp_max({below}, {_scalar(chance, depth - 1)})",
            f"vector({_scalar(chance, depth)})",
            f"quantile_over_time({_scalar(chance, depth - 1)}, {_range(chance, depth)})",
            f"predict_linear({_range(chance, depth)}, 60)",
        ]
    )


def _same(left: float, right: float) -> bool:
    return left == right or (left != left and right != right) or math.isclose(left, right, rel_tol=1e-12)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 40))
def test_times_together_give_what_each_gives(seed: int) -> None:
    chance = Random(seed)
    text = _vector(chance, 3) if chance.random() < 0.9 else _scalar(chance, 3)
    query, source = parse(text), _source(chance)
    start = chance.randrange(0, 600_000)
    step = chance.choice([7_000, 15_000, 60_000])
    end = start + step * 40
    each, together = Notes(), Notes()

    expected: dict[int, dict[Labels, float]] = {}
    fails = False
    try:
        with patch.object(ranges, "TIMES_MIN", 1 << 40):  # each by itself, those of subqueries too
            for at in range(start, end + 1, step):
                evaluation = Evaluation(source, start, end, notes=each)
                evaluation.step = step
                result = evaluate_with(evaluation, query, at)
                assert isinstance(result, Vector | Scalar)
                expected[at] = (
                    dict(result.samples) if isinstance(result, Vector) else {Labels(): result.value}
                )
    except EvaluationError:
        fails = True
    try:
        with patch.object(
            ranges, "ELEMENTS_MAX", chance.choice([ranges.ELEMENTS_MAX, 400])
        ):  # all, or some together
            found = evaluate_range_with(
                Evaluation(source, start, end, notes=together), query, start, end, step
            )
    except EvaluationError:
        assert fails, text
        return
    assert not fails, text

    got: dict[int, dict[Labels, float]] = {at: {} for at in range(start, end + 1, step)}
    for series in found.series:
        for at, value in zip(series.times, series.values, strict=True):
            got[at][series.labels] = value
    for at, samples in expected.items():
        assert samples.keys() == got[at].keys(), (text, at)
        for labels, value in samples.items():
            assert _same(value, got[at][labels]), (text, at, labels, value, got[at][labels])
    _compare_notes("warning", each, together, text)
    _compare_notes("info", each, together, text)


def _compare_notes(kind: Literal["warning", "info"], each: Notes, together: Notes, text: str) -> None:
    expected = each.shown(kind, text)
    if len(expected) <= NOTES_MAX:  # which are shown, of more, depends on their order
        assert set(expected) == set(together.shown(kind, text)), text
