"""Keeps the index of transfers up to date, a moment after these are committed, and in small parts: nothing waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import sqlalchemy as sa

from chainwatch.checker.flow import Flow
from chainwatch.flows.transfer_index import prepare
from chainwatch.store.transfer_index import Update

AT_ONCE = 200
"""Changes that are indexed in one transaction, which takes some milliseconds."""
LOOK_EVERY = 2.0
"""Seconds between two looks at what has changed."""
PAUSE = 0.1
"""Seconds between two parts while there are more, so that the rest of the process keeps most of the time."""

T = TypeVar("T")


class Run(Protocol):
    """Runs a job on the database; repeats it while that refuses."""

    async def __call__(self, job: Callable[[sa.Connection], T], /) -> T: ...


async def index_transfers(flows: Iterable[Flow], load: Run, write: Run) -> None:
    """Index the transfers that changed, for ever."""
    by_name = {flow.name: flow for flow in flows}

    def find(connection: sa.Connection) -> Update | None:
        return prepare(connection, by_name, AT_ONCE)

    while True:
        update = await load(find)
        if update is not None:
            await write(update.save)
        await asyncio.sleep(PAUSE if update is not None and update.is_full else LOOK_EVERY)
