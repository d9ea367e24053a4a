"""Answers that were just made: what many clients ask for at once is read and encoded once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import AnyStr, Generic

FRESH_FOR = 2.0
"""Seconds for which an answer serves everybody, while nothing is committed here. Other processes may commit meanwhile."""
KEPT_MAX = 64
"""The most answers that are kept."""
LENGTH_MAX = 2**18
"""The most bytes, or characters, of one that is kept: a larger one serves only who waited for it."""


@dataclass
class _Kept(Generic[AnyStr]):
    """An answer that is made, or being made for ``waiting`` requests, for the state after ``commits`` commits."""

    commits: int
    at: float
    answer: asyncio.Future[AnyStr]
    waiting: int = 0


class KeptAnswers(Generic[AnyStr]):
    """Answers by their keys. ``commits`` counts the changes of the database; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        commits: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        fresh_for: float = FRESH_FOR,
    ) -> None:
        self._commits = commits
        self._clock = clock
        self._fresh_for = fresh_for
        self._kept: OrderedDict[tuple[object, ...], _Kept[AnyStr]] = OrderedDict()

    async def get(self, key: tuple[object, ...], make: Callable[[], Awaitable[AnyStr]]) -> AnyStr:
        """Return the answer to ``key``; ``make`` makes it where there is none of the present state.

        The making is cancelled once every request that waits for it has ended, so that it delays no other.
        """
        commits, now = self._commits(), self._clock()
        kept = self._kept.pop(key, None)
        if kept is None or kept.commits != commits or now - kept.at >= self._fresh_for:
            kept = _Kept(commits, now, asyncio.ensure_future(make()))
            kept.answer.add_done_callback(lambda made: self._made(key, made))
        self._kept[key] = kept
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        kept.waiting += 1
        try:
            return await asyncio.shield(kept.answer)
        finally:
            kept.waiting -= 1
            if not kept.waiting and not kept.answer.done():
                kept.answer.cancel()
                if self._kept.get(key) is kept:  # who asks next must not get what is being cancelled
                    del self._kept[key]

    def _made(self, key: tuple[object, ...], made: asyncio.Future[AnyStr]) -> None:
        """Forget an answer that is no use to others."""
        failed = made.cancelled() or made.exception() is not None
        kept = self._kept.get(key)
        if kept is not None and kept.answer is made and (failed or len(made.result()) > LENGTH_MAX):
            del self._kept[key]
