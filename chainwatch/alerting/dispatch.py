"""What runs beside an alert manager: a queue for each receiver, the timer of the groups, and pruning of what is old."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

import sqlalchemy as sa
import structlog

from chainwatch.alerting.delivery.queue import ReceiverQueue
from chainwatch.alerting.providers import Provider, build_provider
from chainwatch.config import ReceiverSettings
from chainwatch.model import Signal
from chainwatch.store import retention
from chainwatch.store.alerting import alerts
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import TASK_FAILED, Supervisor
from chainwatch.support.wakeup import SystemClock

LOOK_EVERY = 0.5
"""Seconds after which is looked at what other processes have written: commands take effect within this time."""
RETENTION_EVERY = 3600.0
"""Seconds between two prunings at most; what is kept for less is pruned so much more often."""
PRUNINGS = 10
"""Within the time that what is over is kept."""
RETENTION_PAUSE = 1.0
"""Seconds between two prunings at least."""
RETENTION_STEP = 2_000
"""Rows that one step of pruning may take."""
STORE_PAUSE = 1.0
"""Seconds until a database that refused is asked again."""
STOP_WITHIN = 4.0
"""Seconds within which a stop ends everything; what was not done by then is done after the next start."""

T = TypeVar("T")
_QUEUE = "receiver "

_log = structlog.get_logger("chainwatch.dispatch")


class Alerts(Protocol):
    """The alert manager, or what stands for it; both return when they have to be called next (Unix seconds)."""

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Let ``signals`` change alerts, and tell what is due."""
        ...

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """Do what time alone brings, and tell what is due."""
        ...


@dataclass(frozen=True)
class Receiver:
    """A receiver as it is run. ``give_up_after`` is in seconds; ``rate_limit``: severity → notifications a minute."""

    name: str
    provider: Provider
    give_up_after: float
    send_resolved: bool = True
    rate_limit: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: ReceiverSettings) -> Self:
        """The one that is configured."""
        return cls(
            settings.name,
            build_provider(settings),
            give_up_after=settings.give_up_after,
            send_resolved=settings.send_resolved,
            rate_limit=settings.rate_limit,
        )


class Dispatch:
    """Sees that what is due is told. Tasks run under ``supervisor``; ``keep_for``: seconds that what is over is kept.

    ``write`` may be called from any thread, the rest on the loop on which this was made.
    """

    def __init__(
        self,
        database: Database,
        supervisor: Supervisor,
        *,
        keep_for: float,
        external_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._alerts: Alerts
        self._supervisor = supervisor
        self._keep_for = keep_for
        self._external_url = external_url
        self._clock = clock
        self._queues: dict[str, ReceiverQueue] = {}
        self._due_at = math.inf
        self._changed = asyncio.Event()
        self._prune_again = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def start(self, alerts: Alerts, receivers: Iterable[Receiver]) -> None:
        """Run every queue and timer; alerts about tasks that are no more end, so call it after the other tasks began."""
        self._alerts = alerts
        for receiver in receivers:
            self.add(receiver)
        self._supervisor.start("timers", self._keep_time)
        self._supervisor.start("retention", self._prune)
        await self._supervisor.remember(await self._database.read(lambda c: firing(c, [TASK_FAILED])))

    def add(self, receiver: Receiver) -> None:
        """Run the queue of ``receiver`` too."""
        queue = self._queues[receiver.name] = ReceiverQueue(
            self._database,
            receiver.name,
            receiver.provider,
            self.raise_signals,
            give_up_after=receiver.give_up_after,
            external_url=self._external_url,
            clock=SystemClock(self._clock),
        )
        self._supervisor.start(_QUEUE + receiver.name, queue.run)

    async def reload(
        self, gone: Iterable[str], new: Iterable[Receiver], *, keep_for: float, external_url: str
    ) -> None:
        """End the queues of ``gone``, then run those of ``new``; what was queued for a receiver stays in the database."""
        self._keep_for, self._external_url = keep_for, external_url
        self._prune_again.set()
        ending = {name: self._queues.pop(name) for name in gone}
        for queue in ending.values():
            queue.stop()
        await asyncio.gather(*(self._supervisor.finish(_QUEUE + name, STOP_WITHIN) for name in ending))
        for receiver in new:
            self.add(receiver)

    async def stop(self) -> None:
        """End every task of the supervisor; what was not delivered stays in the database."""
        for queue in self._queues.values():
            queue.stop()
        await self._supervisor.stop(STOP_WITHIN, first=lambda task: not task.startswith(_QUEUE))

    def write(self, job: Callable[[sa.Connection, float], tuple[T, float | None]]) -> Future[T]:
        """Hand ``job`` to the writer's thread; it gets the clock's value and returns its result and when to flush next.

        What waits for it is woken once it is committed.
        """

        def run(connection: sa.Connection) -> T:
            result, due_at = job(connection, self._clock())
            self._due_at = math.inf if due_at is None else due_at
            return result

        def committed(done: Future[T]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._due_at = 0.0  # it may tell of what was undone: look again
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake)

        future = self._database.hand_over(run)
        future.add_done_callback(committed)
        return future

    async def raise_signals(self, signals: Sequence[Signal]) -> None:
        """Let signals about this process itself take their way to the receivers. Raises ``StoreError``."""
        await asyncio.wrap_future(
            self.write(lambda connection, now: (None, self._alerts.apply(connection, signals, now)))
        )

    def _wake(self) -> None:
        self._changed.set()
        for queue in self._queues.values():
            queue.wake()

    async def _keep_time(self) -> None:
        """Have flushed what is due, and look from time to time whether a command has changed something."""
        look_at = 0.0
        while True:
            self._changed.clear()
            now = self._clock()
            wait = min(self._due_at, look_at) - now
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(wait, LOOK_EVERY)):
                        await self._changed.wait()
                continue
            look_at = now + LOOK_EVERY
            try:
                await asyncio.wrap_future(
                    self.write(lambda connection, now: (None, self._alerts.flush(connection, now)))
                )
            except StoreError as error:
                _log.error("what is due cannot be told yet", error=str(error))
                await asyncio.sleep(STORE_PAUSE)

    async def _prune(self) -> None:
        while True:
            try:
                while await self._database.write(self._prune_step):
                    pass  # a transaction each, so that others write between two steps
            except StoreError as error:
                _log.error("what is old cannot be pruned", error=str(error))
            self._prune_again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_pruned_again()):
                    await self._prune_again.wait()

    def _until_pruned_again(self) -> float:
        return max(RETENTION_PAUSE, min(RETENTION_EVERY, self._keep_for / PRUNINGS))

    def _prune_step(self, connection: sa.Connection) -> int:
        before = self._clock() - self._keep_for
        return retention.prune(connection, int(before), before, RETENTION_STEP)


def firing(connection: sa.Connection, names: Sequence[str]) -> list[Signal]:
    """chainwatch's own firing alerts of these names, as they were raised."""
    found = [a for a in alerts.firing(connection) if a.name in names and a.source != "external"]
    return [alert.signal() for alert in found]
