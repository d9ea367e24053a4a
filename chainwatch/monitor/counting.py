"""Counts what the monitor reads, and what became of transfers and how long that took, once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import sqlalchemy as sa

from chainwatch.checker.finding import shown
from chainwatch.checker.flow import AMOUNT, ASSET, Flow
from chainwatch.config import Settings
from chainwatch.flows.checker import Changed
from chainwatch.model import EXCLUDED, Batch, Transfer
from chainwatch.pipeline.pipeline import Item, Outcome
from chainwatch.presentation.presenter import Presenter, asset_id
from chainwatch.store.assets import AssetId
from chainwatch.store.transfer_totals import place
from chainwatch.support.counters import (
    AMOUNTS_OPENED,
    BLOCKS_READ,
    LOGS_READ,
    STEP_SECONDS,
    TRANSFER_SECONDS,
    TRANSFERS_REACHED,
)

StepTime: TypeAlias = tuple[str, str, int]
"""A flow, a step, and the seconds of chain time from the opening to it."""
Route: TypeAlias = tuple[str, str, str]
"""A flow, and the networks from and to which a transfer goes: empty where that is not known yet."""
COMPLETE = "complete"


@dataclass
class Found:
    """What one transaction has stored of transfers."""

    steps: list[StepTime] = field(default_factory=list)
    reached: list[tuple[Route, str]] = field(default_factory=list)
    """Routes and statuses of transfers that came to another status."""
    completed: list[tuple[Route, int]] = field(default_factory=list)
    """Routes of transfers that became complete, with the seconds from the opening to the last step."""
    opened: list[tuple[Route, AssetId, int]] = field(default_factory=list)
    """Routes of transfers that were opened, with their asset and its amount."""


class Counting:
    """The counts of one monitor of ``flows``; `saved` and `run` are called by the writing thread.

    Amounts are counted of assets that ``settings`` name.
    """

    def __init__(self, flows: Iterable[Flow], settings: Settings) -> None:
        self._openings = {flow.name: flow.opening.name for flow in flows}
        self._presenter = Presenter.of(settings)
        self._found: Found | None = None
        """What the job under way has found; None outside of one."""

    def count_read(self, item: Item) -> None:
        """Count the blocks of an observer's ``item``, which is stored, and their logs."""
        if isinstance(item, Batch):
            BLOCKS_READ[item.network,] += item.last.number - item.first + 1
            LOGS_READ[item.network,] += len(item.events) + len(item.undecoded)

    def saved(self, changed: Sequence[Changed]) -> None:
        """Find what was not stored before."""
        found = self._found
        if found is None:
            return
        for before, after in changed:
            if len(after.occurrences) > len(before.occurrences):
                found.steps += step_times(before, after, self._openings.get(after.flow))
            if after.status == EXCLUDED or not after.occurrences:
                continue
            route = (after.flow, place(after.origin), place(after.destination))
            if after.status != before.status or not before.id:
                found.reached.append((route, after.status))
                if after.status == COMPLETE and after.opened_at is not None:
                    last = max(one.timestamp for one in after.occurrences)
                    found.completed.append((route, max(0, last - after.opened_at)))
            if before.opened_at is None and (amount := self._amount(after)) is not None:
                found.opened.append((route, *amount))

    def run(
        self, job: Callable[[sa.Connection, float], Outcome], connection: sa.Connection, now: float
    ) -> tuple[tuple[Outcome, Found], float | None]:
        """Return what ``job`` returns with what it stored, and when the next flush is due."""
        self._found = found = Found()
        try:
            outcome = job(connection, now)
        finally:
            self._found = None
        return (outcome, found), outcome.next_flush

    def count(self, committed: Found) -> None:
        """Count what is committed."""
        for flow, step, seconds in committed.steps:
            STEP_SECONDS.observe((flow, step), seconds)
        for route, status in committed.reached:
            TRANSFERS_REACHED[*route, status] += 1
        for route, seconds in committed.completed:
            TRANSFER_SECONDS.observe(route, seconds)
        for route, asset, amount in committed.opened:
            AMOUNTS_OPENED[*route, asset] += amount

    def _amount(self, transfer: Transfer) -> tuple[AssetId, int] | None:
        """Return the asset and the amount with which ``transfer`` was opened."""
        opening = self._openings.get(transfer.flow)
        event = next((one for one in transfer.occurrences if one.step == opening), None)
        if event is None or not isinstance(amount := event.facts.get(AMOUNT), int):
            return None
        named = event.facts.get(ASSET)
        asset = None if named is None else asset_id(event.network, shown(named))
        return None if asset is None or not self._presenter.is_named(asset) else (asset, amount)


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
