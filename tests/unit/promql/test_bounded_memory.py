"""However far apart the times of a range query are, and however many elements it makes, it takes little memory."""

from __future__ import annotations

import tracemalloc

from chainwatch.promql.parser import parse
from chainwatch.promql.queries import evaluate_range
from chainwatch.promql.series import Labels, MemorySource, Series


def _source(series: int, samples: int) -> MemorySource:
    found = []
    for number in range(series):
        one = Series(Labels({"__name__": "m", "i": str(number)}))
        for index in range(samples):
            one.append(index * 15_000, number * 1_000 + index / 7)
        found.append(one)
    return MemorySource(found)


def test_short_subqueries_at_times_far_apart_are_not_evaluated_in_between() -> None:
    apart = 10**12

    matrix = evaluate_range(
        parse("count_over_time(vector(1)[5ms:1ms])"), MemorySource([]), 0, 39 * apart, apart
    )

    (series,) = matrix.series
    assert list(series.values) == [5.0] * 40


def test_values_that_become_labels_take_no_room_at_other_times() -> None:
    source = _source(5, 1_000)
    tracemalloc.start()
    try:
        matrix = evaluate_range(parse('count_values("v", m)'), source, 0, 999 * 15_000, 15_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(matrix.series) > 4_000
    assert most < 30_000_000
