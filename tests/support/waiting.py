"""Waiting for what goes on beside a test: as long as a busy machine may take, and no longer than needed."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds after which what should have happened has not: only a test that fails waits for so long."""

POLL = 0.005


async def eventually(look: Callable[[], T | None], within: float = PATIENCE) -> T:
    """What `look` returns, as soon as that is true; AssertionError with what it returned in the end."""
    end = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < end, f"not within {within:g} s; in the end it was {found!r}"
        await asyncio.sleep(POLL)
    return found
