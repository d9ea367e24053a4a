"""Time as an argument: the clock that the queues wait by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Now, and waiting, in Unix seconds."""

    def now(self) -> float:
        """Return this moment."""
        ...

    async def wait(self, event: asyncio.Event, until: float) -> None:
        """Return once ``event`` is set, or at ``until`` (Unix seconds)."""
        ...


class SystemClock:
    """This machine's clock; ``read`` gives its time."""

    def __init__(self, read: Callable[[], float] = time.time) -> None:
        self._read = read

    def now(self) -> float:
        return self._read()

    async def wait(self, event: asyncio.Event, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - self.now())):
                await event.wait()
        except TimeoutError:
            return
