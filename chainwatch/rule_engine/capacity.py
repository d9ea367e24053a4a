"""Whether there is room for new series of samples: numbers for metrics, and an alert before others are refused."""

from __future__ import annotations

import asyncio
from functools import partial

from chainwatch.alerting.dispatch import firing
from chainwatch.model import Signal
from chainwatch.monitor.companions import Running
from chainwatch.store.retrying import retrying
from chainwatch.support.conditions import ConditionSet
from chainwatch.support.counters import SAMPLES_MEMORY, SAMPLES_REFUSED, SAMPLES_SERIES
from chainwatch.tsdb.tsdb import Tsdb

SAMPLES_FULL = "SamplesFull"
NEARLY = 0.85
"""The used part of what may be kept from which on it is nearly full; other programs' series are refused at 0.9."""
CHECK_EVERY = 5.0
END_AFTER = 60.0
"""Seconds between two checks, and for which there must have been room before the alert ends."""
LIMIT = "limit"
"""In place of a source: the most that may be kept."""
_REASONS = ("too many series", "memory is full")


class Capacity:
    """Watches ``tsdb``; ``loaded`` is set once the samples from before this process are there."""

    def __init__(self, tsdb: Tsdb, loaded: asyncio.Event) -> None:
        self._tsdb = tsdb
        self._loaded = loaded
        self._refused: dict[str, int] = {}

    async def watch(self, running: Running) -> None:
        """Note what is used, and raise the alert, again and again until cancelled."""
        await self._loaded.wait()
        alerting = running.alerting
        read = partial(running.database.read, lambda connection: firing(connection, [SAMPLES_FULL]))
        conditions = ConditionSet(await retrying(read), end_after=lambda _: END_AFTER)
        self._refused = _refused()
        while True:
            self._note()
            now = alerting.clock()
            signals = conditions.changes(self._conditions(int(now)), now)
            if signals:
                await retrying(partial(alerting.raise_signals, signals))
                conditions.commit(signals)
            await asyncio.sleep(CHECK_EVERY)

    def _note(self) -> None:
        room, limits = self._tsdb.room, self._tsdb.limits
        for gauge, used, most in (
            (SAMPLES_SERIES, room.series, limits.series),
            (SAMPLES_MEMORY, room.bytes, limits.bytes),
        ):
            gauge.update({(sender,): number for sender, number in dict(used).items()})
            gauge[LIMIT,] = most

    def _conditions(self, now: int) -> list[Signal]:
        """Return what holds now, at the Unix seconds ``now``, as a signal."""
        before, self._refused = self._refused, _refused()
        refused = [source for source, number in self._refused.items() if number > before.get(source, 0)]
        limits, series, size = self._tsdb.limits, len(self._tsdb), self._tsdb.bytes
        if not refused and max(series / limits.series, size / limits.bytes) < NEARLY:
            return []
        most = max(dict(self._tsdb.room.series).items(), key=lambda one: one[1], default=("own", 0))
        what = f"new series are refused ({', '.join(refused)})" if refused else "they are nearly full"
        description = (
            f"{series:,} of {limits.series:,} series, {size / 1e6:,.0f} of {limits.bytes / 1e6:,.0f} MB. Most series "
            f"are of the source {most[0]}: {most[1]:,}. What is there goes on; a series that is refused is seen by no rule."
        )
        return [
            Signal(
                {"alertname": SAMPLES_FULL, "severity": "P2"},
                now,
                {"summary": f"chainwatch's samples: {what}", "description": description},
                source="process",
            )
        ]


def _refused() -> dict[str, int]:
    """Return how many samples were refused for want of room, by source."""
    found: dict[str, int] = {}
    for (source, reason), number in dict(SAMPLES_REFUSED).items():
        if reason in _REASONS:
            found[source] = found.get(source, 0) + number
    return found
