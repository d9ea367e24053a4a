"""Deadlines on APScheduler: a date job per deadline that is due within the horizon.

The deadlines table is the truth; a job only says that the time has come. Each due deadline is passed on once, many at a
time. One whose network cannot be seen (S5) stays a row, and is judged when its network has been seen past it.
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
"""Seconds ahead for which there are jobs."""
JOBS_MAX = 20_000
REFILL_EVERY = 20.0
"""Seconds between readings of the table."""
JOBS_AT_ONCE = 500
"""Jobs made before other tasks get their turn on the event loop."""

Position = tuple[int, int, str]
"""The place of a deadline in the order in which they are passed on: (due_at, transfer_id, step)."""
Load = Callable[[Position, int, int], Awaitable[Sequence[Deadline]]]
OnDue = Callable[[list[Deadline]], Awaitable[None]]

START: Position = (-1, -1, "")
_LAST_ID = 2**63 - 1
_LAST_STEP = "\U0010ffff"


class DeadlineScheduler:
    """Calls ``on_due`` for every open deadline when its time has come.

    ``load(after, until, limit)`` reads up to ``limit`` open deadlines with (due_at, transfer_id, step) > ``after`` and
    due_at <= ``until`` (Unix seconds), in that order. ``on_due(deadlines)`` gets many at once, one call at a time; some may
    have been met meanwhile: the table decides.
    """

    def __init__(self, load: Load, on_due: OnDue, clock: Clock | None = None) -> None:
        self._load = load
        self._on_due = on_due
        self._clock = clock or SystemClock()
        self._scheduler = _new_scheduler()
        self._jobs: dict[tuple[int, str], Deadline] = {}
        self._reached = START
        self._has_more = False
        self._refill_at = 0.0
        self._due: list[Deadline] = []
        self._work = asyncio.Event()

    async def run(self) -> None:
        """Schedule the open deadlines of the table, also those long past, and those added from now on, for ever.

        Raises what ``load`` and ``on_due`` raise. When run again it begins with the table, so nothing is lost.
        """
        self._scheduler.start()
        try:
            while True:
                await self._step()
        finally:
            self._scheduler.shutdown(wait=False)
            self._clear()

    def _clear(self) -> None:
        """Drop all jobs: the table has them, and what is added until it is read again."""
        self._scheduler = _new_scheduler()
        self._jobs, self._due = {}, []
        self._reached, self._refill_at, self._has_more = START, 0.0, False

    def add(self, deadlines: Iterable[Deadline]) -> None:
        """Schedule deadlines that were committed; those beyond what has been read of the table come with the next refill."""
        self._schedule([deadline for deadline in deadlines if _position(deadline) <= self._reached])

    def cancel(self, pairs: Iterable[tuple[int, str]]) -> None:
        """Drop the jobs of deadlines, as (transfer id, step), that are no longer open."""
        for pair in pairs:
            if self._jobs.pop(pair, None) is not None:
                self._scheduler.remove_job(_job_id(*pair))

    async def _step(self) -> None:
        self._work.clear()
        now = self._clock.now()
        self._refill_at = min(self._refill_at, now + REFILL_EVERY)  # the clock may have been set since
        if self._due:
            due, self._due = self._due, []
            await self._on_due(due)
        elif now >= self._refill_at or (self._has_more and len(self._jobs) < JOBS_MAX // 2):
            await self._refill(now)
        else:
            await self._clock.wait(self._work, self._refill_at)

    async def _refill(self, now: float) -> None:
        """Read the deadlines due within the horizon, as many as there is room for."""
        self._refill_at = now + REFILL_EVERY
        # jobs wait by the host's clock, which may have been set back
        self._schedule([deadline for deadline in self._jobs.values() if deadline.due_at <= now])
        room = JOBS_MAX - len(self._jobs)
        if room <= 0:
            return
        before, until = self._reached, int(now) + HORIZON
        self._reached = max(
            before, (until, _LAST_ID, _LAST_STEP)
        )  # what is added meanwhile is scheduled at once
        found = await self._load(before, until, room)
        self._has_more = len(found) >= room
        if self._has_more:
            self._reached = min(self._reached, _position(found[-1]))
        for start in range(0, len(found), JOBS_AT_ONCE):
            self._schedule(found[start : start + JOBS_AT_ONCE])
            await asyncio.sleep(0)

    def _schedule(self, deadlines: Sequence[Deadline]) -> None:
        """Make a job for each deadline; one that is due already needs none."""
        now = self._clock.now()
        running = self._scheduler.state == STATE_RUNNING
        if running:
            self._scheduler.pause()  # one wake-up for all of them
        for deadline in deadlines:
            pair = (deadline.transfer_id, deadline.step)
            if deadline.due_at <= now:
                self.cancel([pair])
                self._due.append(deadline)
                self._work.set()
            elif pair in self._jobs or len(self._jobs) < JOBS_MAX:
                if self._jobs.get(pair) != deadline:
                    self._jobs[pair] = deadline
                    self._add_job(_job_id(*pair), deadline.due_at, self._fire, (pair,))
            else:
                self._reached = min(self._reached, _before(deadline))
                self._has_more = True
        if running:
            self._scheduler.resume()

    def _add_job(self, job_id: str, when: float, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._scheduler.add_job(
            call,
            "date",
            # APScheduler uses the host's clock, which may differ
            run_date=datetime.now(UTC) + timedelta(seconds=when - self._clock.now()),
            args=args,
            id=job_id,
            replace_existing=True,
        )

    def _fire(self, pair: tuple[int, str]) -> None:
        deadline = self._jobs.pop(pair, None)
        if deadline is not None:
            self._due.append(deadline)
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
