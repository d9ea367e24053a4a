"""How often an endpoint is asked: as configured at most, and less once it has said that it is too often."""

from __future__ import annotations

import asyncio
from collections import deque

from aiolimiter import AsyncLimiter

from chainwatch.chain.transport import Transport

LEAST = 5.0
"""Calls a second below which nothing is learned: an endpoint that wants fewer is set aside for a while each time."""

FASTER_AFTER = 15.0
FASTER_BY = 1.5
"""Seconds without a complaint after which a learned rate is raised, and the factor."""

WINDOW = 1.0


class PacedTransport:
    """``transport`` with at most ``most`` calls a second (None: as many as there are), fewer after `too_often`.

    Each call of a batch counts, as it does for those who sell them.
    """

    def __init__(self, transport: Transport, most: float | None) -> None:
        self.name = transport.name
        self.rate = most
        """Calls a second that are allowed now; None for any number."""
        self.took: float | None = None
        """Seconds that the last answer took, without the wait before it was asked for."""
        self._transport = transport
        self._most = most
        self._limiter = _limiter(most)
        self._recent: deque[tuple[float, int]] = deque(maxlen=10_000)
        self._complained_at = 0.0

    @property
    def largest_batch(self) -> int:
        """Calls of one batch: no more than may be made in a second."""
        most = self._transport.largest_batch
        return most if self.rate is None else max(1, min(most, int(self.rate)))

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        """See `Transport`."""
        self._go_faster()
        if self._limiter is not None:
            await self._limiter.acquire(min(calls, self._limiter.max_rate))
        begun = asyncio.get_running_loop().time()
        self._recent.append((begun, calls))
        answer = await self._transport.exchange(body, id, seconds, calls)
        self.took = asyncio.get_running_loop().time() - begun
        return answer

    def too_often(self) -> None:
        """The endpoint wants fewer calls: half of those that it got in the last second."""
        now = asyncio.get_running_loop().time()
        sent = sum(calls for at, calls in self._recent if now - at <= WINDOW) / WINDOW
        if not sent:
            return  # it was a connection that was too much
        least = LEAST if self._most is None else min(LEAST, self._most)
        self._set_rate(max(least, min(sent, self.rate or sent) / 2))
        self._complained_at = now

    def _go_faster(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.rate is None or self.rate == self._most or now - self._complained_at < FASTER_AFTER:
            return
        self._complained_at = now
        faster = self.rate * FASTER_BY
        self._set_rate(faster if self._most is None else min(faster, self._most))

    def _set_rate(self, rate: float) -> None:
        self.rate = rate
        self._limiter = _limiter(rate)


def _limiter(rate: float | None) -> AsyncLimiter | None:
    """Lets ``rate`` calls through each second, in bursts of a second's worth."""
    if rate is None:
        return None
    burst = max(1.0, rate)
    return AsyncLimiter(burst, burst / rate)
