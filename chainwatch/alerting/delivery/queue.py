"""One worker per receiver: takes notifications from its queue in the database and sees them delivered (S6, S8).

Notifications that share a key go out in order, one at a time; several keys at once. What is known only here (which
are under way, whether the receiver is down) may be lost with the process: an undelivered notification is a pending row.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import aiohttp
import sqlalchemy as sa
import structlog

from chainwatch.alerting.delivery import retry
from chainwatch.alerting.delivery.notification import Notification, load_all
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.providers import DeliveryError, Provider
from chainwatch.alerting.providers.http import open_session
from chainwatch.model import Signal
from chainwatch.store.alerting import alerts, folding, outbox
from chainwatch.store.alerting.outbox import Queued
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.conditions import ConditionSet
from chainwatch.support.supervise import failure_of
from chainwatch.support.wakeup import Clock, SystemClock

POLL = 5.0
"""Seconds after which the queue is looked at without a wake-up: other processes operate on it too."""
FETCHED_MAX = 128
"""Notifications read from the database at a time."""
UNDER_WAY_MAX = 512
"""Notifications being sent, and sent ones whose result is being stored."""
MIND_EVERY = 0.2
"""Seconds between two looks, while the receiver is left alone, whether a person wants it tried."""
REPORT_AFTER = 120.0
"""Seconds of failures after which an open breaker raises ``ReceiverFailing``."""
STORE_PAUSE = 2.0
"""Seconds between attempts to write a result into a database that refuses."""
GATHER = 0.02
"""Seconds between two commits of what was delivered."""
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
        self._look_at = 0.0
        """When the database is to be looked at again; until then what was fetched is all there is."""
        self._fetched: deque[tuple[Queued, Notification]] = deque()
        self._fetched_at = 0.0
        self._has_more = False
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._sending = 0
        self._marks = _Marks(database, self._settle)
        self._breaker = retry.Breaker()
        self._paused_until = 0.0
        self._failing = ConditionSet(refresh=True)
        """`ReceiverFailing`, while it fires."""
        self._back_at = 0.0
        """When the receiver last took something after it had been down: what was queued before waited for it."""
        self._is_pause_noted = False
        self._retried_at = self._clock.now()
        """When a person last had something tried again, as far as that was minded."""
        self._mind_at = 0.0

    def wake(self) -> None:
        """There may be something new in the queue."""
        self._look_at = 0.0
        self._wake.set()

    def stop(self) -> None:
        """Let ``run`` return once the deliveries under way have ended, at the latest after ``GRACE`` seconds."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until ``stop`` is called. May be run again after it was cancelled or failed."""
        self._fetched.clear()
        self._under_way.clear()
        self._sending = 0
        self._look_at = 0.0
        async with open_session(allow_private=self._provider.allow_private) as session:
            try:
                await self._settle(self._recall)
                while not self._stopping:
                    self._wake.clear()
                    await self._mind_people()
                    await self._start_deliveries(session)
                    await self._report_long_failure()
                    if not self._stopping:
                        await self._clock.wait(self._wake, self._next_look())
                if self._under_way:
                    await asyncio.wait(self._under_way.values(), timeout=GRACE)
            finally:
                left = list(self._under_way.values())
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)
                await self._marks.stop()

    async def _recall(self) -> None:
        """Take up what an earlier process knew: its ``ReceiverFailing`` alert, and that tries have failed.

        Then one is enough to find out whether the receiver is still down, or still wants its pause.
        """
        print_ = fingerprint(self._failing_labels())
        known = (await self._database.read(lambda c: alerts.newest(c, [print_]))).get(print_)
        failed = await self._database.read(lambda c: outbox.has_failed(c, self.receiver))
        self._is_pause_noted = failed
        if failed and not self._breaker.is_open:
            self._breaker = retry.Breaker(retry.OPENS_AFTER - 1)
        if known is not None and known.state == "firing":
            self._failing.restore([known.signal()])

    async def _mind_people(self) -> None:
        """A person who has something tried again knows better: the receiver is left alone no more."""
        now = self._clock.now()
        if now < self._mind_at or not (self._breaker.is_open or now < self._paused_until):
            return
        self._mind_at = now + MIND_EVERY
        try:
            asked_at = await self._database.read(
                lambda c: outbox.retried_at(c, self.receiver, self._retried_at)
            )
        except StoreError as error:
            _log.error("queue cannot be read", receiver=self.receiver, error=str(error))
            return
        if asked_at is not None:
            self._retried_at = asked_at
            self._breaker = retry.Breaker()
            self._paused_until = self._look_at = 0.0

    async def _start_deliveries(self, session: aiohttp.ClientSession) -> None:
        """Start as many as may run."""
        while self._free() > 0:
            if self._clock.now() >= self._fetched_at + POLL and self._fetched:
                self._fetched.clear()  # it may say what is no longer so: whose an alert is
                self._look_at = 0.0
            if self._fetched:
                queued, notification = self._fetched.popleft()
                delivery = self._deliver(queued, notification, session)
                task = asyncio.create_task(delivery, name=f"deliver {self.receiver}")
                task.add_done_callback(self._ended)
                self._under_way[queued.key] = task
                self._sending += 1
            elif self._clock.now() >= self._look_at:
                await self._fetch()
            else:
                return

    def _free(self) -> int:
        """How many more may be sent now."""
        now = self._clock.now()
        if now < self._paused_until or self._stopping:
            return 0
        free = self._breaker.permits(self._sending, self._provider.concurrency, now)
        return min(free, UNDER_WAY_MAX - len(self._under_way))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A delivery task never fails, unless the database or this code does: then the queue must not spin."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("delivery task failed", receiver=self.receiver, error=type(error).__name__)
            self._paused_until = max(self._paused_until, self._clock.now() + STORE_PAUSE)

    async def _fetch(self) -> None:
        """Read what can be sent now. A probe of a receiver that is down takes one, whenever it was to be tried."""
        now = self._clock.now()
        self._look_at = now + POLL  # before the reading: a wake-up meanwhile is not to be missed
        busy = list(self._under_way)
        is_down = self._breaker.is_open
        away_until = now if is_down else max(self._back_at, self._paused_until)

        def read(connection: sa.Connection) -> tuple[outbox.Claim, list[Notification], list[str]]:
            if is_down:
                claim = outbox.claim_probe(connection, self.receiver, busy)
            else:
                claim = outbox.claim(connection, self.receiver, now, FETCHED_MAX, busy)
            keys = folding.foldable(connection, self.receiver, claim.found, away_until, now)
            return claim, load_all(connection, claim.found, self._external_url), keys

        try:
            claim, loaded, keys = await self._database.read(read)
            if keys:
                await self._database.write(lambda c: folding.fold(c, self.receiver, keys))
                claim, loaded, _ = await self._database.read(read)
        except StoreError as error:
            _log.error("queue cannot be read", receiver=self.receiver, error=str(error))
            self._look_at = now + STORE_PAUSE
            return
        self._fetched.extend(zip(claim.found, loaded, strict=True))
        self._fetched_at = now
        self._has_more = claim.has_more
        if claim.next_ready is not None:
            self._look_at = min(self._look_at, claim.next_ready)

    def _next_look(self) -> float:
        """When to go on without being woken; what is already past needs no look of its own."""
        now = self._clock.now()
        times = [self._breaker.probe_at, self._paused_until, self._look_at]
        if self._breaker.failing_since is not None:
            times.append(self._breaker.failing_since + REPORT_AFTER)
        return min(time for time in (*times, now + POLL) if time is not None and time > now)

    async def _deliver(
        self, queued: Queued, notification: Notification, session: aiohttp.ClientSession
    ) -> None:
        try:
            error = await self._send(notification, session)
            if error is None:
                await self._delivered(queued)
            else:
                await self._failed(queued, error)
        finally:
            del self._under_way[queued.key]
            self._wake.set()
            if self._has_more and not self._fetched:
                self.wake()  # what waited for this one may go now

    async def _send(self, notification: Notification, session: aiohttp.ClientSession) -> DeliveryError | None:
        """Why the receiver did not take it, or None. Others may go out while the result is stored."""
        begun = self._clock.now()
        try:
            if not notification.alerts and notification.kind != "digest":
                return DeliveryError("its alerts are no longer stored", permanent=True)
            error = await failure_of(partial(self._provider.deliver, notification, session))
            if error is not None:
                self._breaker_failed(begun)
                if isinstance(error, DeliveryError):
                    return error
                return DeliveryError(f"the provider broke: {type(error).__name__}")
            if self._breaker.is_open:
                self._look_at = 0.0  # a probe looks at one only
                self._back_at = self._clock.now()
            self._breaker.succeeded()
            return None
        finally:
            self._sending -= 1
            self._wake.set()

    def _breaker_failed(self, begun: float) -> None:
        """Once the receiver counts as down, what was fetched waits in the database."""
        self._breaker.failed(self._clock.now(), begun)
        if self._breaker.is_open:
            self._fetched.clear()
            self._look_at = 0.0

    async def _delivered(self, queued: Queued) -> None:
        now = self._clock.now()
        if self._is_pause_noted and not self._breaker.is_open:
            self._is_pause_noted = False
            await self._settle(lambda: self._database.write(lambda c: outbox.end_pause(c, [self.receiver])))
        await self._marks.delivered(queued.id, now)
        await self._report(self._failing.changes([], int(now), reason="delivered"))

    async def _failed(self, queued: Queued, error: DeliveryError) -> None:
        now = self._clock.now()
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
        held_until = max(self._paused_until, self._breaker.probe_at or 0.0)
        if retry.is_hopeless(attempts, error.permanent, now - queued.queued_at, self._give_up_after):
            await self._raise_failing(f"notification {queued.id} was given up: {reason}", now)
            await self._settle(
                lambda: self._database.write(lambda c: outbox.mark_dead(c, queued, reason, now))
            )
        else:
            own = held_until if self._breaker.is_open else now + retry.backoff(attempts, self._jitter())
            next_at = max(held_until, own)

            def note(connection: sa.Connection) -> None:
                outbox.mark_failed(connection, queued, reason, next_at)
                if held_until > now:
                    outbox.pause(connection, self.receiver, held_until)

            self._is_pause_noted |= held_until > now

            await self._settle(lambda: self._database.write(note))
            self._look_at = min(self._look_at, next_at)

    async def _report_long_failure(self) -> None:
        since = self._breaker.failing_since
        if since is None or not self._breaker.is_open or self._failing.firing:
            return
        now = self._clock.now()
        if now - since >= REPORT_AFTER:
            await self._raise_failing("it has taken no message for two minutes", now)

    async def _raise_failing(self, why: str, now: float) -> None:
        """Raise the alert before its cause is stored, so that a crash between the two loses neither."""
        annotations = {"summary": f"Receiver {self.receiver} is failing", "description": why}
        failing = Signal(self._failing_labels(), int(now), annotations, source="receiver")
        await self._report(self._failing.changes([failing], int(now)))

    async def _report(self, signals: list[Signal]) -> None:
        if signals:
            self._failing.commit(
                signals
            )  # at once: storing is tried until it succeeds, in the order of these calls
            await self._settle(lambda: self._on_signals(signals))

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


class _Marks:
    """Notes what was delivered: all that waits for the same commit in one statement."""

    def __init__(
        self, database: Database, settle: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]
    ) -> None:
        self._database = database
        self._settle = settle
        self._waiting: list[tuple[int, float, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def delivered(self, notification_id: int, at: float) -> None:
        """Return once it is noted. Raises ``StoreError`` when the database refuses while the queue is being stopped."""
        noted = asyncio.get_running_loop().create_future()
        self._waiting.append((notification_id, at, noted))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await noted

    async def stop(self) -> None:
        """Wait for nothing any more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while self._waiting:
            some, self._waiting = self._waiting, []
            rows = [(notification_id, at) for notification_id, at, _ in some]
            error = await failure_of(
                partial(
                    self._settle,
                    partial(self._database.write, partial(outbox.mark_delivered, delivered=rows)),
                )
            )
            if error is not None and not isinstance(error, StoreError):
                error = RuntimeError(f"deliveries cannot be noted: {type(error).__name__}")
            for _, _, noted in some:
                if noted.done():
                    continue  # the delivery was cancelled
                if error is None:
                    noted.set_result(None)
                else:
                    noted.set_exception(error)
            await asyncio.sleep(GATHER)
