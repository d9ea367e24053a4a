"""Tasks that go on: a crash of one is logged, counted, alerted and restarted with backoff, and stops no other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from chainwatch.model import Signal

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
HEALTHY_AFTER = 120.0
"""Seconds without a crash after which a task counts as recovered."""

Report = Callable[[Sequence[Signal]], Awaitable[None]]

_log = structlog.get_logger(__name__)


class Supervisor:
    """Runs tasks until `stop`. ``report`` takes the signals about crashes."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.time) -> None:
        self._report = report
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self.crashes: dict[str, int] = {}

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
        alerted: Signal | None = None
        while True:
            started = self._clock()
            recovery = asyncio.create_task(self._recover(alerted)) if alerted else None
            try:
                await run()
                return
            except Exception as error:  # noqa: BLE001 - whatever it was, the others go on
                self.crashes[name] = self.crashes.get(name, 0) + 1
                _log.error(
                    "a task crashed and is restarted", task=name, crashes=self.crashes[name], exc_info=True
                )
                if self._clock() - started > HEALTHY_AFTER:
                    pause, alerted = FIRST_PAUSE, None
                if alerted is None:
                    alerted = _crashed(name, error, int(self._clock()))
                    await self._tell(alerted)
            finally:
                if recovery is not None:
                    recovery.cancel()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _recover(self, alerted: Signal) -> None:
        await asyncio.sleep(HEALTHY_AFTER)
        await self._tell(
            Signal(alerted.labels, alerted.starts_at, alerted.annotations, int(self._clock()), "runs again")
        )

    async def _tell(self, signal: Signal) -> None:
        try:
            await self._report([signal])
        except Exception:  # noqa: BLE001 - the store is what has failed: there is only the log left
            _log.error("an alert about a crash could not be stored", exc_info=True)


def _crashed(name: str, error: BaseException, now: int) -> Signal:
    return Signal(
        labels={"alertname": "TaskFailed", "task": name, "severity": "P1"},
        starts_at=now,
        annotations={
            "summary": f"chainwatch: the task {name} crashed and is being restarted",
            "description": f"{type(error).__name__}: {error}",
        },
    )
