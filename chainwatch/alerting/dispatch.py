"""The tasks of alerting: a queue for each receiver, the timer that flushes groups, and retention."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
import structlog

from chainwatch.alerting.actions import Listeners
from chainwatch.alerting.delivery.queue import OnSignals, ReceiverQueue
from chainwatch.alerting.delivery.resending import Resending, keep_resending
from chainwatch.alerting.providers import Provider, Transport, build_provider
from chainwatch.alerting.providers.actions import Act
from chainwatch.config import ReceiverSettings
from chainwatch.model import Signal
from chainwatch.presentation.presenter import RAW, Presenter
from chainwatch.store import retention
from chainwatch.store.alerting import alerts, outbox
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.supervise import TASK_FAILED, Supervisor
from chainwatch.support.wakeup import SystemClock

LOOK_EVERY = 0.5
"""Seconds between two flushes at most: within this time, changes by commands take effect."""
RETENTION_EVERY = 3600.0
"""The most seconds between two prunings; with a short retention they are more frequent."""
PRUNINGS = 10
"""Prunings within the time of retention."""
RETENTION_PAUSE = 1.0
"""The least seconds between two prunings."""
RETENTION_STEP = 2_000
"""The most rows that one transaction of a pruning deletes."""
STORE_PAUSE = 1.0
"""Seconds between two attempts at a flush while the database refuses."""
PENDING_POLL = 0.2
"""Seconds between two checks whether queues are empty."""
STOP_WITHIN = 4.0
"""Seconds within which all tasks end; deliveries that are cut off are made again after the next start."""

T = TypeVar("T")
_QUEUE, _RESEND = "receiver ", "resend "

_log = structlog.get_logger("chainwatch.dispatch")


class Alerts(Protocol):
    """What decides about notifications. Both methods return when to call ``flush`` next (Unix seconds), None for never."""

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Let ``signals`` change alerts, and queue the notifications that are due."""
        ...

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """Let alerts change whose time has come, and queue the notifications that are due."""
        ...


class Receiver(NamedTuple):
    """A receiver's settings, and the provider that delivers to it."""

    settings: ReceiverSettings
    provider: Provider[Any]


class Dispatch:
    """Runs the tasks of alerting under ``supervisor``: timers, a queue for each receiver, listeners, retention.

    ``keep_for``: seconds for which resolved alerts and finished notifications are kept. ``external_url``: the base of
    links in notifications; ``presenter``: what is shown beside amounts and transactions. ``act`` performs what people
    click; without it nothing listens. ``write`` may be called from any thread, everything else on the event loop on which
    this was made.
    """

    def __init__(
        self,
        database: Database,
        supervisor: Supervisor,
        alerts: Alerts,
        *,
        keep_for: float,
        external_url: str,
        presenter: Presenter = RAW,
        clock: Callable[[], float] = time.time,
        act: Act | None = None,
    ) -> None:
        self._database = database
        self._supervisor = supervisor
        self._alerts = alerts
        self._keep_for = keep_for
        self._external_url = external_url
        self._presenter = presenter
        self._clock = clock
        self._queues: dict[str, ReceiverQueue] = {}
        self._providers: dict[str, Provider[Any]] = {}
        self._listeners = None if act is None else Listeners(supervisor, act)
        self._due_at = math.inf
        self._changed = asyncio.Event()
        self._prune_again = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def show(self, external_url: str, presenter: Presenter) -> None:
        """Show notifications by these from the next start of a queue on."""
        self._external_url, self._presenter = external_url, presenter

    async def start(self, receivers: Iterable[Receiver]) -> None:
        """Run every queue and timer.

        Call it after all other tasks have begun: alerts about tasks that are not running are resolved.
        """
        for receiver in receivers:
            self._add(receiver)
        await self._listen()
        self._supervisor.start("timers", self._keep_time)
        self._supervisor.start("retention", self._prune)
        await self._supervisor.remember(await self._database.read(lambda c: firing(c, [TASK_FAILED])))

    async def add(self, receiver: Receiver) -> None:
        """Run the queue of ``receiver`` too."""
        self._add(receiver)
        await self._listen()

    def _add(self, receiver: Receiver) -> None:
        name = receiver.settings.name
        self._providers[name] = receiver.provider
        queue = self._queues[name] = ReceiverQueue(
            self._database,
            name,
            receiver.provider,
            self.raise_signals,
            give_up_after=receiver.settings.give_up_after,
            external_url=self._external_url,
            presenter=self._presenter,
            clock=SystemClock(self._clock),
        )
        self._supervisor.start(_QUEUE + name, queue.run)
        if isinstance(receiver.provider, Resending):
            resend = partial(
                keep_resending, self._database, name, receiver.provider, self._external_url, self._presenter
            )
            self._supervisor.start(_RESEND + name, resend)

    async def _listen(self) -> None:
        if self._listeners is not None:
            await self._listeners.follow(self._providers)

    async def reload(
        self,
        gone: Iterable[str],
        new: Iterable[Receiver],
        *,
        keep_for: float,
        external_url: str,
        presenter: Presenter = RAW,
    ) -> None:
        """End the queues of ``gone``, then run those of ``new``; queued notifications stay in the database."""
        self._keep_for = keep_for
        self.show(external_url, presenter)
        self._prune_again.set()
        ending = {name: self._queues.pop(name) for name in gone}
        for name, queue in ending.items():
            if isinstance(self._providers.pop(name), Resending):
                await self._supervisor.finish(_RESEND + name, 0.0)
            queue.stop()
        await asyncio.gather(*(self._supervisor.finish(_QUEUE + name, STOP_WITHIN) for name in ending))
        for receiver in new:
            self._add(receiver)
        await self._listen()

    async def stop(self) -> None:
        """End every task of the supervisor; undelivered notifications stay in the database."""
        for queue in self._queues.values():
            queue.stop()
        await self._supervisor.stop(STOP_WITHIN, first=lambda task: not task.startswith(_QUEUE))
        if self._listeners is not None:
            self._listeners.forget()

    def write(self, job: Callable[[sa.Connection, float], tuple[T, float | None]]) -> Future[T]:
        """Run ``job`` in a transaction of the writing thread.

        It gets the clock's value (Unix seconds) and returns its result and when the next flush is due. Timers and queues
        are woken once it is committed.
        """

        def run(connection: sa.Connection) -> T:
            result, due_at = job(connection, self._clock())
            self._due_at = math.inf if due_at is None else due_at
            return result

        def committed(done: Future[T]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._due_at = 0.0  # it may be of the transaction that was rolled back: flush again
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake)

        future = self._database.hand_over(run)
        future.add_done_callback(committed)
        return future

    async def raise_signals(self, signals: Sequence[Signal]) -> None:
        """Apply signals about this process itself. Raises ``StoreError``."""
        await asyncio.wrap_future(
            self.write(lambda connection, now: (None, self._alerts.apply(connection, signals, now)))
        )

    def _wake(self) -> None:
        self._changed.set()
        for queue in self._queues.values():
            queue.wake()

    async def _keep_time(self) -> None:
        """Flush when a group is due, and every ``LOOK_EVERY`` seconds, as commands of other processes change alerts too."""
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
                _log.error("groups cannot be flushed yet", error=str(error))
                await asyncio.sleep(STORE_PAUSE)

    async def _prune(self) -> None:
        while True:
            try:
                while await self._database.write(self._prune_step):
                    pass  # one transaction per step, so that other writes come between two steps
            except StoreError as error:
                _log.error("old rows cannot be pruned", error=str(error))
            self._prune_again.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_pruned_again()):
                    await self._prune_again.wait()

    def _until_pruned_again(self) -> float:
        return max(RETENTION_PAUSE, min(RETENTION_EVERY, self._keep_for / PRUNINGS))

    def _prune_step(self, connection: sa.Connection) -> int:
        before = retention.horizon(connection, self._keep_for, self._clock())
        return retention.prune(connection, int(before), before, RETENTION_STEP)


def firing(connection: sa.Connection, names: Sequence[str]) -> list[Signal]:
    """Return chainwatch's own firing alerts with these names, as the signals that raised them."""
    found = [a for a in alerts.firing(connection) if a.name in names and a.source != "external"]
    return [alert.signal() for alert in found]


async def deliver_pending(
    database: Database,
    receivers: Collection[ReceiverSettings],
    on_signals: OnSignals,
    *,
    external_url: str,
    presenter: Presenter = RAW,
) -> None:
    """Run the queues of ``receivers`` until none of them holds a pending notification.

    ``on_signals`` takes alerts about failing receivers; ``external_url``: the base of links, or empty; ``presenter``: what
    is shown beside amounts and transactions.
    """
    names = [settings.name for settings in receivers]
    async with Transport() as transport:
        queues = [
            ReceiverQueue(
                database,
                settings.name,
                build_provider(settings, transport),
                on_signals,
                give_up_after=settings.give_up_after,
                external_url=external_url,
                presenter=presenter,
            )
            for settings in receivers
        ]
        async with asyncio.TaskGroup() as tasks:
            for queue in queues:
                tasks.create_task(queue.run())
            while await database.read(lambda c: outbox.has_pending(c, names)):  # noqa: ASYNC110 - queues report to nobody
                await asyncio.sleep(PENDING_POLL)
            for queue in queues:
                queue.stop()
