"""The evaluation of a syntax tree at one time. ``evaluate`` (``queries.py``) is what others call."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chainwatch.promql.arithmetic import DATE_PARTS, FUNCTIONS, greater, lesser
from chainwatch.promql.calls import CALLS
from chainwatch.promql.errors import LimitExceeded, TimedOut
from chainwatch.promql.extended import over_extended, smoothed
from chainwatch.promql.notes import Notes
from chainwatch.promql.series import NAME, Labels, Series, Source, is_stale
from chainwatch.promql.signatures import SCALAR, SET_OPERATORS, type_of
from chainwatch.promql.subqueries import SeriesWindow, subquery_windows
from chainwatch.promql.syntax import (
    SUBQUERY_STEP,
    Aggregation,
    At,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    RangeSelector,
    Selector,
    Subquery,
    Text,
)
from chainwatch.promql.vectors import (
    Vector,
    aggregate,
    combine_scalars,
    combine_sets,
    combine_vectors,
    combine_with_scalar,
)
from chainwatch.promql.windows import NAMED, WINDOW_FUNCTIONS, Window

LOOK_BACK = 300_000
"""Milliseconds for which a sample counts where none follows."""
_CHECK_EVERY = 10_000
"""Samples between looks at the clock."""
_REMEMBERED_MAX = 2_000_000
"""Elements of results that are kept because several expressions need them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may take: samples read for one time, series selected at once, steps of a range or subquery,
    seconds.
    """

    samples: int = 50_000_000
    series: int = 200_000
    steps: int = 11_000
    seconds: float = 60.0


class Evaluation:
    """Evaluates nodes over ``source``; ``start`` and ``end`` are what ``@ start()`` and ``@ end()`` mean.

    Subqueries without a step are evaluated every ``subquery_step`` milliseconds. ``notes`` collect what is odd about a
    query, where somebody wants to know.

    The results of the nodes in ``shared`` (by ``id``) are computed once for each time. Raises ``EvaluationError``.
    """

    def __init__(
        self,
        source: Source,
        start: int,
        end: int,
        *,
        look_back: int = LOOK_BACK,
        subquery_step: int = SUBQUERY_STEP,
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
        shared: frozenset[int] = frozenset(),
        notes: Notes | None = None,
    ) -> None:
        self.notes = notes
        self.step = 0
        """Milliseconds between the times of a range query; 0 where there is one time alone."""
        self._source = source
        self._start = start
        self._end = end
        self.look_back = look_back
        self.subquery_step = subquery_step
        self._limits = limits
        self._clock = clock
        self._shared = shared
        self._results: dict[tuple[int, int], Vector] = {}
        self._remembered = 0
        self.begin()

    def begin(self) -> None:
        """Let the limits count anew, for a next query."""
        self._until = self._clock() + self._limits.seconds
        self._left = self._limits.samples
        self._check_at = self._left - _CHECK_EVERY
        self._spent_before = 0

    def begin_step(self) -> None:
        """Let the limit of samples count anew, for the next time of the same query; that of seconds goes on."""
        spent = self._limits.samples - self._left
        self._spent_before += spent
        self._left += spent
        self._check_at += spent

    def share(self, nodes: frozenset[int]) -> None:
        """Compute the results of these nodes (by ``id``) once for each time, in place of those shared so far."""
        self._shared = nodes

    @property
    def spent(self) -> int:
        """How many samples were counted since ``begin``."""
        return self._spent_before + self._limits.samples - self._left

    @property
    def limits(self) -> Limits:
        """What the evaluation may take."""
        return self._limits

    @property
    def bounds(self) -> tuple[int, int]:
        """What ``@ start()`` and ``@ end()`` mean."""
        return self._start, self._end

    def vector(self, node: Node, at: int) -> Vector:
        """Return the instant vector that ``node`` is at the time ``at``."""
        if id(node) not in self._shared:
            return self._computed(node, at)
        known = self._results.get((id(node), at))
        if known is None:
            known = self._computed(node, at)
            self._remembered += len(known) + 1
            if self._remembered < _REMEMBERED_MAX:
                self._results[id(node), at] = known
        return known

    def vector_over(self, node: Node, at: int, given: Mapping[int, Vector]) -> Vector:
        """Return the vector that ``node`` is at another time, where the nodes in ``given`` (by ``id``) are known."""
        shared, self._shared = self._shared, self._shared | given.keys()
        for key, vector in given.items():
            self._results[key, at] = vector
        try:
            with self._apart():
                return self._computed(node, at)
        finally:
            self._shared = shared
            for key in given:
                del self._results[key, at]

    def number_apart(self, node: Node, at: int) -> float:
        """Return the scalar that ``node`` is at another time."""
        with self._apart():
            return self.number(node, at)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Let the limit of samples count for another time, and then go on for the one that is being evaluated."""
        left, check_at = self._left, self._check_at
        self._left = self._limits.samples
        self._check_at = self._left - _CHECK_EVERY
        try:
            yield
        finally:
            self._spent_before += self._limits.samples - self._left
            self._left, self._check_at = left, check_at

    def number(self, node: Node, at: int) -> float:
        """Return the scalar that ``node`` is at the time ``at``."""
        match node:
            case Number(value=value):
                return value
            case Negation(expression=below):
                return -self.number(below, at)
            case Binary(operator=operator, left=left, right=right):
                return combine_scalars(operator, self.number(left, at), self.number(right, at))
            case Call(function="time"):
                return at / 1000
            case Call(function="scalar", arguments=(below,)):
                vector = self.vector(below, at)
                return vector[0][1] if len(vector) == 1 else math.nan
            case Call(function="min_of", arguments=(left, right)):
                return lesser(self.number(left, at), self.number(right, at))
            case Call(function="max_of", arguments=(left, right)):
                return greater(self.number(left, at), self.number(right, at))
            case Call(function=name):
                return self._constant(name)
            case _:
                raise AssertionError(f"{node} is no scalar")

    def _constant(self, name: str) -> float:
        """Return what a function is at all times of the query; all but ``pi`` in seconds."""
        if name == "pi":
            return math.pi
        if name == "step":
            return self.step / 1000
        return {"start": self._start, "end": self._end, "range": self._end - self._start}[name] / 1000

    def windows(self, node: Node, at: int) -> Iterator[SeriesWindow]:
        """Yield the range that ``node`` is at ``at``, of the series that have samples in it."""
        if isinstance(node, Subquery):
            return subquery_windows(self, node, at)
        assert isinstance(node, RangeSelector)
        return self._selected_windows(node, at)

    def spend(self, samples: int) -> None:
        """Count samples. Raises ``LimitExceeded``."""
        self._left -= samples
        if self._left < self._check_at:
            self._check()

    def spend_together(self, most: int, samples: int) -> None:
        """Count ``samples`` of several times, of which one now has ``most``. Raises ``LimitExceeded``."""
        self._spent_before += samples
        self._check_samples(self._limits.samples - most)
        self.check_time()

    def spend_again(self, samples: int) -> None:
        """Count samples, which ``spend_together`` has counted for other times, for the time that is being evaluated."""
        self._spent_before -= samples
        self.spend(samples)

    def check_time(self) -> None:
        """Raise ``TimedOut`` when the evaluation takes too long."""
        if self._clock() > self._until:
            raise TimedOut(f"the query takes longer than {self._limits.seconds:g} seconds")

    def check_steps(self, first: int, end: int, step: int) -> None:
        """Raise ``LimitExceeded`` where a subquery has too many steps."""
        if (end - first) // step >= self._limits.steps:
            raise LimitExceeded(f"a subquery has more than {self._limits.steps:,} steps")

    def _check(self) -> None:
        self._check_at = self._left - _CHECK_EVERY
        self._check_samples(self._left)
        self.check_time()

    def _check_samples(self, left: int) -> None:
        if left < 0:
            raise LimitExceeded(f"the query reads more than {self._limits.samples:,} samples")

    def _computed(self, node: Node, at: int) -> Vector:
        if isinstance(node, Selector):
            if node.smoothed:
                return smoothed(self, node, at)
            return [(labels, value, False) for labels, _, value in self.selected(node, at)]
        if isinstance(node, Binary):
            return self._binary(node, at)
        if isinstance(node, Call):
            return self._call(node, at)
        if isinstance(node, Aggregation):
            parameter = node.parameter
            value: float | str | None = None
            if parameter is not None:
                value = parameter.value if isinstance(parameter, Text) else self.number(parameter, at)
            vector = self.vector(node.expression, at)
            self.spend(len(vector))
            if self.notes is not None and isinstance(value, float):
                if node.operator == "quantile":
                    self.notes.quantile(value, node.start)
                elif node.operator == "limit_ratio":
                    self.notes.ratio(value, node.start)
            return aggregate(node, vector, value)
        assert isinstance(node, Negation)
        return [(labels, -value, True) for labels, value, _ in self.vector(node.expression, at)]

    # Selectors

    def moment(self, at: int, pinned: At, offset: int) -> int:
        """Return the time at which a selector or subquery is looked up, evaluated at ``at``."""
        if pinned is not None:
            at = self._start if pinned == "start" else self._end if pinned == "end" else pinned
        return at - offset

    def find(self, selector: Selector) -> Sequence[Series]:
        """Return the series that a selector finds."""
        found = self._source.select(selector.matchers)
        self._check_series(len(found))
        return found

    def _series(self, selector: Selector) -> Sequence[Series]:
        found = self._source.select(selector.matchers)  # not by ``find``: a call less for each selector
        if len(found) > self._limits.series:
            self._check_series(len(found))
        self.spend(len(found) + 1)
        return found

    def _check_series(self, count: int) -> None:
        if count > self._limits.series:
            raise LimitExceeded(f"a selector finds more than {self._limits.series:,} series")

    def selected(self, selector: Selector, at: int) -> list[tuple[Labels, int, float]]:
        """Return the labels of the series that have a sample at ``at``, with its time and value."""
        moment = self.moment(at, selector.at, selector.offset)
        oldest = moment - self.look_back
        result = []
        for series in self._series(selector):
            times, values = series.samples
            index = bisect_right(times, moment) - 1
            if index < 0:
                times, values = series.reaching(oldest)
                index = bisect_right(times, moment) - 1
                if index < 0:
                    continue
            time = times[index]
            if time > oldest and not (series.ends and is_stale(values[index])):
                result.append((series.labels, time, values[index]))
        return result

    def _selected_windows(self, node: RangeSelector, at: int) -> Iterator[SeriesWindow]:
        end = self.moment(at, node.selector.at, node.selector.offset)
        start = end - node.range
        for series in self._series(node.selector):
            times, values = series.samples
            first = bisect_right(times, start)
            if not first:
                times, values = series.reaching(start)
                first = bisect_right(times, start)
            after = bisect_right(times, end)
            if first == after:
                continue
            self._left -= after - first
            if self._left < self._check_at:
                self._check()
            kept_times, kept_values = times[first:after], values[first:after]
            if series.ends:
                kept = [index for index, value in enumerate(kept_values) if not is_stale(value)]
                if not kept:
                    continue
                if len(kept) < len(kept_times):
                    kept_times = type(kept_times)("q", [kept_times[index] for index in kept])
                    kept_values = type(kept_values)("d", [kept_values[index] for index in kept])
            yield series.labels, Window(kept_times, kept_values, start, end, at), False

    # Operators and functions

    def _binary(self, node: Binary, at: int) -> Vector:
        left, right = node.left, node.right
        if isinstance(right, Number):
            vector = self.vector(left, at)
            self.spend(len(vector))
            return combine_with_scalar(node, vector, right.value, scalar_first=False)
        if type_of(left) == SCALAR:
            number, vector = self.number(left, at), self.vector(right, at)
            self.spend(len(vector))
            return combine_with_scalar(node, vector, number, scalar_first=True)
        if type_of(right) == SCALAR:
            vector, number = self.vector(left, at), self.number(right, at)
            self.spend(len(vector))
            return combine_with_scalar(node, vector, number, scalar_first=False)
        first, second = self.vector(left, at), self.vector(right, at)
        self.spend(len(first) + len(second))
        combine = combine_sets if node.operator in SET_OPERATORS else combine_vectors
        return combine(node, first, second)

    def _call(self, node: Call, at: int) -> Vector:
        name, arguments = node.function, node.arguments
        of_window = WINDOW_FUNCTIONS.get(name)
        if of_window is not None:
            over = arguments[0]
            if isinstance(over, RangeSelector) and over.extended is not None:
                return over_extended(self, node, over, at)
            found = self.over_windows(arguments[0], at, of_window, named=name in NAMED)
            if self.notes is not None and name in ("rate", "increase"):
                self.notes.counters((labels.get(NAME) for labels, _, _ in found), node.starts[0])
            return found
        of_value = FUNCTIONS.get(name)
        if of_value is not None:
            vector = self.vector(arguments[0], at)
            self.spend(len(vector))
            return [(labels, of_value(value), True) for labels, value, _ in vector]
        part = DATE_PARTS.get(name)
        if part is not None:
            if not arguments:
                return [(Labels(), part(at / 1000), False)]
            return [(labels, part(value), True) for labels, value, _ in self.vector(arguments[0], at)]
        return CALLS[name](self, node, at)

    def over_windows(
        self, node: Node, at: int, compute: Callable[[Window], float | None], *, named: bool = False
    ) -> Vector:
        result = []
        for labels, window, unnamed in self.windows(node, at):
            value = compute(window)
            if value is not None:
                result.append((labels, value, unnamed or not named))
        return result
