"""Raises and ends the alerts about flows whose events never come together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import sqlalchemy as sa

from chainwatch.alerting.dispatch import firing
from chainwatch.checker.flow import Flow
from chainwatch.checker.unmatched import UNMATCHED, unmatched_signals
from chainwatch.flows.unmatched import unmatched_flows
from chainwatch.model import Signal
from chainwatch.support.conditions import ConditionSet

LOOK_EVERY = 300.0
"""Seconds between two looks at the stored transfers."""

T = TypeVar("T")


class Load(Protocol):
    """Runs a job that reads; repeats it while the database refuses."""

    async def __call__(self, job: Callable[[sa.Connection], T], /) -> T: ...


async def watch_flows(
    flows: Sequence[Flow],
    load: Load,
    raise_signals: Callable[[Sequence[Signal]], Awaitable[None]],
    clock: Callable[[], float],
) -> None:
    """Look at what is stored of ``flows`` for ever; begin, after a restart too, with the alerts that fire.

    ``clock`` gives Unix seconds.
    """
    conditions = ConditionSet(await load(lambda c: firing(c, (UNMATCHED,))))
    while True:
        found = await load(lambda c: unmatched_flows(c, flows))
        now = int(clock())
        if changes := conditions.changes(unmatched_signals(found, now), now):
            await raise_signals(changes)
            conditions.commit(changes)
        await asyncio.sleep(LOOK_EVERY)
