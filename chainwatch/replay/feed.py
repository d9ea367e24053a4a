"""Hands batches from the event loop, where they are read, to the thread in which a transaction applies them."""

from __future__ import annotations

import asyncio
import enum
import queue
from collections.abc import Iterator

from chainwatch.model import SiftedBatch
from chainwatch.replay.errors import ReplayError

AHEAD = 4
"""Batches that wait for the database; a process that reads keeps more of them itself (`reader.worker.AHEAD`)."""


class Feed:
    """Hands batches to a transaction in another thread, a few at a time. Iterate over it there."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[SiftedBatch | _End] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(AHEAD)
        self._closed = False

    async def put(self, batch: SiftedBatch) -> bool:
        """Hand over ``batch`` as soon as there is room; False once the transaction has ended."""
        await self._room.acquire()
        if not self._closed:
            self._queue.put(batch)
        return not self._closed

    def end(self) -> None:
        """End the transaction: there are no more batches."""
        self._queue.put(_End.DONE)

    def abort(self) -> None:
        """Let the transaction fail, so that what was handed over is rolled back."""
        self._queue.put(_End.ABORTED)

    def close(self) -> None:
        """Note that the transaction has ended."""
        self._closed = True
        self._room.release()

    def __iter__(self) -> Iterator[SiftedBatch]:
        while not isinstance(batch := self._queue.get(), _End):
            self._loop.call_soon_threadsafe(self._room.release)
            yield batch
        if batch is _End.ABORTED:
            raise ReplayError("the replay was interrupted")


class _End(enum.Enum):
    DONE = enum.auto()
    ABORTED = enum.auto()
