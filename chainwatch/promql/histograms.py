"""Quantiles and fractions of classic histograms: series that count by upper bound ``le`` (promql/quantile.go)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainwatch.promql.arithmetic import INF, NAN, divide

Buckets = list[tuple[float, float]]
"""(upper bound, count of all values up to it), sorted by bound."""
_SMALL = 1e-12
"""Relative difference of counts that is rounding, no observation."""


def merge_buckets(buckets: Sequence[tuple[float, float]]) -> Buckets:
    """Return the buckets sorted, those of one bound added up."""
    merged: Buckets = []
    for bound, count in sorted(buckets, key=lambda bucket: bucket[0]):
        if merged and merged[-1][0] == bound:
            merged[-1] = bound, merged[-1][1] + count
        else:
            merged.append((bound, count))
    return merged


def histogram_quantile(share: float, buckets: Buckets) -> float:
    """Return the value below which the ``share`` of all observations lies, interpolated within its bucket."""
    if share != share:
        return NAN
    if share < 0:
        return -INF
    if share > 1:
        return INF
    if not buckets or buckets[-1][0] != INF or len(buckets) < 2:
        return NAN
    counts = _rising([count for _, count in buckets])
    total = counts[-1]
    if total == 0:
        return NAN
    rank = share * total
    last = len(buckets) - 1
    place = next((index for index in range(last) if counts[index] >= rank), last)
    if place == last:
        return buckets[last - 1][0]
    upper = buckets[place][0]
    if place == 0:
        return upper if upper <= 0 else upper * divide(rank, counts[0])
    lower, below = buckets[place - 1][0], counts[place - 1]
    return lower + (upper - lower) * divide(rank - below, counts[place] - below)


def histogram_fraction(lower: float, upper: float, buckets: Buckets) -> float:
    """Return which share of all observations lies between ``lower`` and ``upper``."""
    if not buckets or buckets[-1][0] != INF:
        return NAN
    total = buckets[-1][1]
    if total == 0 or total != total or lower != lower or upper != upper:
        return NAN
    if lower >= upper:
        return 0.0
    return (_rank(upper, buckets) - _rank(lower, buckets)) / total


def _rank(value: float, buckets: Buckets) -> float:
    """Return how many observations lie below ``value``."""
    rank = 0.0
    for index, (bound, count) in enumerate(buckets):
        start = buckets[index - 1][0] if index else (0.0 if bound > 0 else -INF)
        if start >= value:
            return rank
        if bound > value:
            if start == -INF:
                return count
            share = (value - start) / (bound - start)
            return min(rank + (count - rank) * share, buckets[-1][1])
        rank = count
    return buckets[-1][1]


def fall(buckets: Buckets) -> bool:
    """Return whether a bucket counts less than a smaller one, by more than rounding."""
    counts = [count for _, count in buckets]
    return any(
        count < most and not _is_rounding(count, most)
        for count, most in zip(counts[1:], _rising(counts), strict=False)
    )


def _rising(counts: Sequence[float]) -> list[float]:
    """Return the counts without falls and without differences that are only rounding."""
    rising = [counts[0]]
    for count in counts[1:]:
        before = rising[-1]
        rising.append(before if count < before or _is_rounding(count, before) else count)
    return rising


def _is_rounding(count: float, before: float) -> bool:
    return math.isfinite(count) and abs(count - before) <= _SMALL * (abs(count) + abs(before))
