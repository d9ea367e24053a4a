"""Counts what the monitor reads, and once it is committed: transfers, their amounts, and how long their steps took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import sqlalchemy as sa

from chainwatch.checker.finding import shown
from chainwatch.checker.flow import AMOUNT, ASSET, Flow
from chainwatch.flows.checker import Changed
from chainwatch.model import EXCLUDED, Batch, Transfer
from chainwatch.pipeline.pipeline import Item, Outcome
from chainwatch.presentation.presenter import Presenter, asset_id
from chainwatch.store.assets import AssetId
from chainwatch.store.transfer_totals import place
from chainwatch.support.counters import (
    AMOUNTS,
    BLOCKS_READ,
    LOGS_READ,
    OPENED,
    REACHED,
    STEP_SECONDS,
    TRANSFER_SECONDS,
)

StepTime: TypeAlias = tuple[str, str, int]
"""A flow, a step, and the seconds of chain time from the opening to it."""
Route: TypeAlias = tuple[str, str, str]
"""A flow, and the networks from and to which a transfer goes; empty where they are not known yet."""

COMPLETE = "complete"


@dataclass(slots=True)
class News:
    """What one transaction stored: steps, transfers that were opened with the amounts of named assets, and new statuses.

    ``completed`` has the seconds of chain time from the opening to the last step.
    """

    steps: list[StepTime] = field(default_factory=list)
    opened: list[Route] = field(default_factory=list)
    amounts: list[tuple[Route, AssetId, int]] = field(default_factory=list)
    reached: list[tuple[str, str, str, str]] = field(default_factory=list)
    completed: list[tuple[Route, int]] = field(default_factory=list)


class Counting:
    """The counts of one monitor of ``flows``; `saved` and `run` are called by the writing thread."""

    def __init__(self, flows: Iterable[Flow], presenter: Presenter) -> None:
        self._openings = {flow.name: flow.opening.name for flow in flows}
        self._presenter = presenter
        self._new: News | None = None
        """What the job under way has found; None outside of one."""

    def count_read(self, item: Item) -> None:
        """Count the blocks of an observer's ``item``, which is stored, and their logs."""
        if isinstance(item, Batch):
            BLOCKS_READ[item.network,] += item.last.number - item.first + 1
            LOGS_READ[item.network,] += len(item.events) + len(item.undecoded)

    def saved(self, changed: Sequence[Changed]) -> None:
        """Find what was not stored before."""
        new = self._new
        if new is None:
            return
        for before, after in changed:
            if (after.status != before.status or not before.id) and after.status != EXCLUDED:
                new.reached.append((*_route(after), after.status))
                if after.status == COMPLETE and after.opened_at is not None:
                    last = max(one.timestamp for one in after.occurrences)
                    new.completed.append((_route(after), max(0, last - after.opened_at)))
            if len(after.occurrences) > len(before.occurrences):
                new.steps += step_times(before, after, self._openings.get(after.flow))
                if before.opened_at is None and after.opened_at is not None and after.status != EXCLUDED:
                    new.opened.append(_route(after))
                    new.amounts += self._amounts(after)

    def _amounts(self, transfer: Transfer) -> list[tuple[Route, AssetId, int]]:
        """Return the first of a transfer's amounts, if its asset is one that the configuration names."""
        for one in transfer.occurrences:
            amount = one.facts.get(AMOUNT)
            if amount is not None:
                asset = None if ASSET not in one.facts else asset_id(one.network, shown(one.facts[ASSET]))
                if asset is None or not isinstance(amount, int) or not self._presenter.is_named(asset):
                    return []
                return [(_route(transfer), asset, amount)]
        return []

    def run(
        self, job: Callable[[sa.Connection, float], Outcome], connection: sa.Connection, now: float
    ) -> tuple[tuple[Outcome, News], float | None]:
        """Return what ``job`` returns with what it stored, and when the next flush is due."""
        new = self._new = News()
        try:
            outcome = job(connection, now)
        finally:
            self._new = None
        return (outcome, new), outcome.next_flush

    def count(self, committed: News) -> None:
        """Count what a transaction stored that is committed."""
        for flow, step, seconds in committed.steps:
            STEP_SECONDS.observe((flow, step), seconds)
        OPENED.update(committed.opened)
        REACHED.update(committed.reached)
        for route, seconds in committed.completed:
            TRANSFER_SECONDS.observe(route, seconds)
        for route, asset, amount in committed.amounts:
            AMOUNTS[*route, *asset] += amount


def _route(transfer: Transfer) -> Route:
    return transfer.flow, place(transfer.origin), place(transfer.destination)


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
