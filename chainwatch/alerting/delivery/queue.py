"""One worker per receiver: claims notifications from the receiver's queue in the database and delivers them (S6, S8).

Notifications that share a group's key are sent in order, one at a time; those of several groups at once. State that is
only in memory (deliveries under way, whether the receiver is down) may be lost with the process: an undelivered
notification is a pending row.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
import structlog

from chainwatch.alerting.delivery import retry
from chainwatch.alerting.delivery.attempt import attempt
from chainwatch.alerting.delivery.marks import Delivered, Marks
from chainwatch.alerting.delivery.notification import Notification, load_all
from chainwatch.alerting.policy.lifecycle import fingerprint
from chainwatch.alerting.providers import DeliveryError, Provider, Receipt
from chainwatch.alerting.providers.provider import Pausing
from chainwatch.model import Signal
from chainwatch.presentation.presenter import RAW, Presenter
from chainwatch.store.alerting import alerts, claims, folding, outbox, receipts
from chainwatch.store.alerting.outbox import QueuedNotification
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.conditions import ConditionSet
from chainwatch.support.counters import ATTEMPTS
from chainwatch.support.wakeup import Clock, SystemClock

POLL = 5.0
"""Seconds after which the queue is read without a wake-up: other processes write to it too."""
FETCHED_MAX = 128
"""Notifications read from the database at a time."""
UNDER_WAY_MAX = 512
"""The most notifications that are being sent, or whose result is being stored."""
MIND_EVERY = 0.2
"""Seconds between two checks, while nothing is sent, whether a person has asked for a retry."""
REPORT_AFTER = 120.0
"""Seconds of failures after which an open breaker raises ``ReceiverFailing``."""
STORE_PAUSE = 2.0
"""Seconds between attempts to write a result into a database that refuses."""
GRACE = 3.0
"""Seconds that deliveries under way have to end once the worker is stopped."""

T = TypeVar("T")
OnSignals = Callable[[list[Signal]], Awaitable[None]]

_log = structlog.get_logger("chainwatch.queue")


class _Ready(NamedTuple):
    """A claimed notification, its alerts as at ``read_at`` (Unix seconds), and the receipt of its group's last message."""

    queued: QueuedNotification
    notification: Notification
    previous: Receipt | None
    read_at: float


class ReceiverQueue:
    """The queue of one receiver.

    ``on_signals`` takes ``ReceiverFailing`` signals and returns once they are stored. ``give_up_after``: seconds of failed
    attempts after which a notification is dead. ``external_url``: the base of links in notifications.
    ``presenter`` says what is shown beside amounts and transactions. ``jitter`` gives random numbers in [0, 1).
    """

    def __init__(
        self,
        database: Database,
        receiver: str,
        provider: Provider[Any],
        on_signals: OnSignals,
        *,
        give_up_after: float,
        external_url: str = "",
        presenter: Presenter = RAW,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.receiver = receiver
        self._database = database
        self._provider = provider
        self._on_signals = on_signals
        self._give_up_after = give_up_after
        self._external_url = external_url
        self._presenter = presenter
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._stopping = False
        self._look_at = 0.0
        """When to read the database again (Unix seconds); until then only what was fetched is sent."""
        self._fetched: deque[_Ready] = deque()
        self._fetched_at = 0.0
        self._has_more = False
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._sending = 0
        self._marks = Marks(database, receiver, self._persist, provider.capabilities)
        self._breaker = retry.Breaker()
        self._paused_until = 0.0
        self._failing = ConditionSet(refresh=True)
        """`ReceiverFailing`, while it fires."""
        self._back_at = 0.0
        """When the receiver last recovered (Unix seconds): notifications queued before then waited for it."""
        self._is_pause_noted = False
        self._retried_at = self._clock.now()
        """The latest retry asked for by a person that this queue has acted on (Unix seconds)."""
        self._mind_at = 0.0

    def wake(self) -> None:
        """Have the queue read: it may hold new notifications."""
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
        try:
            await self._persist(self._recall)
            while not self._stopping:
                self._wake.clear()
                await self._check_for_retry()
                await self._start_deliveries()
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
        """Restore from the database what an earlier process knew: its ``ReceiverFailing`` alert, and failed attempts.

        After failed attempts one more opens the breaker, so a receiver that is still down gets a single attempt.
        """
        print_ = fingerprint(self._failing_labels())
        known = (await self._database.read(lambda c: alerts.newest(c, [print_]))).get(print_)
        failed = await self._database.read(lambda c: outbox.has_failed(c, self.receiver))
        self._is_pause_noted = failed
        if failed and not self._breaker.is_open:
            self._breaker = retry.Breaker(retry.OPENS_AFTER - 1)
        if known is not None and known.state == "firing":
            self._failing.restore([known.signal()])

    async def _check_for_retry(self) -> None:
        """End a pause, or close the breaker, when a person has asked for a retry since."""
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
            if isinstance(self._provider, Pausing):
                self._provider.end_pause()

    async def _start_deliveries(self) -> None:
        """Start as many deliveries as may be under way."""
        while self._free() > 0:
            now = self._clock.now()
            if self._fetched and (now >= self._fetched_at + POLL or self._may_be_preceded(now)):
                self._fetched.clear()  # it may be out of date: acknowledgements change
                self._look_at = 0.0
            if self._fetched:
                ready = self._fetched.popleft()
                task = asyncio.create_task(self._deliver(ready), name=f"deliver {self.receiver}")
                task.add_done_callback(self._ended)
                self._under_way[ready.queued.key] = task
                self._sending += 1
            elif self._clock.now() >= self._look_at:
                await self._fetch()
            else:
                return

    def _may_be_preceded(self, now: float) -> bool:
        """Return whether only updates are left of what was fetched, and something has been queued since."""
        return now >= self._look_at and self._fetched[0].notification.kind == "update"

    def _free(self) -> int:
        """Return how many more deliveries may start now."""
        now = self._clock.now()
        if now < self._paused_until or self._stopping:
            return 0
        free = self._breaker.permits(self._sending, self._provider.capabilities.concurrency, now)
        return min(free, UNDER_WAY_MAX - len(self._under_way))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Pause after a delivery task that failed, which only the database or this code can cause: no busy loop."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("delivery task failed", receiver=self.receiver, error=type(error).__name__)
            self._paused_until = max(self._paused_until, self._clock.now() + STORE_PAUSE)

    async def _fetch(self) -> None:
        """Claim what can be sent now: of a receiver that is down one notification, as a probe, whatever its schedule."""
        now = self._clock.now()
        self._look_at = now + POLL  # before the reading, so that a wake-up meanwhile is not lost
        busy = list(self._under_way)
        is_down = self._breaker.is_open
        away_until = now if is_down else max(self._back_at, self._paused_until)

        def read(connection: sa.Connection) -> tuple[claims.Claim, list[_Ready], list[str]]:
            if is_down:
                claim = claims.claim_probe(connection, self.receiver, busy)
            else:
                claim = claims.claim(connection, self.receiver, now, FETCHED_MAX, busy)
            keys = folding.foldable(connection, self.receiver, claim.found, away_until, now)
            return claim, self._ready(connection, claim.found, now), keys

        try:
            claim, ready, keys = await self._database.read(read)
            if keys:
                await self._database.write(lambda c: folding.fold(c, self.receiver, keys))
                claim, ready, _ = await self._database.read(read)
        except StoreError as error:
            _log.error("queue cannot be read", receiver=self.receiver, error=str(error))
            self._look_at = now + STORE_PAUSE
            return
        self._fetched.extend(ready)
        self._fetched_at = now
        self._has_more = claim.has_more
        if claim.next_ready is not None:
            self._look_at = min(self._look_at, claim.next_ready)

    def _ready(
        self, connection: sa.Connection, claimed: list[QueuedNotification], now: float
    ) -> list[_Ready]:
        notifications = load_all(connection, claimed, self._external_url, self._presenter)
        ids: dict[str, receipts.RemoteIds] = {}
        if self._provider.capabilities.keeps_receipts:
            ids = receipts.load(connection, self.receiver, [queued.key for queued in claimed])
        previous = [Receipt(ids[queued.key]) if queued.key in ids else None for queued in claimed]
        return list(map(_Ready, claimed, notifications, previous, repeat(now)))

    def _next_look(self) -> float:
        """Return when to go on without a wake-up (Unix seconds, in the future)."""
        now = self._clock.now()
        times = [self._breaker.probe_at, self._paused_until, self._look_at]
        if self._breaker.failing_since is not None:
            times.append(self._breaker.failing_since + REPORT_AFTER)
        return min(time for time in (*times, now + POLL) if time is not None and time > now)

    async def _deliver(self, ready: _Ready) -> None:
        queued = ready.queued
        try:
            if ready.notification.kind == "update" and not self._provider.capabilities.edits:
                self._sending -= 1
                await self._persist(lambda: self._database.write(lambda c: outbox.discard(c, queued.id)))
                return
            outcome = await self._send(ready)
            if isinstance(outcome, Receipt):
                await self._delivered(ready, outcome)
            else:
                await self._failed(queued, outcome)
        finally:
            del self._under_way[queued.key]
            self._wake.set()
            if self._has_more and not self._fetched:
                self.wake()  # the next notification of this group may go now

    async def _send(self, ready: _Ready) -> Receipt | DeliveryError:
        """Render and send. Other notifications may be sent while the result is stored."""
        begun = self._clock.now()
        try:
            if not ready.notification.alerts and ready.notification.kind != "digest":
                return DeliveryError("its alerts are no longer stored", permanent=True)
            outcome = await attempt(self._provider, ready.notification, ready.previous)
            if isinstance(outcome, DeliveryError):
                self._breaker_failed(begun)
                return outcome
            if self._breaker.is_open:
                self._look_at = 0.0  # a probe claims one notification only
                self._back_at = self._clock.now()
            self._breaker.succeeded()
            return outcome
        finally:
            self._sending -= 1
            self._wake.set()

    def _breaker_failed(self, begun: float) -> None:
        """Note a failed attempt; once the breaker is open, drop what was fetched: it waits in the database."""
        self._breaker.failed(self._clock.now(), begun)
        if self._breaker.is_open:
            self._fetched.clear()
            self._look_at = 0.0

    async def _delivered(self, ready: _Ready, receipt: Receipt) -> None:
        ATTEMPTS[self.receiver, "delivered"] += 1
        now = self._clock.now()
        if self._is_pause_noted and not self._breaker.is_open:
            self._is_pause_noted = False
            await self._persist(lambda: self._database.write(lambda c: outbox.end_pause(c, [self.receiver])))
        await self._marks.mark(Delivered(ready.queued, now, receipt, ready.read_at))
        await self._report(self._failing.changes([], int(now), reason="delivered"))

    async def _failed(self, queued: QueuedNotification, error: DeliveryError) -> None:
        now = self._clock.now()
        if error.retry_after is not None:
            self._paused_until = max(self._paused_until, now + error.retry_after)
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
        is_dead = retry.is_hopeless(attempts, error.permanent, now - queued.queued_at, self._give_up_after)
        ATTEMPTS[self.receiver, "dead" if is_dead else "failed"] += 1
        if is_dead:
            await self._raise_failing(f"notification {queued.id} was given up: {reason}", now)
            await self._persist(
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

            await self._persist(lambda: self._database.write(note))
            self._look_at = min(self._look_at, next_at)

    async def _report_long_failure(self) -> None:
        since = self._breaker.failing_since
        if since is None or not self._breaker.is_open or self._failing.firing:
            return
        now = self._clock.now()
        if now - since >= REPORT_AFTER:
            await self._raise_failing("it has taken no message for two minutes", now)

    async def _raise_failing(self, reason: str, now: float) -> None:
        """Raise ``ReceiverFailing`` before its cause is stored, so that a crash between the two loses neither."""
        annotations = {"summary": f"Receiver {self.receiver} is failing", "description": reason}
        failing = Signal(self._failing_labels(), int(now), annotations, source="receiver")
        await self._report(self._failing.changes([failing], int(now)))

    async def _report(self, signals: list[Signal]) -> None:
        if signals:
            # at once: storing is tried until it succeeds, in the order of these calls
            self._failing.commit(signals)
            await self._persist(lambda: self._on_signals(signals))

    def _failing_labels(self) -> dict[str, str]:
        return {"alertname": "ReceiverFailing", "receiver": self.receiver, "severity": "P1"}

    async def _persist(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run ``step`` until the database takes it: a full disk must not cause a message to be sent again."""
        while True:
            try:
                return await step()
            except StoreError as error:
                if self._stopping:
                    raise
                _log.error("result cannot be stored yet", receiver=self.receiver, error=str(error))
                await self._clock.wait(asyncio.Event(), self._clock.now() + STORE_PAUSE)
