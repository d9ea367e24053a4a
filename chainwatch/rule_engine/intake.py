"""The way of all samples into the database of samples: counted, and stored before they are confirmed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chainwatch.promql.series import Metadata
from chainwatch.support.counters import SAMPLES, SAMPLES_REFUSED
from chainwatch.tsdb.model import SET_BACK, Appended, Batch, Reason
from chainwatch.tsdb.tsdb import Tsdb

SOURCES = PUSH, JSON, REMOTE_WRITE, SCRAPE, OWN = "push", "json", "remote write", "scrape", "own"
"""Where samples come from."""
TOGETHER = 2_000
"""The most series whose samples are appended at once."""
SHARE = 0.9
"""The share of series and memory that other programs may fill: the rest is for own metrics and what rules record."""
T = TypeVar("T")


async def _nowhere() -> None:
    pass


def next_time(clock: Callable[[], float], last: int) -> int:
    """Return the time of new samples by ``clock`` (Unix seconds), after ``last``: no two of a series may have the same.

    Times are Unix milliseconds. A ``last`` that is further ahead than ``SET_BACK`` is of a clock that was.
    """
    now = math.floor(clock() * 1000)
    return last + 1 if now <= last <= now + SET_BACK else now


class Intake:
    """Appends samples off the event loop, in one thread for each source, so that a large answer of one holds up no other.

    ``loaded`` is set once the samples from before this process are there, which are older. ``stored`` waits until all
    that was appended is stored, and raises ``StoreError`` where it cannot be.
    """

    def __init__(
        self, tsdb: Tsdb, loaded: asyncio.Event, stored: Callable[[], Awaitable[None]] = _nowhere
    ) -> None:
        self._tsdb = tsdb
        self._loaded = loaded
        self._stored = stored
        self._threads = {source: ThreadPoolExecutor(1, f"chainwatch-samples-{source}") for source in SOURCES}

    async def run(self, source: str, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, which parses and appends samples of ``source``: one work after the other."""
        await self._loaded.wait()
        return await asyncio.get_running_loop().run_in_executor(self._threads[source], work)

    def append(self, source: str, batch: Batch, now: int) -> Appended:
        """Append samples of ``source`` and count them. Call it in its thread; ``now`` is Unix ms.

        Of a large batch not all is seen at once: others wait for what is appended together. Other programs' samples leave
        room for the series of this one.
        """
        share = 1.0 if source == OWN else SHARE
        appended = Appended()
        for first in range(0, len(batch), TOGETHER):
            part = self._tsdb.append(batch[first : first + TOGETHER], now, share)
            appended.accepted += part.accepted
            appended.changed += part.changed
            for reason, number in part.refused.items():
                appended.refuse(reason, part.examples[reason], number)
        SAMPLES[source,] += appended.accepted
        self.refuse(source, appended.refused)
        return appended

    def refuse(self, source: str, numbers: Mapping[str, int] | Mapping[Reason, int]) -> None:
        """Count samples that were refused, by reason. Call it in the thread of ``source``."""
        for reason, number in numbers.items():
            SAMPLES_REFUSED[source, reason] += number

    def describe(self, metadata: Mapping[str, Metadata]) -> None:
        """Note what is said of metrics."""
        for name, one in metadata.items():
            self._tsdb.set_metadata(name, one)

    async def stored(self) -> None:
        """Wait until what was appended is stored. Raises ``StoreError``."""
        await self._stored()
