"""Deadlines on APScheduler: a date job per deadline that comes due within the horizon.

The deadlines table is the truth; a job only says that the time has come. What is due is handed over, many at a time, and
never again: a deadline whose network cannot be seen (S5) stays a row, and its network raises it once it is seen past it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.base import STATE_RUNNING

from chainwatch.model import Deadline
from chainwatch.support.wakeup import Clock, SystemClock

HORIZON = 60
"""Seconds ahead for which jobs are held."""
JOBS_MAX = 20_000
REFILL_EVERY = 20.0
"""Seconds between readings of the table."""
HOLD_AT_ONCE = 500
"""Jobs made before others get their turn on the event loop."""

Position = tuple[int, int, str]
"""Where a deadline stands in the order of handing over: (due_at, transfer_id, step)."""
Load = Callable[[Position, int, int], Awaitable[Sequence[Deadline]]]
Due = Callable[[list[Deadline]], Awaitable[None]]

START: Position = (-1, -1, "")
_LAST_ID = 2**63 - 1
_LAST_STEP = "\U0010ffff"


class DeadlineScheduler:
    """Hands over every open deadline once its time has come.

    ``load(after, until, limit)`` reads up to ``limit`` open deadlines with (due_at, transfer_id, step) > ``after`` and
    due_at <= ``until``, in that order. ``due(deadlines)`` is told of many at once; one call at a time. Some may be handed
    over that are open no more: the table decides.
    """

    def __init__(self, load: Load, due: Due, clock: Clock | None = None) -> None:
        self._load = load
        self._due = due
        self._clock = clock or SystemClock()
        self._scheduler = _new_scheduler()
        self._held: dict[tuple[int, str], Deadline] = {}
        self._reached = START
        self._has_more = False
        self._refill_at = 0.0
        self._come: list[Deadline] = []
        self._work = asyncio.Event()

    async def run(self) -> None:
        """Take up the open deadlines from the table, those long past among them, and hand over from now on; for ever.

        Raises what ``load`` and ``due`` raise. When run again it begins with the table, so nothing is lost.
        """
        self._scheduler.start()
        try:
            while True:
                await self._go_on()
        finally:
            self._scheduler.shutdown(wait=False)
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Hold nothing: what is added until the table is read again will be found there."""
        self._scheduler = _new_scheduler()
        self._held, self._come = {}, []
        self._reached, self._refill_at, self._has_more = START, 0.0, False

    def added(self, deadlines: Iterable[Deadline]) -> None:
        """Deadlines that were committed. Those beyond what has been read from the table are left to the next refill."""
        self._hold([deadline for deadline in deadlines if _position(deadline) <= self._reached])

    def cancelled(self, pairs: Iterable[tuple[int, str]]) -> None:
        """Deadlines, as (transfer id, step), that are open no more."""
        for pair in pairs:
            if self._held.pop(pair, None) is not None:
                self._scheduler.remove_job(_job_id(*pair))

    async def _go_on(self) -> None:
        self._work.clear()
        now = self._clock.now()
        self._refill_at = min(self._refill_at, now + REFILL_EVERY)  # the clock may have been put right since
        if self._come:
            come, self._come = self._come, []
            await self._due(come)
        elif now >= self._refill_at or (self._has_more and len(self._held) < JOBS_MAX // 2):
            await self._refill(now)
        else:
            await self._clock.wait(self._work, self._refill_at)

    async def _refill(self, now: float) -> None:
        """Read what comes due within the horizon, as far as there is room."""
        self._refill_at = now + REFILL_EVERY
        # jobs wait by the host's clock, which may have been set back
        self._hold([deadline for deadline in self._held.values() if deadline.due_at <= now])
        room = JOBS_MAX - len(self._held)
        if room <= 0:
            return
        before, until = self._reached, int(now) + HORIZON
        self._reached = max(before, (until, _LAST_ID, _LAST_STEP))  # what is added meanwhile is held at once
        found = await self._load(before, until, room)
        self._has_more = len(found) >= room
        if self._has_more:
            self._reached = min(self._reached, _position(found[-1]))
        for start in range(0, len(found), HOLD_AT_ONCE):
            self._hold(found[start : start + HOLD_AT_ONCE])
            await asyncio.sleep(0)

    def _hold(self, deadlines: Sequence[Deadline]) -> None:
        """Make a job of each; what is due already needs none."""
        now = self._clock.now()
        running = self._scheduler.state == STATE_RUNNING
        if running:
            self._scheduler.pause()  # one wake-up for all of them
        for deadline in deadlines:
            pair = (deadline.transfer_id, deadline.step)
            if deadline.due_at <= now:
                self.cancelled([pair])
                self._come.append(deadline)
                self._work.set()
            elif pair in self._held or len(self._held) < JOBS_MAX:
                if self._held.get(pair) != deadline:
                    self._held[pair] = deadline
                    self._add_job(_job_id(*pair), deadline.due_at, self._ripen, (pair,))
            else:
                self._reached = min(self._reached, _before(deadline))
                self._has_more = True
        if running:
            self._scheduler.resume()

    def _add_job(self, job_id: str, when: float, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._scheduler.add_job(
            call,
            "date",
            # the library goes by the host's clock, which may be another
            run_date=datetime.now(UTC) + timedelta(seconds=when - self._clock.now()),
            args=args,
            id=job_id,
            replace_existing=True,
        )

    def _ripen(self, pair: tuple[int, str]) -> None:
        deadline = self._held.pop(pair, None)
        if deadline is not None:
            self._come.append(deadline)
            self._work.set()


def _new_scheduler() -> AsyncIOScheduler:
    for name in ("apscheduler.scheduler", "apscheduler.executors.default"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a line or two per job otherwise
    return AsyncIOScheduler(
        timezone=UTC,
        executors={"default": DebugExecutor()},  # jobs only append to a list: no thread, no task for each
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )


def _position(deadline: Deadline) -> Position:
    return (deadline.due_at, deadline.transfer_id, deadline.step)


def _before(deadline: Deadline) -> Position:
    return (deadline.due_at, deadline.transfer_id, "")


def _job_id(transfer_id: int, step: str) -> str:
    return f"{transfer_id}/{step}"
