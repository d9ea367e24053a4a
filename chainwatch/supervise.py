"""Tasks that go on: a crash of one is logged, counted, alerted and restarted with backoff, and stops no other."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import structlog

from chainwatch.model import Signal

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
HEALTHY_AFTER = 120.0
"""Seconds without a crash after which a task counts as recovered."""

TASK_FAILED = "TaskFailed"

Report = Callable[[Sequence[Signal]], Awaitable[None]]

_log = structlog.get_logger(__name__)


class Supervisor:
    """Runs tasks until `stop`. ``report`` takes the signals about crashes; ``clock`` gives Unix seconds."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.time) -> None:
        self._report = report
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failing: dict[str, Signal] = {}
        """The alerts that were told and have not ended, by task."""
        self._last_error: dict[str, str] = {}
        self._stopping = False
        self.crashes: dict[str, int] = {}

    async def remember(self, signals: Iterable[Signal]) -> None:
        """Take up alerts that fire from before this process: call it once all tasks are started.

        Those about tasks that are no more end.
        """
        self._failing |= {signal.labels["task"]: signal for signal in signals}
        for name in self._failing.keys() - self._tasks.keys():
            await self._over(name, "there is no such task any more")

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Keep ``run`` going under ``name``; it ends when it returns."""
        self._tasks[name] = asyncio.create_task(self._keep_going(name, run), name=name)

    async def finish(self, name: str, within: float) -> None:
        """Wait for at most ``within`` seconds for a task that has been asked to end; then it is cancelled."""
        task = self._tasks.pop(name)
        _, late = await asyncio.wait([task], timeout=within)
        if late:
            task.cancel()
            await asyncio.wait([task])

    async def stop(self, within: float, first: Callable[[str], bool]) -> None:
        """End every task in at most ``within`` seconds.

        Those whose name ``first`` picks are cancelled at once; the others have been asked to end and are given the time to.
        """
        self._stopping = True
        for name, task in self._tasks.items():
            if first(name):
                task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=within)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=0.5)

    async def _keep_going(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            begun = loop.time()
            recovery = asyncio.create_task(self._recover(name))
            try:
                await run()
                if not self._stopping:
                    await self._over(name, "has ended")
                return
            except (Exception, asyncio.CancelledError) as error:  # whatever it is, the others go on
                if _is_being_stopped():
                    raise asyncio.CancelledError from error
                await self._crashed(name, error)
            finally:
                recovery.cancel()
            if loop.time() - begun >= HEALTHY_AFTER:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _crashed(self, name: str, error: BaseException) -> None:
        crashes = self.crashes[name] = self.crashes.get(name, 0) + 1
        text = f"{type(error).__name__}: {error}"
        news = text != self._last_error.get(name)  # the same traceback again would say nothing more
        self._last_error[name] = text
        _log.error(
            "a task crashed and is restarted",
            task=name,
            crashes=crashes,
            **({"exc_info": error} if news else {"error": text}),
        )
        failed = _failed(name, error, int(self._clock()))
        if name not in self._failing and await self._tell(failed):
            self._failing[name] = failed

    async def _recover(self, name: str) -> None:
        """Once the task has run for long enough, end the alert about it."""
        await asyncio.sleep(HEALTHY_AFTER)
        await self._over(name, "runs again")

    async def _over(self, name: str, reason: str) -> None:
        failed = self._failing.get(name)
        if failed is not None and await self._tell(
            Signal(failed.labels, failed.starts_at, failed.annotations, int(self._clock()), reason)
        ):
            del self._failing[name]

    async def _tell(self, signal: Signal) -> bool:
        """Whether it could be stored."""
        try:
            await self._report([signal])
        except Exception:  # noqa: BLE001 - the store is what has failed: there is only the log left
            _log.error(
                "an alert about a crash could not be stored", task=signal.labels["task"], exc_info=True
            )
            return False
        return True


def _is_being_stopped() -> bool:
    """Whether the current task was cancelled; a cancellation that came out of what it waited for is a crash."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(name: str, error: BaseException, now: int) -> Signal:
    """Names the error and its place; its text stays in the log, for it may hold what is not for everyone (S9)."""
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" in {Path(place[0].filename).name}, line {place[0].lineno}" if place else ""
    return Signal(
        labels={"alertname": TASK_FAILED, "task": name, "severity": "P1"},
        starts_at=now,
        annotations={
            "summary": f"chainwatch: the task {name} crashed and is being restarted",
            "description": f"{type(error).__name__}{where}. The log has the whole of it.",
        },
    )
