"""Tasks that go on: a crash of one is logged, counted, alerted and restarted with backoff, and stops no other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

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
    """Runs tasks until `stop`. ``report`` takes the signals about crashes."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.time) -> None:
        self._report = report
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: dict[str, Signal] = {}
        self.crashes: dict[str, int] = {}

    def remember(self, signals: Iterable[Signal]) -> None:
        """Take up alerts about tasks that fire from before this process."""
        self._failing |= {signal.labels["task"]: signal for signal in signals}

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Keep ``run`` going under ``name``; it ends when it returns."""
        task = asyncio.create_task(self._keep_going(name, run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, within: float, first: Callable[[str], bool]) -> None:
        """End every task in at most ``within`` seconds.

        Those whose name ``first`` picks are cancelled at once; the others have been asked to end and are given the time to.
        """
        tasks = list(self._tasks)
        for task in tasks:
            if first(task.get_name()):
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=0.5)

    async def _keep_going(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        while True:
            recovery = asyncio.create_task(self._recover(name))
            try:
                await run()
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                if name not in self._failing:
                    pause = FIRST_PAUSE
                await self._crashed(name, error)
            finally:
                recovery.cancel()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _crashed(self, name: str, error: Exception) -> None:
        self.crashes[name] = self.crashes.get(name, 0) + 1
        _log.error("a task crashed and is restarted", task=name, crashes=self.crashes[name], exc_info=error)
        if name not in self._failing:
            self._failing[name] = _failed(name, error, int(self._clock()))
            await self._tell(self._failing[name])

    async def _recover(self, name: str) -> None:
        """Once the task has run for long enough, end the alert about it."""
        await asyncio.sleep(HEALTHY_AFTER)
        if (failed := self._failing.pop(name, None)) is not None:
            await self._tell(
                Signal(failed.labels, failed.starts_at, failed.annotations, int(self._clock()), "runs again")
            )

    async def _tell(self, signal: Signal) -> None:
        try:
            await self._report([signal])
        except Exception:  # noqa: BLE001 - the store is what has failed: there is only the log left
            _log.error("an alert about a crash could not be stored", exc_info=True)


def _failed(name: str, error: BaseException, now: int) -> Signal:
    return Signal(
        labels={"alertname": TASK_FAILED, "task": name, "severity": "P1"},
        starts_at=now,
        annotations={
            "summary": f"chainwatch: the task {name} crashed and is being restarted",
            "description": f"{type(error).__name__}: {error}",
        },
    )
