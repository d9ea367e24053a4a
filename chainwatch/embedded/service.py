"""Alerting without watching: takes what other programs send, and sees that it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import msgspec
import sqlalchemy as sa

from chainwatch.alerting.dispatch import Dispatch, Receiver
from chainwatch.alerting.engine import intake, upkeep
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.engine.intake import Taken
from chainwatch.alerting.engine.submission import Submission
from chainwatch.alerting.policy.policies import Policies
from chainwatch.config import RouteSettings
from chainwatch.model import Signal
from chainwatch.store.alerting import alert_groups, alerts, clamping, expiries, outbox
from chainwatch.store.database import Database
from chainwatch.support.clock import SteadyClock
from chainwatch.support.supervise import Supervisor

DRAIN_POLL = 0.02


@dataclass(frozen=True)
class Configured:
    """What decides who is told what. ``keep_for``: seconds that what is over is kept."""

    routes: Sequence[RouteSettings]
    receivers: Sequence[Receiver]
    policies: Policies
    keep_for: float
    external_url: str


class AlertService:
    """The running alert manager on one database. ``accept`` may be called from any thread, the rest on its loop.

    Times are in seconds. ``told_since`` as for the manager.
    """

    def __init__(
        self,
        database: Database,
        configured: Configured,
        *,
        notify_since: int,
        resolve_timeout: float,
        clock: Callable[[], float] | None = None,
    ) -> None:
        clock = clock or SteadyClock()
        self._database = database
        self._configured = configured
        self._registered: list[tuple[Receiver, RouteSettings]] = []
        self._notify_since = notify_since
        self._resolve_timeout = resolve_timeout
        self._manager = self._made(configured, [])
        self._dispatch = Dispatch(
            database,
            Supervisor(self._raise_signals, clock),
            keep_for=configured.keep_for,
            external_url=configured.external_url,
            clock=clock,
        )

    @property
    def manager(self) -> AlertEngine:
        """What decides who is told what now."""
        return self._manager

    @property
    def receivers(self) -> list[str]:
        """The names of all receivers, also of those that were registered."""
        return [one.name for one in (*self._configured.receivers, *(r for r, _ in self._registered))]

    async def start(self) -> None:
        """Take up what an earlier run left, then run every queue and timer."""
        await asyncio.wrap_future(self._dispatch.write(self._reroute))
        await self._dispatch.start(self, self._configured.receivers)

    async def register(self, receiver: Receiver, route: RouteSettings) -> None:
        """Let ``receiver`` hear of what ``route`` takes, beside all others. Raises ``ValueError`` for a name in use."""
        registered = [(receiver, route), *self._registered]
        self._manager = self._made(self._configured, registered)
        self._registered = registered
        self._dispatch.add(receiver)
        await asyncio.wrap_future(self._dispatch.write(self._reroute))

    async def reload(self, configured: Configured, kept: Collection[str]) -> None:
        """Go on by ``configured``; the queues of the receivers ``kept`` are not touched, nor registered receivers.

        Raises ``ValueError`` where a registered receiver has the name of one that is new; then nothing has changed.
        """
        manager = self._made(configured, self._registered)
        gone = {receiver.name for receiver in self._configured.receivers} - set(kept)
        self._configured, self._manager = configured, manager
        await self._dispatch.reload(
            gone,
            [receiver for receiver in configured.receivers if receiver.name not in kept],
            keep_for=configured.keep_for,
            external_url=configured.external_url,
        )
        await asyncio.wrap_future(self._dispatch.write(partial(self._reroute, reloaded=True)))

    def accept(self, sent: Sequence[Submission]) -> Future[None]:
        """Store what was sent and what follows from it; the future is done once that is committed."""
        return self.accept_later(lambda: sent)

    def accept_later(self, take: Callable[[], Sequence[Submission]]) -> Future[None]:
        """As ``accept``, for what ``take`` gives when its turn has come."""
        return self._dispatch.write(lambda connection, now: (None, self._submit(connection, take(), now)))

    def end(self, fingerprint: str, reason: str) -> Future[bool]:
        """End the firing alert with this fingerprint now; whether there was one."""
        return self._dispatch.write(lambda connection, now: self._end(connection, fingerprint, reason, now))

    async def drain(self, within: float, shut: Callable[[], bool]) -> bool:
        """Tell everything that is still to be told, without waiting for groups to fill; whether that was done in time.

        Without any time, nothing is hastened. ``shut`` ends sending unless something that was sent waits to be taken up.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while not await asyncio.wrap_future(self._dispatch.write(partial(self._drained, within > 0, shut))):
            while True:
                if loop.time() > until:
                    return False
                await asyncio.sleep(DRAIN_POLL)
                if not await self._database.read(lambda c: outbox.has_pending(c, self.receivers)):
                    break
        return True

    async def stop(self) -> None:
        """End every task; what was not delivered stays in the database."""
        await self._dispatch.stop()

    # --- what is done in the writer's thread -------------------------------------------------------------

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """As the alert manager's, minding alerts that end by themselves."""
        return _sooner(connection, self._manager.apply(connection, signals, now))

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """End what was not sent again, and tell what is due."""
        return self._apply(connection, intake.expired(connection, now), now)

    def _submit(self, connection: sa.Connection, sent: Sequence[Submission], now: float) -> float | None:
        due_at: float | None = now
        for different in intake.rounds(sent):
            taken = intake.take(connection, different, now, self._resolve_timeout)
            due_at = self._apply(connection, taken, now)
        return due_at

    def _end(
        self, connection: sa.Connection, print_: str, reason: str, now: float
    ) -> tuple[bool, float | None]:
        standing = [a for a in alerts.newest(connection, [print_]).values() if a.state != "resolved"]
        upkeep.resolve_now(connection, self._manager.group_manager, standing, reason, now)
        return bool(standing), self.flush(connection, now)

    def _drained(
        self, hasten: bool, shut: Callable[[], bool], connection: sa.Connection, now: float
    ) -> tuple[bool, float | None]:
        """Whether nothing is to be told and nothing more can be sent."""
        if hasten:
            alert_groups.advance_unnotified(connection, now)
        due_at = _sooner(connection, self._manager.flush(connection, now))
        is_due = hasten and due_at is not None and due_at <= now
        return not is_due and not outbox.has_pending(connection, self.receivers) and shut(), due_at

    def _reroute(
        self, connection: sa.Connection, now: float, *, reloaded: bool = False
    ) -> tuple[None, float | None]:
        """What ended by itself meanwhile has ended before anything is told."""
        clamping.timeouts(connection, now + self._resolve_timeout)
        ended: list[Signal] = []
        while (taken := intake.expired(connection, now)).known:
            ended += taken.signals
        return None, _sooner(connection, self._manager.reroute(connection, now, ended, reloaded=reloaded))

    def _apply(self, connection: sa.Connection, taken: Taken, now: float) -> float | None:
        return _sooner(connection, self._manager.take(connection, taken, now))

    async def _raise_signals(self, signals: Sequence[Signal]) -> None:
        await self._dispatch.raise_signals(signals)

    def _made(
        self, configured: Configured, registered: Sequence[tuple[Receiver, RouteSettings]]
    ) -> AlertEngine:
        receivers: dict[str, Receiver] = {}
        for receiver in (*configured.receivers, *(receiver for receiver, _ in registered)):
            if receiver.name in receivers:
                raise ValueError(f"there is a receiver called {receiver.name!r} already")
            receivers[receiver.name] = receiver
        sends_resolved = {name: receiver.send_resolved for name, receiver in receivers.items()}
        limits = {name: receiver.rate_limit for name, receiver in receivers.items() if receiver.rate_limit}
        policies = msgspec.structs.replace(configured.policies, rate_limits=limits)
        routes = [*(route for _, route in registered), *configured.routes]
        return AlertEngine(routes, sends_resolved, self._notify_since, policies)


def _sooner(connection: sa.Connection, next_flush: float | None) -> float | None:
    """When the next group is to be flushed, or the next alert ends by itself."""
    times = (next_flush, expiries.next_due(connection))
    return min((time for time in times if time is not None), default=None)
