"""Alerting without watching: takes what other programs send, and runs the receivers' queues and the timers."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.alerting import intake
from chainwatch.alerting.intake import Taken
from chainwatch.alerting.manager import AlertManager
from chainwatch.alerting.policies import Policies
from chainwatch.alerting.providers import Provider
from chainwatch.alerting.queue import ReceiverQueue
from chainwatch.alerting.submission import Submission
from chainwatch.config import RouteSettings
from chainwatch.model import Signal
from chainwatch.store import alert_groups, expiries, outbox, retention
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError

RETENTION_EVERY = 3600.0
RETENTION_STEP = 2_000
STORE_PAUSE = 1.0
"""Seconds until a database that refused is asked again."""
DRAIN_POLL = 0.02

T = TypeVar("T")

_log = structlog.get_logger("chainwatch.service")


@dataclass(frozen=True)
class Receiver:
    """A receiver as the service runs it.

    ``give_up_after`` is in seconds; ``rate_limit``: severity → notifications a minute.
    """

    name: str
    provider: Provider
    give_up_after: float
    send_resolved: bool = True
    rate_limit: Mapping[str, int] = field(default_factory=dict)


class AlertService:
    """The running alert manager on one database. ``accept`` may be called from any thread, the rest on its loop.

    Times are in seconds. ``told_since`` as for the manager.
    """

    def __init__(
        self,
        database: Database,
        routes: Sequence[RouteSettings],
        receivers: Sequence[Receiver],
        policies: Policies,
        *,
        told_since: int,
        resolve_timeout: float,
        keep_for: float,
        external_url: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._routes = list(routes)
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._policies = policies
        self._told_since = told_since
        self._resolve_timeout = resolve_timeout
        self._keep_for = keep_for
        self._external_url = external_url
        self._clock = clock
        self._manager = self._make_manager()
        self._queues: dict[str, ReceiverQueue] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._deliveries: list[asyncio.Task[None]] = []
        self._due_at = math.inf
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Take up what an earlier run left, then run every queue and timer."""
        await asyncio.wrap_future(self._write(self._reroute))
        for receiver in self._receivers.values():
            self._start_queue(receiver)
        self._tasks += [
            asyncio.create_task(self._keep_time(), name="timers"),
            asyncio.create_task(self._prune(), name="retention"),
        ]

    async def register(self, receiver: Receiver, route: RouteSettings) -> None:
        """Let ``receiver`` hear of what ``route`` takes, beside all others. Raises ``ValueError`` for a name in use."""
        if receiver.name in self._receivers:
            raise ValueError(f"there is a receiver called {receiver.name!r} already")
        self._receivers[receiver.name] = receiver
        self._routes.insert(0, route)
        self._manager = self._make_manager()
        self._start_queue(receiver)
        await asyncio.wrap_future(self._write(self._reroute))

    def accept(self, sent: Sequence[Submission]) -> Future[None]:
        """Store what was sent and what follows from it; the future is done once that is committed."""
        return self._write(lambda connection, now: self._submit(connection, sent, now))

    def end(self, fingerprint: str, reason: str) -> Future[bool]:
        """End the firing alert with this fingerprint now; whether there was one."""
        return self._write(lambda connection, now: self._end(connection, fingerprint, reason, now))

    async def drain(self, within: float) -> bool:
        """Tell everything that is still to be told, without waiting for groups to fill; whether that was done in time."""
        until = self._loop.time() + within
        await asyncio.wrap_future(self._write(self._flush_untold))
        while await self._database.read(lambda c: outbox.has_pending(c, list(self._receivers))):
            if self._loop.time() > until:
                return False
            await asyncio.sleep(DRAIN_POLL)
        return True

    async def stop(self) -> None:
        """End every task; what was not delivered stays in the database."""
        for queue in self._queues.values():
            queue.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._deliveries, return_exceptions=True)

    # --- what is done in the writer's thread -------------------------------------------------------------

    def _write(self, job: Callable[[sa.Connection, float], T]) -> Future[T]:
        """Hand over ``job``, which notes in ``_due_at`` what the manager says; wake what waits for it once committed."""

        def run(connection: sa.Connection) -> T:
            return job(connection, self._clock())

        def committed(done: Future[T]) -> None:
            if done.exception() is not None:
                self._due_at = 0.0  # it may tell of what was undone: look again
            self._call_soon(self._wake)

        future = self._database.hand_over(run)
        future.add_done_callback(committed)
        return future

    def _submit(self, connection: sa.Connection, sent: Sequence[Submission], now: float) -> None:
        for different in intake.rounds(sent):
            self._apply(connection, intake.take(connection, different, now, self._resolve_timeout), now)

    def _end(self, connection: sa.Connection, print_: str, reason: str, now: float) -> bool:
        taken = intake.end(connection, print_, reason, now)
        if taken is not None:
            self._apply(connection, taken, now)
        return taken is not None

    def _tick(self, connection: sa.Connection, now: float) -> None:
        """End what was not sent again, and flush what is due."""
        self._apply(connection, intake.expired(connection, now), now)

    def _flush_untold(self, connection: sa.Connection, now: float) -> None:
        alert_groups.hasten_untold(connection, now)
        self._note_due(connection, self._manager.flush(connection, now))

    def _reroute(self, connection: sa.Connection, now: float) -> None:
        self._note_due(connection, self._manager.reroute(connection, now))

    def _apply(self, connection: sa.Connection, taken: Taken, now: float) -> None:
        self._note_due(connection, self._manager.apply(connection, taken.signals, now, taken.known))

    def _raise(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> None:
        self._note_due(connection, self._manager.apply(connection, signals, now))

    def _note_due(self, connection: sa.Connection, next_flush: float | None) -> None:
        times = (next_flush, expiries.next_due(connection))
        self._due_at = min((time for time in times if time is not None), default=math.inf)

    # --- timers and queues -------------------------------------------------------------------------------

    def _make_manager(self) -> AlertManager:
        tells_ends = {receiver.name: receiver.send_resolved for receiver in self._receivers.values()}
        limits = {
            name: receiver.rate_limit for name, receiver in self._receivers.items() if receiver.rate_limit
        }
        policies = msgspec.structs.replace(self._policies, rate_limits=limits)
        return AlertManager(self._routes, tells_ends, self._told_since, policies)

    def _start_queue(self, receiver: Receiver) -> None:
        async def raise_signals(signals: list[Signal]) -> None:
            await asyncio.wrap_future(self._write(lambda c, now: self._raise(c, signals, now)))

        queue = self._queues[receiver.name] = ReceiverQueue(
            self._database,
            receiver.name,
            receiver.provider,
            raise_signals,
            give_up_after=receiver.give_up_after,
            external_url=self._external_url,
        )
        self._deliveries.append(asyncio.create_task(self._deliver(queue), name=f"receiver {receiver.name}"))

    async def _deliver(self, queue: ReceiverQueue) -> None:
        """Run ``queue`` until it is stopped, whatever befalls it."""
        while True:
            try:
                return await queue.run()
            except Exception as error:  # noqa: BLE001 - one receiver's trouble is nobody else's (S8)
                _log.error("queue failed", receiver=queue.receiver, error=type(error).__name__)
                await asyncio.sleep(STORE_PAUSE)

    def _call_soon(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call)

    def _wake(self) -> None:
        self._changed.set()
        for queue in self._queues.values():
            queue.wake()

    async def _keep_time(self) -> None:
        while True:
            self._changed.clear()
            wait = self._due_at - self._clock()
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(wait, RETENTION_EVERY)):
                        await self._changed.wait()
                continue
            try:
                await asyncio.wrap_future(self._write(self._tick))
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
            await asyncio.sleep(RETENTION_EVERY)

    def _prune_step(self, connection: sa.Connection) -> int:
        before = self._clock() - self._keep_for
        return retention.prune(connection, int(before), before, RETENTION_STEP)
