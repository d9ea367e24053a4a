"""The ranges that a subquery has at one time: its expression evaluated at each step, or at all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from chainwatch.promql.errors import EvaluationError, LimitExceeded
from chainwatch.promql.ranges import Together, can_be_together
from chainwatch.promql.series import Labels
from chainwatch.promql.syntax import Subquery
from chainwatch.promql.windows import Window

if TYPE_CHECKING:
    from chainwatch.promql.evaluation import Evaluation

SeriesWindow = tuple[Labels, Window, bool]
"""The samples of one series in a range; the last one is ``unnamed``, as in an element of a vector."""
_HELD_MAX = 5_000_000
"""Samples that a subquery may have at one time: all are in memory together."""


def subquery_windows(evaluation: Evaluation, node: Subquery, at: int) -> Iterator[SeriesWindow]:
    """Yield the range of each series. Raises ``EvaluationError``."""
    end = evaluation.moment(at, node.at, node.offset)
    start = end - node.range
    step = node.step or evaluation.subquery_step
    first = (start // step + 1) * step
    evaluation.check_steps(first, end, step)
    moments = range(first, end + 1, step)
    window = Window((), (), start, end, at)
    if can_be_together(evaluation, node.expression, moments):
        return _together(evaluation, node, moments, window)
    return _each(evaluation, node, moments, window)


def _together(
    evaluation: Evaluation, node: Subquery, moments: range, window: Window
) -> Iterator[SeriesWindow]:
    together = Together(evaluation, np.array(moments, np.int64))
    with np.errstate(all="ignore"):
        rows = together.rows(node.expression)
    evaluation.spend_again(int(together.read.sum()))  # all of it counts for this time
    for labels, times, values, unnamed in together.series(rows):
        yield labels, replace(window, times=times.tolist(), values=values.tolist()), unnamed


def _each(evaluation: Evaluation, node: Subquery, moments: range, window: Window) -> Iterator[SeriesWindow]:
    found: dict[Labels, tuple[list[int], list[float], bool]] = {}
    held = 0
    for moment in moments:
        evaluation.spend(1)
        vector = evaluation.vector(node.expression, moment)
        held += len(vector)
        if held > _HELD_MAX:
            raise LimitExceeded(f"a subquery has more than {_HELD_MAX:,} samples")
        for labels, value, unnamed in vector:
            times, values, _ = found.setdefault(labels, ([], [], unnamed))
            if times and times[-1] == moment:
                raise EvaluationError("vector cannot contain metrics with the same labelset")
            times.append(moment)
            values.append(value)
    for labels, (times, values, unnamed) in found.items():
        yield labels, replace(window, times=times, values=values), unnamed
