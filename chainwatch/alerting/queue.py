"""One worker per receiver: takes notifications from its queue in the database and sees them delivered (S6, S8).

Notifications that share a key go out in order, one at a time; several keys at once. What is known only here (which
are under way, whether the receiver is down) may be lost with the process: an undelivered notification is a pending row.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import sqlalchemy as sa
import structlog

from chainwatch.alerting import retry
from chainwatch.alerting.clock import Clock, SystemClock
from chainwatch.alerting.lifecycle import fingerprint
from chainwatch.alerting.notification import Notification, load
from chainwatch.alerting.providers import DeliveryError, Provider
from chainwatch.alerting.providers.http import open_session
from chainwatch.model import Signal
from chainwatch.store import alerts, outbox
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.outbox import Queued

POLL = 5.0
"""Seconds after which the queue is looked at without a wake-up: other processes operate on it too."""
PREFETCH = 32
"""Notifications held in memory beside those under way."""
REPORT_AFTER = 120.0
"""Seconds of failures after which an open breaker raises ``ReceiverFailing``."""
STORE_PAUSE = 2.0
"""Seconds between attempts to write a result into a database that refuses."""
GRACE = 3.0
"""Seconds that deliveries under way have to end when the worker is stopped."""

T = TypeVar("T")
OnSignals = Callable[[list[Signal]], Awaitable[None]]

_log = structlog.get_logger("chainwatch.queue")


class ReceiverQueue:
    """The queue of one receiver.

    ``on_signals`` takes ``ReceiverFailing`` signals and returns once they are stored. ``give_up_after`` is in seconds.
    """

    def __init__(
        self,
        database: Database,
        receiver: str,
        provider: Provider,
        on_signals: OnSignals,
        *,
        give_up_after: float,
        external_url: str = "",
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.receiver = receiver
        self._database = database
        self._provider = provider
        self._on_signals = on_signals
        self._give_up_after = give_up_after
        self._external_url = external_url
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._stopping = False
        self._ready: deque[Queued] = deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._breaker = retry.Breaker()
        self._paused_until = 0.0
        self._failing_since: int | None = None

    def wake(self) -> None:
        """There may be something new in the queue."""
        self._wake.set()

    def stop(self) -> None:
        """Let ``run`` return once the deliveries under way have ended, at the latest after ``GRACE`` seconds."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until ``stop`` is called."""
        async with open_session(allow_private=self._provider.allow_private) as session:
            try:
                await self._settle(self._recall)
                while not self._stopping:
                    self._wake.clear()
                    next_ready = await self._start_deliveries(session)
                    await self._report_long_failure()
                    if not self._stopping:
                        await self._clock.wait(self._wake, self._next_look(next_ready))
                if self._running:
                    await asyncio.wait(self._running.values(), timeout=GRACE)
            finally:
                for task in self._running.values():
                    task.cancel()

    async def _recall(self) -> None:
        """Take up a ``ReceiverFailing`` alert that an earlier process raised."""
        print_ = fingerprint(self._failing_labels())
        known = (await self._database.read(lambda c: alerts.newest(c, [print_]))).get(print_)
        if known is not None and known.state == "firing":
            self._failing_since = known.starts_at

    async def _start_deliveries(self, session: aiohttp.ClientSession) -> float | None:
        """Start as many as may run; when the next pending notification will be ready, if that is known."""
        now = self._clock.now()
        if now < self._paused_until:
            return self._paused_until
        for _ in range(self._breaker.permits(len(self._running), self._provider.concurrency, now)):
            if not self._ready:
                next_ready = await self._fetch(now)
                if not self._ready:
                    return next_ready
            queued = self._ready.popleft()
            task = asyncio.create_task(self._deliver(queued, session), name=f"deliver {self.receiver}")
            task.add_done_callback(self._ended)
            self._running[queued.key] = task
        return None

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A delivery task never fails, unless the database or this code does: then the queue must not spin."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("delivery task failed", receiver=self.receiver, error=type(error).__name__)
            self._paused_until = max(self._paused_until, self._clock.now() + STORE_PAUSE)

    async def _fetch(self, now: float) -> float | None:
        """Refill from the database. A probe of a receiver that is down takes the oldest, whenever its next attempt is."""
        busy = list(self._running)
        ready_by = float("inf") if self._breaker.is_open else now
        limit = 1 if self._breaker.is_open else PREFETCH
        try:
            found, next_ready = await self._database.read(
                lambda c: outbox.claim(c, self.receiver, ready_by, limit, busy)
            )
        except StoreError as error:
            _log.error("queue cannot be read", receiver=self.receiver, error=str(error))
            return now + STORE_PAUSE
        self._ready.extend(found)
        return next_ready

    def _next_look(self, next_ready: float | None) -> float:
        """When to look again without being woken; what is already past needs no look of its own."""
        now = self._clock.now()
        times = [self._breaker.probe_at]
        if self._breaker.failing_since is not None:
            times.append(self._breaker.failing_since + REPORT_AFTER)
        ahead = [time for time in times if time is not None and time > now]
        return min(now + POLL, *ahead, now + POLL if next_ready is None else next_ready)

    async def _deliver(self, queued: Queued, session: aiohttp.ClientSession) -> None:
        try:
            notification = await self._load(queued)
            if notification is not None:
                await self._attempt(queued, notification, session)
        finally:
            del self._running[queued.key]
            self._wake.set()

    async def _load(self, queued: Queued) -> Notification | None:
        """The message, unless it was taken out of the queue since it was fetched."""

        def read(connection: sa.Connection) -> Notification | None:
            current = outbox.get(connection, queued.id)
            if current is None or current.status != "pending":
                return None
            return load(connection, current, self._external_url)

        return await self._settle(lambda: self._database.read(read))

    async def _attempt(
        self, queued: Queued, notification: Notification, session: aiohttp.ClientSession
    ) -> None:
        try:
            if not notification.alerts:
                raise DeliveryError("its alerts are no longer stored", permanent=True)
            await self._provider.deliver(notification, session)
        except DeliveryError as error:
            await self._failed(queued, error)
        except Exception as error:  # noqa: BLE001 - a message that breaks its provider must not stop the queue
            await self._failed(queued, DeliveryError(f"the provider broke: {type(error).__name__}"))
        else:
            await self._delivered(queued)

    async def _delivered(self, queued: Queued) -> None:
        now = self._clock.now()
        self._breaker.succeeded()
        await self._settle(lambda: self._database.write(lambda c: outbox.mark_delivered(c, queued.id, now)))
        if self._failing_since is not None:
            starts_at, self._failing_since = self._failing_since, None
            ended = self._failing_signal(starts_at, "", ends_at=max(starts_at, int(now)))
            await self._settle(lambda: self._on_signals([ended]))

    async def _failed(self, queued: Queued, error: DeliveryError) -> None:
        now = self._clock.now()
        self._breaker.failed(now)
        self._ready.clear()
        if error.retry_after is not None:
            pause = min(error.retry_after, retry.LONGEST_PAUSE)
            self._paused_until = max(self._paused_until, now + pause)
        attempts = queued.attempts + 1
        reason = str(error)
        _log.warning(
            "delivery failed",
            receiver=self.receiver,
            notification=queued.id,
            attempts=attempts,
            error=reason,
        )
        if retry.is_hopeless(attempts, error.permanent, now - queued.queued_at, self._give_up_after):
            await self._raise_failing(f"notification {queued.id} was given up: {reason}", now)
            await self._settle(
                lambda: self._database.write(lambda c: outbox.mark_dead(c, queued.id, reason, now))
            )
        else:
            next_at = max(self._paused_until, now + retry.backoff(attempts, self._jitter()))
            await self._settle(
                lambda: self._database.write(lambda c: outbox.mark_failed(c, queued.id, reason, next_at))
            )

    async def _report_long_failure(self) -> None:
        since = self._breaker.failing_since
        if since is None or not self._breaker.is_open or self._failing_since is not None:
            return
        now = self._clock.now()
        if now - since >= REPORT_AFTER:
            await self._raise_failing("it has taken no message for two minutes", now)

    async def _raise_failing(self, why: str, now: float) -> None:
        """Raised before what it tells of is written, so that a crash between the two loses neither."""
        if self._failing_since is None:
            self._failing_since = int(now)
        signal = self._failing_signal(self._failing_since, why)
        await self._settle(lambda: self._on_signals([signal]))

    def _failing_signal(self, starts_at: int, why: str, ends_at: int | None = None) -> Signal:
        annotations = {"summary": f"Receiver {self.receiver} is failing", "description": why} if why else {}
        return Signal(
            labels=self._failing_labels(),
            annotations=annotations,
            starts_at=starts_at,
            ends_at=ends_at,
            reason="delivered" if ends_at is not None else "",
        )

    def _failing_labels(self) -> dict[str, str]:
        return {"alertname": "ReceiverFailing", "receiver": self.receiver, "severity": "P1"}

    async def _settle(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do ``step`` until the database takes it: a message that was sent must not be sent again for a full disk."""
        while True:
            try:
                return await step()
            except StoreError as error:
                if self._stopping:
                    raise
                _log.error("result cannot be stored yet", receiver=self.receiver, error=str(error))
                await self._clock.wait(asyncio.Event(), self._clock.now() + STORE_PAUSE)
