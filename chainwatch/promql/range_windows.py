"""Functions of a range of one series, at many times at once: what ``windows.py`` computes at each, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from chainwatch.promql.arithmetic import WIDE
from chainwatch.promql.rows import Floats, Ints, Mask
from chainwatch.promql.windows import WINDOW_FUNCTIONS, Window

_EXACT = float(1 << 53)
"""Whole numbers below are added without rounding."""

_CHECK_EVERY = 10_000
"""Samples between looks at the clock."""


class Windows:
    """The ranges of one series at many times: later than ``starts``, not later than ``ends`` (Unix milliseconds).

    The samples are those at the indices from ``first`` to before ``after``.
    """

    def __init__(self, times: Ints, values: Floats, starts: Ints, ends: Ints) -> None:
        self.times = times
        self.values = values
        self.starts = starts
        self.ends = ends
        self.first: Ints = np.searchsorted(times, starts, "right")
        self.after: Ints = np.searchsorted(times, ends, "right")

    @property
    def counts(self) -> Ints:
        return self.after - self.first

    def compute(self, function: str, check: Callable[[], None]) -> tuple[Floats, Mask]:
        """Return the function's values, and at which times there is one. ``check`` is called now and then."""
        several = _OF_SEVERAL.get(function)
        least = 2 if several is not None else 1
        present: Mask = self.counts >= least
        values = np.full(len(self.first), np.nan)
        chosen = np.flatnonzero(present)
        if len(chosen):
            compute = several or _OF_ONE.get(function)
            found = compute(_Chosen(self, chosen)) if compute is not None else None
            if found is not None:
                values[chosen] = found
            else:
                _compute_each(self, chosen, function, values, present, check)
        return values, present


class _Chosen:
    """The ranges that have samples enough: the index of their ``first`` and ``last`` one."""

    def __init__(self, windows: Windows, chosen: Ints) -> None:
        self.times, self.values = windows.times, windows.values
        self.first, self.last = windows.first[chosen], windows.after[chosen] - 1
        self.starts, self.ends = windows.starts[chosen], windows.ends[chosen]

    @cached_property
    def falls(self) -> Ints:
        """The indices of samples that are less than the one before."""
        return np.flatnonzero(self.values[1:] < self.values[:-1]) + 1

    def between(self, places: Ints) -> tuple[Ints, Ints]:
        """Return for each range from which to before which of the rising ``places`` lie after its first sample."""
        return np.searchsorted(places, self.first, "right"), np.searchsorted(places, self.last, "right")


def _compute_each(
    windows: Windows, chosen: Ints, function: str, values: Floats, present: Mask, check: Callable[[], None]
) -> None:
    """Compute a function of the samples alone, once for times that have the same ones."""
    compute = WINDOW_FUNCTIONS[function]
    all_times, all_values = windows.times.tolist(), windows.values.tolist()
    before: tuple[int, int] | None = None
    found: float | None = None
    read = 0
    for index in chosen.tolist():
        first, after = bounds = int(windows.first[index]), int(windows.after[index])
        if bounds != before:
            window = Window(all_times[first:after], all_values[first:after], 0, 0, 0)
            found, before = compute(window), bounds
            read += after - first
            if read > _CHECK_EVERY:
                read = 0
                check()
        if found is None:
            present[index] = False
        else:
            values[index] = found


def _extrapolated(chosen: _Chosen, *, counter: bool) -> Floats:
    times, values, first, last = chosen.times, chosen.values, chosen.first, chosen.last
    first_values = values[first]
    rise = values[last] - first_values + (_lost_by_resets(chosen) if counter else 0.0)
    to_start = (times[first] - chosen.starts) / 1000
    to_end = (chosen.ends - times[last]) / 1000
    sampled = (times[last] - times[first]) / 1000
    average = sampled / (last - first)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_zero = sampled * (first_values / rise)
        to_start = np.where((rise > 0) & (first_values >= 0) & (to_zero < to_start), to_zero, to_start)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    found: Floats = rise * ((sampled + to_start + to_end) / sampled)
    return found


def _lost_by_resets(chosen: _Chosen) -> Floats:
    """Return the sum of the values before which the counter began again."""
    before = chosen.values[chosen.falls - 1]
    start, end = chosen.between(chosen.falls)
    lost = np.zeros(len(start))
    several = (end - start > 1) & (chosen.last - chosen.first + 1 >= WIDE)
    for index in np.flatnonzero(several).tolist():
        lost[index] = before[start[index] : end[index]].sum()
    left = np.flatnonzero((end > start) & ~several)
    places = start[left]
    while len(left):  # one after the other in each range, as rounding is of this order
        lost[left] += before[places]
        places += 1
        more = places < end[left]
        left, places = left[more], places[more]
    return lost


def _rate(chosen: _Chosen) -> Floats:
    found: Floats = _extrapolated(chosen, counter=True) / ((chosen.ends - chosen.starts) / 1000)
    return found


def _irate(chosen: _Chosen) -> Floats:
    values, last = chosen.values, chosen.last
    before, value = values[last - 1], values[last]
    rise = np.where(value < before, value, value - before)
    found: Floats = rise / ((chosen.times[last] - chosen.times[last - 1]) / 1000)
    return found


def _idelta(chosen: _Chosen) -> Floats:
    found: Floats = chosen.values[chosen.last] - chosen.values[chosen.last - 1]
    return found


def _changes(chosen: _Chosen) -> Floats:
    before, value = chosen.values[:-1], chosen.values[1:]
    changed = (value != before) & ~(np.isnan(value) & np.isnan(before))
    start, end = chosen.between(np.flatnonzero(changed) + 1)
    return (end - start).astype(np.float64)


def _resets(chosen: _Chosen) -> Floats:
    start, end = chosen.between(chosen.falls)
    return (end - start).astype(np.float64)


def _extreme(reduce: np.ufunc) -> Callable[[_Chosen], Floats | None]:
    def compute(chosen: _Chosen) -> Floats | None:
        if _has_negative_zero(chosen.values):  # of two zeros numpy does not give the first
            return None
        bounds = np.column_stack((chosen.first, chosen.last + 1)).ravel()
        found: Floats = reduce.reduceat(np.append(chosen.values, np.nan), bounds)[::2]
        return found

    return compute


def _sum(chosen: _Chosen) -> Floats | None:
    """Return the sums where they are exact in any order, so that they are differences of sums from the beginning."""
    values = chosen.values
    whole = np.abs(values).max() * len(values) < _EXACT and (values == np.rint(values)).all()
    if not whole or _has_negative_zero(values):  # which would become 0.0
        return None
    sums = np.concatenate(([0.0], np.cumsum(values)))
    found: Floats = sums[chosen.last + 1] - sums[chosen.first]
    return found


def _has_negative_zero(values: Floats) -> bool:
    return bool((np.signbit(values) & (values == 0)).any())


def _average(chosen: _Chosen) -> Floats | None:
    sums = _sum(chosen)
    return None if sums is None else sums / (chosen.last - chosen.first + 1)


_OF_SEVERAL: dict[str, Callable[[_Chosen], Floats]] = {
    "rate": _rate,
    "increase": lambda chosen: _extrapolated(chosen, counter=True),
    "delta": lambda chosen: _extrapolated(chosen, counter=False),
    "irate": _irate,
    "idelta": _idelta,
}
"""Functions that need two samples."""
_OF_ONE: dict[str, Callable[[_Chosen], Floats | None]] = {
    "changes": _changes,
    "resets": _resets,
    "min_over_time": _extreme(np.fmin),
    "max_over_time": _extreme(np.fmax),
    "sum_over_time": _sum,
    "avg_over_time": _average,
    "count_over_time": lambda chosen: (chosen.last - chosen.first + 1).astype(np.float64),
    "last_over_time": lambda chosen: chosen.values[chosen.last],
    "first_over_time": lambda chosen: chosen.values[chosen.first],
    "present_over_time": lambda chosen: np.ones(len(chosen.first)),
    "ts_of_first_over_time": lambda chosen: chosen.times[chosen.first] / 1000,
    "ts_of_last_over_time": lambda chosen: chosen.times[chosen.last] / 1000,
}
