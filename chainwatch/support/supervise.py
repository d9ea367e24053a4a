"""Supervised tasks: a crash of one is logged, counted, alerted and restarted with backoff, and stops no other."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from weakref import WeakSet

import structlog

from chainwatch.model import Signal
from chainwatch.support.conditions import ConditionSet
from chainwatch.support.counters import CRASHES

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
HEALTHY_AFTER = 120.0
"""Seconds without a crash after which a task counts as recovered."""

CANCEL_AGAIN = 2.0
"""Seconds after which a task that is still running although it was cancelled is cancelled again."""

TEXT_LENGTH = 1_000
TRACEBACK_LENGTH = 20_000
"""Characters of an error's text, and of its traceback, that are logged."""

TASK_FAILED = "TaskFailed"

Report = Callable[[Sequence[Signal]], Awaitable[None]]

_log = structlog.get_logger(__name__)


class Supervisor:
    """Runs tasks until `stop`. ``report`` takes the signals about crashes; ``clock`` gives Unix seconds."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.time) -> None:
        self._report = report
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failing = ConditionSet()
        """The tasks that crashed and have not run well since."""
        self._last_error: dict[str, str] = {}
        self.crashes: dict[str, int] = {}
        self._ending: WeakSet[asyncio.Task[None]] = WeakSet()
        """The tasks that were asked to end, or were cancelled."""

    async def remember(self, signals: Iterable[Signal]) -> None:
        """Take over the alerts about crashes that fire from before this process; call it once all tasks are started.

        Alerts about tasks that no longer exist end.
        """
        self._failing.restore(signals)
        gone = {signal.labels["task"] for signal in self._failing.firing} - self._tasks.keys()
        await self._end_alerts(gone, "there is no such task any more")

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Keep ``run`` going under ``name``; it ends when it returns."""
        self._tasks[name] = asyncio.create_task(self._keep_going(name, run), name=name)

    @property
    def failing(self) -> list[str]:
        """The tasks that crashed and have not run well since."""
        return [signal.labels["task"] for signal in self._failing.firing]

    async def finish(self, name: str, within: float) -> None:
        """Wait for at most ``within`` seconds for a task that has been asked to end; then it is cancelled."""
        task = self._tasks.pop(name)
        self._ending.add(task)
        _, late = await asyncio.wait([task], timeout=within)
        if late:
            task.cancel()
            await asyncio.wait([task])

    async def stop(self, within: float, first: Callable[[str], bool]) -> None:
        """End every task in at most ``within`` seconds.

        Tasks whose name ``first`` picks are cancelled at once. The caller has asked the others to end; they are cancelled
        when the time is over.
        """
        self._ending.update(self._tasks.values())
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
        """Run ``run`` in a task of its own each time, so that a cancellation from within it is a crash and not a stop."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            begun = loop.time()
            recovery = asyncio.create_task(self._recover(name))
            try:
                error = await failure_of(run)
            finally:
                recovery.cancel()
            if error is None:
                if not self._is_ending():
                    _log.info("a task has ended", task=name)
                    await failure_of(partial(self._end_alerts, {name}, "has ended"))
                return
            if self._is_ending():
                _log.warning("a task failed while it was ending", task=name, error=_text(error))
                return
            await failure_of(partial(self._note, name, error))
            await failure_of(partial(self._raise_alert, name, error))
            del error  # it references everything that the task did when it failed
            if loop.time() - begun >= HEALTHY_AFTER:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _is_ending(self) -> bool:
        return asyncio.current_task() in self._ending

    async def _note(self, name: str, error: BaseException) -> None:
        """Count and log a crash; a repetition is logged without its traceback, which would say nothing new."""
        CRASHES[name,] += 1
        crashes = self.crashes[name] = self.crashes.get(name, 0) + 1
        text = _text(error)
        news = text != self._last_error.get(name)
        self._last_error[name] = text
        details = {"exception": _traceback(error)} if news else {"error": text}
        _log.error("a task crashed and is restarted", task=name, crashes=crashes, **details)

    async def _raise_alert(self, name: str, error: BaseException) -> None:
        now = int(self._clock())
        failed = _failed(name, error, now)
        await self._store(self._failing.changes([failed], now, unknown=lambda s: s.labels["task"] != name))

    async def _recover(self, name: str) -> None:
        """End the alert about a task that has run for long enough; try again while that cannot be stored."""
        while True:
            await asyncio.sleep(HEALTHY_AFTER)
            await failure_of(partial(self._end_alerts, {name}, "runs again"))

    async def _end_alerts(self, names: Collection[str], reason: str) -> None:
        now = int(self._clock())
        ended = self._failing.changes([], now, lambda s: s.labels["task"] not in names, reason)
        await self._store(ended)

    async def _store(self, signals: Sequence[Signal]) -> None:
        """Report ``signals``; those that cannot be stored are logged and come again with the next change of their task."""
        for signal in signals:
            error = await failure_of(partial(self._report, [signal]))
            if error is None:
                self._failing.commit([signal])
            else:  # the store is what has failed: only the log is left
                task = signal.labels["task"]
                _log.error("an alert about a crash could not be stored", task=task, error=_text(error))


async def failure_of(run: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Return what ``run`` raised, of whatever class; None once it has returned.

    ``run`` runs in a task of its own, which is cancelled with the caller. So its own cancellation can be distinguished
    from the caller's, and what it leaves behind in that task (a count of cancellations, up to Python 3.12) ends with
    that task.
    """
    task = asyncio.create_task(_caught(run))
    try:
        await asyncio.wait([task])
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=CANCEL_AGAIN)
    return asyncio.CancelledError() if task.cancelled() else task.result()


async def _caught(run: Callable[[], Awaitable[None]]) -> BaseException | None:
    try:
        await run()
    except BaseException as error:  # noqa: BLE001 - SystemExit out of a library would end the loop, with all other tasks
        return error
    return None


def _text(error: BaseException) -> str:
    """Return the class and the text of ``error``."""
    try:
        return f"{type(error).__name__}: {error}"[:TEXT_LENGTH]
    except BaseException as unspeakable:  # noqa: BLE001 - __str__ is foreign code
        return f"{type(error).__name__} (its text cannot be made: {type(unspeakable).__name__})"


def _traceback(error: BaseException) -> str:
    """Return the beginning and the end of the traceback of ``error``; its text alone where none can be made."""
    try:
        whole = "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001 - foreign __str__ and __repr__ run in it, and it may run out of stack or memory
        return _text(error)
    half = TRACEBACK_LENGTH // 2
    return whole if len(whole) <= TRACEBACK_LENGTH else f"{whole[:half]}\n…\n{whole[-half:]}"


def _failed(name: str, error: BaseException, now: int) -> Signal:
    """Return the alert about a crash: the error and its place, not its text, which may hold secrets (S9)."""
    return Signal(
        labels={"alertname": TASK_FAILED, "task": name, "severity": "P1"},
        starts_at=now,
        annotations={
            "summary": f"chainwatch: the task {name} crashed and is being restarted",
            "description": f"{type(error).__name__}{place_of(error)}. The log has its text and traceback.",
        },
        source="process",
    )


def place_of(error: BaseException) -> str:
    """Return `` in FILE, line N`` where ``error`` was raised; empty when it was raised nowhere."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" in {Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}"
