"""The way of all samples into the database of samples: counted, and stored before they are confirmed."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chainwatch.promql.series import Metadata
from chainwatch.support.counters import SAMPLES, SAMPLES_REFUSED
from chainwatch.tsdb.model import SET_BACK, Appended, Batch, Reason
from chainwatch.tsdb.room import Sender
from chainwatch.tsdb.tsdb import Tsdb

SOURCES = PUSH, JSON, REMOTE_WRITE, SCRAPE, OWN = "push", "json", "remote write", "scrape", "own"
"""Where samples come from."""
LARGE = 32_768
"""Bytes from which on something is read beside smaller ones of its source, which do not wait for it."""
TOGETHER = 5_000
"""The most series whose samples are appended at once."""
SHARE, SOURCE_SHARE = 0.9, 0.8
"""The share of series and memory that other programs may fill, as the rest is for own metrics and what rules record; and
one source of theirs, so that none keeps all others out."""
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
    """Appends samples off the event loop, in a thread for each source, so that a large answer of one holds up no other.

    ``loaded`` is set once the samples from before this process are there, which are older. ``stored`` waits until all
    that was appended is stored, and raises ``StoreError`` where it cannot be.
    """

    def __init__(
        self, tsdb: Tsdb, loaded: asyncio.Event, stored: Callable[[], Awaitable[None]] = _nowhere
    ) -> None:
        self._tsdb = tsdb
        self._loaded = loaded
        self._stored = stored
        self._counting = threading.Lock()
        self._threads = {
            (source, is_large): ThreadPoolExecutor(
                1, f"chainwatch-samples-{source}{'-large' if is_large else ''}"
            )
            for source in SOURCES
            for is_large in (False, True)
        }

    async def run(self, source: str, work: Callable[[], T], size: int = 0) -> T:
        """Return what ``work`` returns, which parses and appends samples of ``source``: one work after the other.

        ``size``: the bytes that it reads, where it may run beside smaller ones of its source.
        """
        await self._loaded.wait()
        threads = self._threads[source, size >= LARGE]
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    def append(self, source: str, batch: Batch, now: int) -> Appended:
        """Append samples of ``source`` and count them. Call it in its thread; ``now`` is Unix ms.

        Of a large batch not all is seen at once: others wait for what is appended together. Other programs' samples leave
        room for the series of this one.
        """
        sender = Sender(source) if source == OWN else Sender(source, SHARE, SOURCE_SHARE)
        appended = Appended()
        for first in range(0, len(batch), TOGETHER):
            part = self._tsdb.append(batch[first : first + TOGETHER], now, sender)
            appended.accepted += part.accepted
            appended.changed += part.changed
            for reason, number in part.refused.items():
                appended.refuse(reason, part.examples[reason], number)
        with self._counting:
            SAMPLES[source,] += appended.accepted
        self.refuse(source, appended.refused)
        return appended

    def refuse(self, source: str, numbers: Mapping[str, int] | Mapping[Reason, int]) -> None:
        """Count samples that were refused, by reason. Call it in the thread of ``source``."""
        with self._counting:
            for reason, number in numbers.items():
                SAMPLES_REFUSED[source, reason] += number

    def describe(self, metadata: Mapping[str, Metadata]) -> None:
        """Note what is said of metrics."""
        for name, one in metadata.items():
            self._tsdb.set_metadata(name, one)

    async def stored(self) -> None:
        """Wait until what was appended is stored. Raises ``StoreError``."""
        await self._stored()
