"""What a running monitor does for one checker beside the pipeline: wakes networks at its deadlines, reads what it wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

import msgspec
import sqlalchemy as sa

from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.seen import SEEN_MARGIN
from chainwatch.model import Deadline, ReadResult
from chainwatch.monitor.deadlines import DeadlineScheduler
from chainwatch.pipeline.checker import Checker
from chainwatch.pipeline.pipeline import Outcome
from chainwatch.support.wakeup import Clock

READ_EVERY, READ_AGAIN = 5.0, 1.0
"""Seconds after which a checker is asked again what it wants to read, and where reads have failed."""
READS_AT_ONCE = 500
"""Questions that a checker may ask at a time."""
PAST = SEEN_MARGIN + 1
"""Seconds after a deadline from which on the head can prove that the network was seen past it."""

T = TypeVar("T")


class Load(Protocol):
    """Reads from the database."""

    async def __call__(self, job: Callable[[sa.Connection], T], /) -> T: ...


class CheckerTasks:
    """The tasks of ``checker``; `wake` lets them know what a transaction changed."""

    def __init__(
        self,
        checker: Checker,
        networks: Iterable[str],
        pools: Mapping[str, Pool],
        load: Load,
        process: Callable[[Sequence[ReadResult]], Awaitable[None]],
        confirm_heads: Callable[[Sequence[Deadline]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """``clock`` is chain time. ``confirm_heads`` is called with deadlines whose time has come."""
        self._checker = checker
        self._name = checker.extractor.name
        self._pools = pools
        self._load = load
        self._process = process
        self._changed = {network: asyncio.Event() for network in networks}
        """Set when the checker wants to read more."""
        self._scheduler = DeadlineScheduler(self._load_deadlines, confirm_heads, clock)

    def all(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return the tasks by name, each to be run for ever."""
        reads = {
            f"reads of {self._name} {network}": partial(self._read_wanted, network)
            for network in self._changed
        }
        return {f"deadlines of {self._name}": self._scheduler.run, **reads}

    def wake(self, outcome: Outcome) -> None:
        """Wake the tasks for which a committed transaction has changed something."""
        if (changes := outcome.deadlines.get(self._name)) is not None:
            self._scheduler.cancel(changes.closed)
            self._scheduler.add(map(_when_past, changes.opened))
        for checker, network in outcome.wanted:
            if checker == self._name and network in self._changed:
                self._changed[network].set()

    async def _load_deadlines(self, after: tuple[int, int, str], until: int, limit: int) -> list[Deadline]:
        due_at, number, step = after
        position = (due_at - PAST, number, step)
        found = await self._load(lambda c: self._checker.load_deadlines(c, position, until - PAST, limit))
        return [_when_past(deadline) for deadline in found]

    async def _read_wanted(self, network: str) -> None:
        """Read from ``network`` what the checker wants beyond the watched events; for ever."""
        log = QuietLog(network=network, checker=self._name)
        loop, changed = asyncio.get_running_loop(), self._changed[network]
        while True:
            changed.clear()
            wanted = await self._load(lambda c: self._checker.load_wanted(c, network, READS_AT_ONCE))
            try:
                if wanted is not None:
                    async for result in self._checker.read(self._pools, wanted):
                        await self._process([result])
            except ChainError as error:
                log.failed(loop.time(), "reads of a checker fail; trying again later", error)
                rest = READ_AGAIN
            else:
                log.recovered(loop.time(), "reads of a checker succeed again")
                rest = READ_EVERY
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), rest)


def _when_past(deadline: Deadline) -> Deadline:
    """Return ``deadline`` for the scheduler: at the time from which on its network can be seen past it."""
    return msgspec.structs.replace(deadline, due_at=deadline.due_at + PAST)
