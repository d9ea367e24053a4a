"""Finds blocks of a network by their times, many together: each few headers are read for."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from chainwatch.chain.pool import Pool
from chainwatch.model import Checkpoint, Header

HEADERS_AT_ONCE = 64
"""Headers that one request asks for."""
PATIENCE = 20.0


class BlocksByTime:
    """The blocks of a network from the first one that was read up to its checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._known: list[Header] = []
        """Some of the blocks in their order, with the first and the last one."""

    async def last_until(self, pool: Pool, times: Iterable[int]) -> dict[int, Header]:
        """Return the last blocks up to ``times`` (Unix seconds), by these, as far as they were read. Raises ``ChainError``.

        Most blocks have the same distance, so that each search guesses by the times of those around.
        """
        last = self._checkpoint.last
        block_time = pool.network.block_time
        if not self._known:
            self._known = [*await read_headers(pool, [self._checkpoint.first_block]), last]
        until = last.timestamp if block_time is not None and block_time >= 1 else last.timestamp - 1
        wanted = sorted(time for time in times if self._known[0].timestamp <= time <= until)
        halve = False
        while True:
            guesses = {guess for time in wanted if (guess := self._guess(time, halve)) is not None}
            if not guesses:
                break
            found = await read_headers(pool, sorted(guesses))
            self._known = list(heapq.merge(self._known, found, key=lambda header: header.number))
            halve = not halve
        by_time = {time: self._known[self._at(time)] for time in wanted}
        oldest = min((header.number for header in by_time.values()), default=0)
        self._known = [self._known[0], *(one for one in self._known[1:] if one.number >= oldest)]
        return by_time

    def _at(self, time: int) -> int:
        """Return where among the known blocks the last one up to ``time`` stands."""
        return bisect_right(self._known, time, key=lambda header: header.timestamp) - 1

    def _guess(self, time: int, halve: bool) -> int | None:
        """Return which block may be the last one up to ``time``; None once it is known."""
        at = self._at(time)
        low, high = self._known[at], self._known[min(at + 1, len(self._known) - 1)]
        if high.number - low.number <= 1:
            return None
        if halve:
            return (low.number + high.number) // 2
        apart = (time - low.timestamp) * (high.number - low.number) // (high.timestamp - low.timestamp)
        return min(max(low.number + apart, low.number + 1), high.number - 1)


async def read_headers(pool: Pool, numbers: Sequence[int]) -> list[Header]:
    """Return the headers of the blocks ``numbers``, in that order. Raises ``ChainError``."""
    found: list[Header] = []
    for start in range(0, len(numbers), HEADERS_AT_ONCE):
        some = numbers[start : start + HEADERS_AT_ONCE]
        found += await pool.ask(lambda endpoint, some=some: endpoint.headers(some), PATIENCE)  # type: ignore[misc]
    return found
