"""Waiting for a database that refuses for a passing reason: locked, full, restarting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from chainwatch.store.errors import StoreError

STORE_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts; the last one repeats."""

T = TypeVar("T")

_log = structlog.get_logger("chainwatch.store")


async def retrying(run: Callable[[], Awaitable[T]]) -> T:
    """Return the result of ``run``, which is called again while it raises a transient ``StoreError``.

    Raises any other error.
    """
    attempts = 0
    while True:
        try:
            return await run()
        except StoreError as error:
            if not error.transient:
                raise
            pause = STORE_PAUSES[min(attempts, len(STORE_PAUSES) - 1)]
            if attempts in (0, 10) or attempts % 100 == 0:
                _log.error("the database refuses; trying again", reason=str(error), tries=attempts)
            attempts += 1
            await asyncio.sleep(pause)
