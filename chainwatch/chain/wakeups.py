"""What makes the observer read the head of its network: news of a WebSocket, and the poll interval."""

from __future__ import annotations

import asyncio
import contextlib

from chainwatch.chain.pool import Pool
from chainwatch.config import NetworkSettings

IDLE_POLL = 5.0
"""Seconds between polls while a WebSocket wakes, when `poll_interval` is less: the WebSocket may have gone silent."""

LONGEST_IDLE_POLL = 10.0

LOOKS_BEFORE_BLIND = 3
"""Polls of a quiet network within its `blind_after`, however rare they would be otherwise."""

SILENT_HEADS = 2
MOST_SILENT_HEADS = 64
"""New heads in a row, found by polling alone, after which the subscription counts as dead; doubled, up to the most, each
time that a new subscription is silent too."""

VAIN_PAUSE = 0.05
LONGEST_VAIN_PAUSE = 1.0
"""Seconds between two looks when the first found no new head in spite of news; doubled as long as that goes on."""


class WakeUps:
    """The wake-ups of one network: news from the WebSockets of ``pool``, and from `wake`."""

    def __init__(self, network: NetworkSettings, pool: Pool) -> None:
        self.asked = False
        """Whether the next look answers a `wake`; cleared by who looked."""
        self._woken = False
        """Whether `wake` was called since the last wait."""
        self._network = network
        self._pool = pool
        self._news = asyncio.Event()
        self._silent = 0
        self._silence_limit = SILENT_HEADS
        self._announcements = pool.announcements
        """How many messages the subscriptions had sent when the newest head was found."""
        self._vain = 0
        """Looks in a row after news, without a new head."""
        pool.add_listener(self._news.set)

    def wake(self) -> None:
        """End the wait, and have it answered how far the network is seen."""
        self._woken = True
        self._news.set()

    def look_again(self) -> None:
        """Let the next wait end at once."""
        self._news.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for news, for ``seconds`` at most (None: the poll interval); a moment at least after vain news."""
        seconds = self._poll_interval if seconds is None else seconds
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        if self._vain and not self._woken:
            pause = min(VAIN_PAUSE * 2 ** min(self._vain, 10), LONGEST_VAIN_PAUSE, seconds)
            await asyncio.sleep(max(0.0, begun + pause - loop.time()))
        self._news.clear()
        self.asked, self._woken = self.asked or self._woken, False

    def note_head(self, is_new: bool) -> None:
        """Note that the head was read. A subscription that misses new heads is opened anew."""
        announced = self._pool.announcements != self._announcements
        if not is_new:
            self._vain += announced
            return
        self._announcements, self._vain = self._pool.announcements, 0
        self._silent = 0 if announced or not self._pool.subscribed else self._silent + 1
        if announced:
            self._silence_limit = SILENT_HEADS
        elif self._silent >= self._silence_limit:
            self._silent = 0
            self._silence_limit = min(2 * self._silence_limit, MOST_SILENT_HEADS)
            self._pool.resubscribe()

    @property
    def _poll_interval(self) -> float:
        interval = self._network.poll_interval
        if self._pool.subscribed and self._silence_limit == SILENT_HEADS:
            interval = min(max(interval, IDLE_POLL), LONGEST_IDLE_POLL)
        return min(interval, self._network.blind_after / LOOKS_BEFORE_BLIND)
