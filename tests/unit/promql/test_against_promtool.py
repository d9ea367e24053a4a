"""Results of many expressions, compared with those of Debian's promtool (2.42) on the same random samples.

Times are chosen so that no range begins on a sample: Prometheus 3 leaves that sample out, 2.42 does not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwatch.promql.arithmetic import DATE_PARTS
from chainwatch.promql.notation import parse_labels, parse_values
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import Scalar, Vector, evaluate
from chainwatch.promql.series import Labels, MemorySource
from tests.support.promtool import evaluate_with_promtool, same

_MINUTES = 10
_RANGE_FUNCTIONS = """delta irate idelta deriv changes resets avg_over_time min_over_time max_over_time sum_over_time
count_over_time stddev_over_time stdvar_over_time last_over_time present_over_time absent_over_time"""
_FUNCTIONS = """abs ceil floor exp ln log2 log10 sqrt sgn sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh deg rad
absent sort timestamp minute hour day_of_week day_of_month day_of_year days_in_month month year"""
_MATCHED = """c|c  c|2  2|g  g|ignoring(extra)c  c|on(job,instance)g  c|on(job)group_left(v)info  info|on(job)group_right(v)c
c|on(job)g  c|scalar(one)  g|-g"""
_OTHERS = """
label_replace(c, "x", "$1-${2}", "job", "(.)(.*)")
label_replace(c, "job", "", "job", "a")
label_join(c, "x", "-", "job", "instance")
predict_linear(g[5m], 60)
quantile_over_time(0.3, g[8m])
round(g, 0.1)
round(-g)
clamp(g, -5, 5)
clamp(g, 5, -5)
clamp_min(g, 0)
c offset 5m
c @ 300
-2^2 + 2^3^2 % 5
sum(c) by (job) / count(c) by (job)
absent(nope{a="b",c!="d",e="f",e="g"})
c{job=~"a|b", instance!~"1|3"}
time() - timestamp(c offset 1m)
avg(g) by (job) > bool avg(g)
topk(1, c) by (job) * 2
c * on(instance) c
c > 5 and on(job) info or g < 0 unless on(job) one
sum_over_time((c > 3)[7m:50s])
count({__name__!=""}) by (__name__)
count_values("v", one + 0.5)
histogram_quantile(0.9, sum by (le, job) (h_bucket))
histogram_quantile(0.9, h_bucket{le!="+Inf"})
histogram_quantile(-1, h_bucket) or histogram_quantile(2, h_bucket)
"""


def _series() -> dict[str, str]:
    chance = random.Random(5)
    series = {
        'one{job="a"}': "3x11",
        'info{job="a",v="1"}': "1x11",
        'info{job="b",v="2"}': "1x11",
        "const": "5x11",
    }
    for job in "abc":
        for instance in "12":
            value, counts = 100.0, []
            for _ in range(_MINUTES + 1):
                value = 0.0 if chance.random() < 0.1 else value + chance.choice((0, 1, 2.5, 7))
                counts.append("_" if chance.random() < 0.1 else repr(value))
            series[f'c{{job="{job}",instance="{instance}"}}'] = " ".join(counts)
            gauges = [
                chance.choice(("_", "NaN", "Inf", "stale"))
                if chance.random() < 0.1
                else f"{chance.uniform(-50, 50):.3f}"
                for _ in range(_MINUTES + 1)
            ]
            series[f'g{{job="{job}",instance="{instance}",extra="x"}}'] = " ".join(gauges)
        for bound, count in zip(("0.1", "1", "5", "+Inf"), (2, 5, 9, 11), strict=True):
            series[f'h_bucket{{job="{job}",le="{bound}"}}'] = f"{count}+{count}x10"
    return series


def _queries() -> Iterator[str]:
    for name in _RANGE_FUNCTIONS.split():
        for metric in ("c", "g", "nope", "const"):
            yield f"{name}({metric}[3m])"
            yield f"{name}({metric}[7m] offset 1m)"
            yield f"{name}({metric}[7m:50s])"
    yield from ("rate(c[3m])", "increase(c[5m])", "rate(const[4m])", "sum by (job) (rate(c[5m]))")
    for name in _FUNCTIONS.split():
        yield f"{name}(c * 1e6)"
        if name not in DATE_PARTS:  # those of NaN are NaN here, and any date there
            yield f"{name}(g)"
    for name in (
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "quantile",
    ):
        parameter = {"topk": "2, ", "bottomk": "2, ", "quantile": "0.3, "}.get(name, "")
        for grouping in ("", "by (job)", "without (instance)", "by (nope, extra)"):
            yield from (f"{name} {grouping} ({parameter}{metric})" for metric in ("c", "g", "c or g"))
    for operator in ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<="]:
        yield from (
            f"{left} {operator} {right}"
            for left, _, right in (pair.partition("|") for pair in _MATCHED.split())
        )
    yield from _OTHERS.strip().splitlines()


def _ours(text: str, source: MemorySource) -> dict[Labels, float] | None:
    try:
        result = evaluate(parse(text), source, _MINUTES * 60_000 + 30_000)
    except ValueError:
        return None
    assert isinstance(result, Vector | Scalar)
    return dict(result.samples) if isinstance(result, Vector) else {Labels(): result.value}


@pytest.mark.slow
def test_gives_what_promtool_gives(tmp_path: Path) -> None:
    source = MemorySource()
    for name, values in _series().items():
        for index, value in enumerate(parse_values(values)):
            if value is not None and index <= _MINUTES:
                source.append(parse_labels(name), index * 60_000, value)
    queries = list(_queries())
    theirs = evaluate_with_promtool(tmp_path, [(_series(), queries)], f"{_MINUTES}m30s")
    assert len(theirs) > len(queries) / 2
    wrong = {
        text: (ours, theirs.get(text, {}))
        for text in queries
        if not same(ours := _ours(text, source), theirs.get(text, {}))
    }
    assert wrong == {}
