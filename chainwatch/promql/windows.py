"""Functions of a range of one series' samples, as promql/functions.go of Prometheus 3 computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from operator import lt, mul, ne

import numpy as np

from chainwatch.promql.arithmetic import (
    FUNCTIONS,
    NAN,
    WIDE,
    exact_sum,
    kahan_sum,
    least,
    mean,
    most,
    quantile,
    variance,
)
from chainwatch.promql.series import Times, Values


@dataclass(slots=True)
class Window:
    """Samples later than ``start`` and not later than ``end``, at least one; ``at`` is the time of the evaluation."""

    times: Times
    values: Values
    start: int
    end: int
    at: int


def rate(window: Window) -> float | None:
    """Return the rise per second of a counter, extrapolated to the window's ends."""
    rise = _extrapolated(window, counter=True)
    return None if rise is None else rise / ((window.end - window.start) / 1000)


def increase(window: Window) -> float | None:
    return _extrapolated(window, counter=True)


def delta(window: Window) -> float | None:
    return _extrapolated(window, counter=False)


def _extrapolated(window: Window, *, counter: bool) -> float | None:
    times, values = window.times, window.values
    gaps = len(times) - 1
    if gaps < 1:
        return None
    first, last = values[0], values[-1]
    rise = last - first + (lost_by_resets(values) if counter else 0.0)
    to_start = (times[0] - window.start) / 1000
    to_end = (window.end - times[-1]) / 1000
    sampled = (times[-1] - times[0]) / 1000
    average = sampled / gaps
    threshold = average * 1.1
    if to_start >= threshold:
        to_start = average / 2
    if counter and rise > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / rise))  # a counter was never below zero
    if to_end >= threshold:
        to_end = average / 2
    return rise * ((sampled + to_start + to_end) / sampled)


def lost_by_resets(values: Values) -> float:
    """Return the sum of the values before which the counter began again."""
    if len(values) >= WIDE:
        all_values = np.asarray(values)
        with np.errstate(over="ignore"):
            return float(all_values[:-1][all_values[1:] < all_values[:-1]].sum())
    lost = 0.0
    before = values[0]
    for value in values:
        if value < before:
            lost += before
        before = value
    return lost


def irate(window: Window) -> float | None:
    if len(window.times) < 2:
        return None
    before, value = window.values[-2:]
    rise = value if value < before else value - before
    return rise / ((window.times[-1] - window.times[-2]) / 1000)


def idelta(window: Window) -> float | None:
    return window.values[-1] - window.values[-2] if len(window.times) > 1 else None


def deriv(window: Window) -> float | None:
    return _regression(window, window.times[0])[0] if len(window.times) > 1 else None


def predict_linear(window: Window, seconds: float) -> float | None:
    """Return the value that a line through the samples has ``seconds`` after the evaluation."""
    if len(window.times) < 2:
        return None
    slope, intercept = _regression(window, window.at)
    return slope * seconds + intercept


def _regression(window: Window, origin: int) -> tuple[float, float]:
    values = window.values
    first = values[0]
    if all(value == first for value in values):
        return (NAN, NAN) if math.isinf(first) else (0.0, first)
    count = len(values)
    places = [(time - origin) / 1000 for time in window.times]
    sum_x, sum_y = exact_sum(places), exact_sum(values)
    sum_xy = exact_sum(list(map(mul, places, values)))
    sum_xx = exact_sum(list(map(mul, places, places)))
    spread = sum_xx - sum_x * sum_x / count
    slope = (sum_xy - sum_x * sum_y / count) / spread if spread else NAN
    return slope, sum_y / count - slope * sum_x / count


def changes(window: Window) -> float:
    values = window.values
    changed = sum(map(ne, values[1:], values))
    total = sum(values) if changed else 0.0
    if total != total:  # maybe for a NaN, which differs from another, and is no change then
        changed -= sum(before != before and value != value for before, value in pairwise(values))
    return float(changed)


def resets(window: Window) -> float:
    return float(sum(map(lt, window.values[1:], window.values)))


def double_exponential_smoothing(window: Window, smoothing: float, trend: float) -> float | None:
    values = window.values
    if len(values) < 2:
        return None
    before, level, slope = 0.0, values[0], values[1] - values[0]
    for index, value in enumerate(values[1:]):
        if index:
            slope = trend * (level - before) + (1 - trend) * slope
        before, level = level, smoothing * value + (1 - smoothing) * (level + slope)
    return level


def _deviation(values: Values) -> float:
    middle = quantile(0.5, values)
    return quantile(0.5, [abs(value - middle) for value in values])


def _last_time_of(window: Window, sought: float) -> float:
    """Return when ``sought`` was the value for the last time; NaN stands for the last sample."""
    for time, value in zip(reversed(window.times), reversed(window.values), strict=True):
        if value == sought or sought != sought:
            return time / 1000
    return NAN


WINDOW_FUNCTIONS: dict[str, Callable[[Window], float | None]] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "irate": irate,
    "idelta": idelta,
    "deriv": deriv,
    "changes": changes,
    "resets": resets,
    "avg_over_time": lambda window: mean(window.values),
    "min_over_time": lambda window: least(window.values),
    "max_over_time": lambda window: most(window.values),
    "sum_over_time": lambda window: kahan_sum(window.values),
    "count_over_time": lambda window: float(len(window.values)),
    "stddev_over_time": lambda window: FUNCTIONS["sqrt"](variance(window.values)),
    "stdvar_over_time": lambda window: variance(window.values),
    "mad_over_time": lambda window: _deviation(window.values),
    "last_over_time": lambda window: window.values[-1],
    "first_over_time": lambda window: window.values[0],
    "present_over_time": lambda window: 1.0,
    "ts_of_first_over_time": lambda window: window.times[0] / 1000,
    "ts_of_last_over_time": lambda window: window.times[-1] / 1000,
    "ts_of_max_over_time": lambda window: _last_time_of(window, most(window.values)),
    "ts_of_min_over_time": lambda window: _last_time_of(window, least(window.values)),
}
"""Functions of a range alone."""
NAMED = frozenset({"last_over_time", "first_over_time"})
"""Those that keep the metric's name."""
