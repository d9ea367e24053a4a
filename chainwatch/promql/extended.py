"""Ranges that reach to both of their ends: ``m[5m] anchored``, ``m[5m] smoothed``, ``m smoothed`` (Prometheus' PROM-52).

At its ends an anchored range has the last value before; a smoothed one has what lies on the line between two samples.
Samples up to the look-back away count for both.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from chainwatch.promql.series import Times, Values
from chainwatch.promql.syntax import Call, RangeSelector, Selector
from chainwatch.promql.vectors import Vector
from chainwatch.promql.windows import Window, changes, lost_by_resets, resets

if TYPE_CHECKING:
    from chainwatch.promql.evaluation import Evaluation

_COUNTERS = frozenset({"rate", "increase"})


def over_extended(evaluation: Evaluation, call: Call, node: RangeSelector, at: int) -> Vector:
    """Return a function of the ranges that reach to their ends. Raises ``EvaluationError``."""
    before, after = evaluation.look_back, evaluation.look_back if node.extended == "smoothed" else 0
    selector = replace(node.selector, offset=node.selector.offset - after)
    wide = RangeSelector(selector, before + node.range + after)
    result = []
    for labels, found, _ in evaluation.windows(wide, at):
        window = replace(found, start=found.start + before, end=found.end - after)
        if call.function in _STEPS:
            result.append((labels, _STEPS[call.function](_with_one_before(window)), True))
            continue
        reaching = _reaching(window, smoothed=after > 0, counter=call.function in _COUNTERS)
        if reaching is not None:
            result.append((labels, _RISES[call.function](reaching), True))
    return result


def smoothed(evaluation: Evaluation, node: Selector, at: int) -> Vector:
    """Return the elements of a selector, between the samples before and after ``at``. Raises ``EvaluationError``."""
    look_back = evaluation.look_back
    wide = RangeSelector(replace(node, smoothed=False, offset=node.offset - look_back), 2 * look_back)
    result = []
    for labels, window, _ in evaluation.windows(wide, at):
        times, values = window.times, window.values
        moment = window.start + look_back
        place = bisect_left(times, moment)
        if place < len(times) and times[place] == moment:
            result.append((labels, values[place], False))
        elif place:
            is_between = place < len(times)
            value = _between(times, values, place, moment) if is_between else values[place - 1]
            result.append((labels, value, False))
    return result


def _with_one_before(window: Window) -> Window:
    """Return the samples within the window, and the one before; at least the last two, as in Prometheus."""
    last = len(window.times) - 1
    first = max(bisect_right(window.times, window.start, 0, last) - 1, 0)
    return replace(window, times=window.times[first:], values=window.values[first:])


def _reaching(window: Window, *, smoothed: bool, counter: bool) -> Window | None:
    """Return the samples within the window and one at each of its ends; None where none is later than its start."""
    times, values = window.times, window.values
    if times[-1] <= window.start:
        return None
    first = max(bisect_right(times, window.start) - 1, 0)
    last = min(bisect_left(times, window.end), len(times) - 1) if smoothed else len(times) - 1
    if times[last] <= window.start:
        return None
    left, right = values[first], values[last]
    if smoothed and times[first] < window.start:
        left = _between(times, values, first + 1, window.start, from_zero=counter)
    if smoothed and last and times[last] > window.end:
        right = _between(times, values, last, window.end, goes_on=counter)
    inner = slice(first + (times[first] <= window.start), last + (times[last] < window.end))
    return replace(
        window,
        times=[window.start, *times[inner], window.end],
        values=[left, *values[inner], right],
    )


def _between(
    times: Times, values: Values, place: int, at: int, *, from_zero: bool = False, goes_on: bool = False
) -> float:
    """Return the value at ``at`` on the line from the sample before ``place`` to the one at ``place``.

    Where a counter began again between them, the line begins at zero, or goes on above the first one.
    """
    first, second = values[place - 1], values[place]
    if second < first:
        if from_zero:
            first = 0.0
        elif goes_on:
            second += first
    return first + (second - first) * (at - times[place - 1]) / (times[place] - times[place - 1])


def _rise(window: Window) -> float:
    return window.values[-1] - window.values[0]


def _increase(window: Window) -> float:
    return _rise(window) + lost_by_resets(window.values)


_RISES: dict[str, Callable[[Window], float]] = {
    "rate": lambda window: _increase(window) / ((window.end - window.start) / 1000),
    "increase": _increase,
    "delta": _rise,
}
_STEPS: dict[str, Callable[[Window], float]] = {"changes": changes, "resets": resets}
