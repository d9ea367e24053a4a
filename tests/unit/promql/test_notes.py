"""What is noted beside a result: what Prometheus notes, with line and column, and at most ten of a kind."""

from __future__ import annotations

import pytest

from chainwatch.promql.evaluation import Evaluation
from chainwatch.promql.notation import parse_labels, parse_values
from chainwatch.promql.notes import NOTES_MAX, Notes
from chainwatch.promql.parser import parse
from chainwatch.promql.queries import evaluate_with
from chainwatch.promql.series import MemorySource

_AT = 5 * 60_000
_SERIES = {
    "m": "1 2 3 4 5 6",
    "m_total": "1 2 3 4 5 6",
    'h_bucket{le="1"}': "5x5",
    'h_bucket{le="2"}': "4x5",
    'h_bucket{le="+Inf"}': "9x5",
    'h_bucket{le="x"}': "9x5",
    'fine_bucket{le="1"}': "0.1x5",
    'fine_bucket{le="+Inf"}': "0.1x5",
}
_QUANTILE = "PromQL warning: quantile value should be between 0 and 1, got"
_COUNTER = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket:"


def _noted(text: str) -> tuple[list[str], list[str]]:
    source = MemorySource()
    for name, values in _SERIES.items():
        for index, value in enumerate(parse_values(values)):
            assert value is not None
            source.append(parse_labels(name), index * 60_000, value)
    notes = Notes()
    evaluate_with(Evaluation(source, _AT, _AT, notes=notes), parse(text), _AT)
    return notes.shown("warning", text), notes.shown("info", text)


@pytest.mark.parametrize(
    ("text", "warnings", "infos"),
    [
        ("rate(m_total[5m])", [], []),
        ("delta(m[5m])", [], []),
        ("rate(m[5m])", [], [f'{_COUNTER} "m" (1:6)']),
        ("sum(m) +\n  sum(increase(m[5m] offset 1m))", [], [f'{_COUNTER} "m" (2:16)']),
        ("quantile(1.5, m)", [f"{_QUANTILE} 1.5 (1:10)"], []),
        ("quantile by (x) (-Inf, m)", [f"{_QUANTILE} -Inf (1:18)"], []),
        ("quantile_over_time(2, m[5m])", [f"{_QUANTILE} 2 (1:20)"], []),
        ("quantile_over_time(2, none[5m])", [], []),
        ("histogram_quantile(NaN, fine_bucket)", [f"{_QUANTILE} NaN (1:20)"], []),
        ('histogram_quantiles(fine_bucket, "q", 0.1, 3)', [f"{_QUANTILE} 3 (1:44)"], []),
        (
            "histogram_quantile(0.5, h_bucket)",
            [
                'PromQL warning: bucket label "le" is missing or has a malformed value of "x" '
                'for metric name "h_bucket" (1:25)'
            ],
            [
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity "
                "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) "
                'for metric name "h_bucket" (1:25)'
            ],
        ),
        (
            "limit_ratio(-2, m)",
            ["PromQL warning: ratio value should be between -1 and 1, got -2, capping to -1 (1:13)"],
            [],
        ),
    ],
)
def test_notes(text: str, warnings: list[str], infos: list[str]) -> None:
    assert _noted(text) == (warnings, infos)


def test_notes_are_bounded() -> None:
    warnings, _ = _noted(" or ".join(f"quantile({n}, m)" for n in range(2, 15)))
    assert len(warnings) == NOTES_MAX + 1
    assert warnings[-1] == "3 more warning annotations omitted"
