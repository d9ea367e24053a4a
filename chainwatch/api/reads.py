"""Reads for requests: in a reader's transaction off the event loop, few at a time, so that they delay no other reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from chainwatch.store.database import Database

AT_ONCE = 2
"""The reads of all requests that run at once; the monitor has the other readers."""

T = TypeVar("T")


class Reads:
    """Reads ``database``, at most ``AT_ONCE`` at once. A read whose request has ended counts until it ends itself."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, job: Callable[[sa.Connection], T]) -> T:
        """Return what ``job`` returns on a consistent, read-only view. Raises ``StoreError``."""
        await self._free.acquire()
        reading = asyncio.ensure_future(self._database.read(job))
        reading.add_done_callback(self._done)
        return await asyncio.shield(reading)

    def _done(self, reading: asyncio.Future[T]) -> None:
        self._free.release()
        if not reading.cancelled():
            reading.exception()  # nobody may be left to take it
