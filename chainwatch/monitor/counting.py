"""Counts what the monitor reads, and how long the steps of transfers took, once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.flows.checker import Changed
from chainwatch.model import EXCLUDED, Batch, Transfer
from chainwatch.pipeline.pipeline import Item, Outcome
from chainwatch.support.counters import BLOCKS_READ, LOGS_READ, STEP_SECONDS

StepTime: TypeAlias = tuple[str, str, int]
"""A flow, a step, and the seconds of chain time from the opening to it."""


class Counting:
    """The counts of one monitor of ``flows``; `saved` and `run` are called by the writing thread."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        self._openings = {flow.name: flow.opening.name for flow in flows}
        self._new: list[StepTime] | None = None
        """What the job under way has found; None outside of one."""

    def count_read(self, item: Item) -> None:
        """Count the blocks of an observer's ``item``, which is stored, and their logs."""
        if isinstance(item, Batch):
            BLOCKS_READ[item.network,] += item.last.number - item.first + 1
            LOGS_READ[item.network,] += len(item.events) + len(item.undecoded)

    def saved(self, changed: Sequence[Changed]) -> None:
        """Find the steps that were not stored before."""
        if self._new is not None:
            for before, after in changed:
                if len(after.occurrences) > len(before.occurrences):
                    self._new += step_times(before, after, self._openings.get(after.flow))

    def run(
        self, job: Callable[[sa.Connection, float], Outcome], connection: sa.Connection, now: float
    ) -> tuple[tuple[Outcome, list[StepTime]], float | None]:
        """Return what ``job`` returns with the steps that it stored, and when the next flush is due."""
        new: list[StepTime] = []
        self._new = new
        try:
            outcome = job(connection, now)
        finally:
            self._new = None
        return (outcome, new), outcome.next_flush

    def count_steps(self, committed: Sequence[StepTime]) -> None:
        """Count steps whose transaction is committed."""
        for flow, step, seconds in committed:
            STEP_SECONDS.observe((flow, step), seconds)


def step_times(before: Transfer, after: Transfer, opening: str | None) -> list[StepTime]:
    """Return how long the steps took that ``after`` has and ``before`` did not, or whose opening it did not have.

    ``opening``: the name of the opening step. Of events that repeat a step, the first counts. A step that its network dates
    before the opening took no time.
    """
    opened_at = after.opened_at
    if opened_at is None or after.status == EXCLUDED:
        return []
    known = {one.step for one in before.occurrences} if before.opened_at is not None else set()
    found: list[StepTime] = []
    for one in after.occurrences:
        if one.step not in known and one.step != opening:
            known.add(one.step)
            found.append((after.flow, one.step, max(0, one.timestamp - opened_at)))
    return found
