"""Stores that notifications were delivered: all those that wait for the same commit in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
import structlog

from chainwatch.alerting.delivery.updates import enqueue_missed
from chainwatch.alerting.providers import Capabilities, Receipt
from chainwatch.store.alerting import outbox, receipts
from chainwatch.store.alerting.outbox import QueuedNotification
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import failure_of

GATHER = 0.02
"""Seconds between two commits."""
COMMIT_WITHIN = 2.0
"""Seconds that an acknowledgement may take from its time to its commit; a message read in between does not show it."""

_log = structlog.get_logger("chainwatch.queue")


class Delivered(NamedTuple):
    """A notification that its channel took at ``at``, with the channel's receipt; ``read_at``: when its alerts were read.

    Times are Unix seconds.
    """

    queued: QueuedNotification
    at: float
    receipt: Receipt
    read_at: float


Persist = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
"""Runs a step again until the database takes it."""


class Marks:
    """Marks the notifications of one receiver as delivered, and stores their receipts in the same transaction.

    ``capabilities``: those of the receiver's provider.
    """

    def __init__(
        self, database: Database, receiver: str, persist: Persist, capabilities: Capabilities
    ) -> None:
        self._database = database
        self._receiver = receiver
        self._persist = persist
        self._capabilities = capabilities
        self._waiting: list[tuple[Delivered, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def mark(self, delivered: Delivered) -> None:
        """Return once it is committed. Raises ``StoreError`` when the database refuses while the queue is being stopped."""
        committed = asyncio.get_running_loop().create_future()
        self._waiting.append((delivered, committed))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await committed

    async def stop(self) -> None:
        """Cancel the commit under way, if any."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting, []
            job = partial(self._store, delivered=[one for one, _ in some])
            error = await failure_of(partial(self._persist, partial(self._database.write, job)))
            if error is not None and not isinstance(error, StoreError):
                error = RuntimeError(f"deliveries cannot be stored: {type(error).__name__}")
            for _, committed in some:
                if committed.done():
                    continue  # the delivery was cancelled
                if error is None:
                    committed.set_result(None)
                else:
                    committed.set_exception(error)
            await asyncio.sleep(GATHER)

    def _store(self, connection: sa.Connection, delivered: list[Delivered]) -> None:
        outbox.mark_delivered(connection, delivered=[(one.queued.id, one.at) for one in delivered])
        if not self._capabilities.keeps_receipts:
            return
        ids = [(one.queued.key, one.receipt.remote_ids) for one in delivered]
        if refused := receipts.save(connection, self._receiver, ids, max(one.at for one in delivered)):
            _log.warning("receipts cannot be stored", receiver=self._receiver, number=refused)
        if self._capabilities.edits:
            since = min(one.read_at for one in delivered) - COMMIT_WITHIN
            now = max(one.at for one in delivered)
            enqueue_missed(connection, [one.queued for one in delivered], since, now)
