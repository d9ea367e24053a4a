"""Reads for requests: in a reader's transaction off the event loop, few at a time, so that they delay no other reader."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from chainwatch.api.kept import KeptAnswers
from chainwatch.operations.context import Context, Contexts, RuleGroups
from chainwatch.plan import Plan
from chainwatch.store.database import Database

AT_ONCE = 1
"""The reads of all requests that run at once: each competes with the event loop."""

SHARED_FOR = 1.0
"""Seconds for which what was read for one request serves others, while this process commits nothing."""

P = ParamSpec("P")
T = TypeVar("T")


class Reads:
    """Runs operations that only read, at most ``AT_ONCE`` at once. One whose request has ended counts until its own end.

    ``clock`` gives Unix seconds; ``rule_groups`` returns how rules stand, where any are evaluated.
    """

    def __init__(
        self,
        database: Database,
        plan: Plan,
        clock: Callable[[], float] = time.time,
        rule_groups: RuleGroups | None = None,
    ) -> None:
        self._database = database
        self._contexts = Contexts(plan, rule_groups)
        self._clock = clock
        self._free = asyncio.Semaphore(AT_ONCE)
        self._kept: KeptAnswers[bytes] = KeptAnswers(lambda: database.commits, fresh_for=SHARED_FOR)

    async def __call__(
        self,
        operation: Callable[Concatenate[sa.Connection, Context, float, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what ``operation`` returns on a consistent, read-only view. Raises ``StoreError`` and what it raises."""

        def job(connection: sa.Connection) -> T:
            return operation(connection, self._contexts.on(connection), self._clock(), *args, **kwargs)

        await self._free.acquire()
        reading = asyncio.ensure_future(self._database.read(job))
        reading.add_done_callback(self._done)
        return await asyncio.shield(reading)

    async def shared(
        self, key: tuple[object, ...], operation: Callable[[sa.Connection, Context, float], bytes]
    ) -> bytes:
        """Return the same, perhaps as it was read for another request with this ``key``, of the present state.

        What other processes have committed may be missing for ``SHARED_FOR`` seconds.
        """
        return await self._kept.get(key, lambda: self(operation))

    def _done(self, reading: asyncio.Future[T]) -> None:
        self._free.release()
        if not reading.cancelled():
            reading.exception()  # nobody may be left to take it
