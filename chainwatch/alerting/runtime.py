"""The alerting of one process: the alert engine on a database, its timers, and the queues of its receivers.

``monitor/`` and ``embedded/`` both run alerting by this class alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.alerting.actions import Perform
from chainwatch.alerting.dispatch import Dispatch, Receiver
from chainwatch.alerting.engine import intake, upkeep
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.engine.intake import Taken
from chainwatch.alerting.engine.submission import Submission
from chainwatch.alerting.policy.policies import Policies
from chainwatch.alerting.providers import Action, Answer, Provider, Transport, build_provider
from chainwatch.config import ReceiverSettings, RouteSettings, Settings
from chainwatch.model import Signal
from chainwatch.presentation.presenter import RAW, Presenter
from chainwatch.store import schema
from chainwatch.store.alerting import alert_groups, alerts, clamping, expiries, outbox
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.store.retrying import retrying
from chainwatch.support.clock import SteadyClock
from chainwatch.support.supervise import Supervisor, failure_of

RESOLVE_TIMEOUT = 300.0
"""Seconds after which a submitted alert without an end, that is not submitted again, resolves; as in Alertmanager."""
DRAIN_POLL = 0.02
"""Seconds between two checks whether the queues are empty."""
CLOCK_EVERY = 1.0
"""Seconds between two checks whether the host's clock was set."""

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class AlertingConfig:
    """Everything that decides who is notified of what, and how.

    ``keep_for``: seconds for which resolved alerts and finished notifications are kept. ``external_url``: the base of
    links in notifications, or empty; ``presenter``: what is shown beside amounts and transactions. ``perform``: what
    performs the clicks on buttons; None where nothing listens for them. ``extend`` returns this with what the database
    has beside it; None where nothing is added.
    """

    routes: Sequence[RouteSettings]
    receivers: Sequence[ReceiverSettings]
    policies: Policies
    keep_for: float
    external_url: str
    presenter: Presenter = RAW
    perform: Perform | None = None
    extend: Callable[[sa.Connection], AlertingConfig] | None = None

    @classmethod
    def of(cls, settings: Settings, *, keep_for: float | None = None, perform: Perform | None = None) -> Self:
        """Return the alerting part of a configuration; ``keep_for`` replaces its retention."""
        return cls(
            settings.routes,
            list(settings.receivers.values()),
            Policies.of(settings),
            keep_for=settings.store.retention if keep_for is None else keep_for,
            external_url=settings.external_url or "",
            presenter=Presenter.of(settings),
            perform=perform,
        )


class AlertingRuntime:
    """Runs alerting: ``resume``, then ``start``, in the end ``close``.

    ``write``, ``accept``, ``accept_later`` and ``end`` may be called from any thread; ``apply`` and ``flush`` are for
    jobs of ``write``; everything else is called on the event loop on which this was made. ``resolve_timeout`` is in
    seconds; ``clock`` gives Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        config: AlertingConfig,
        *,
        resolve_timeout: float = RESOLVE_TIMEOUT,
        clock: SteadyClock | None = None,
    ) -> None:
        self.clock = clock = clock or SteadyClock()
        self._clock_task: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        """Held while queues are started or ended."""
        self._is_closed = False
        self.supervisor = Supervisor(lambda signals: retrying(lambda: self.raise_signals(signals)), clock)
        """Runs the tasks of alerting; the process may add tasks of its own, whose crashes become alerts too."""
        self._database = database
        self._config = config
        self._registered: list[tuple[RouteSettings, Receiver]] = []
        self._resolve_timeout = resolve_timeout
        self._transport = Transport()
        self._notify_since = 0
        self._engine: AlertEngine
        self._dispatch = Dispatch(
            database,
            self.supervisor,
            self,
            keep_for=config.keep_for,
            external_url=config.external_url,
            presenter=config.presenter,
            clock=clock,
            act=None if config.perform is None else self._act,
        )

    @property
    def engine(self) -> AlertEngine:
        """The alert engine by the current configuration; there is none before ``resume``."""
        return self._engine

    @property
    def receivers(self) -> list[str]:
        """The names of all receivers, configured and registered."""
        registered = (receiver.settings for _, receiver in self._registered)
        return [settings.name for settings in (*self._config.receivers, *registered)]

    # --- life ---------------------------------------------------------------------------------------------

    async def resume(
        self, *, reloaded: bool = False, clock_set_by: float = 0.0, cut_off: bool = False
    ) -> None:
        """Let stored alerts and groups follow the configuration; call it once, before anything else is written.

        ``reloaded``: this process has run with another configuration until now. ``clock_set_by``: seconds by which the
        clock was set since the last run (negative: back). ``cut_off``: other programs could send nothing until now, so
        their alerts last as if they were sent again now. Waits while the database refuses.
        """
        self._notify_since = await retrying(lambda: self._database.read(schema.created_at))
        if self._config.extend is not None:
            self._config = await retrying(partial(self._database.read, self._config.extend))
            self._dispatch.show(self._config.external_url, self._config.presenter)
        self._engine = self._engine_of(self._config, [])
        if cut_off:
            prolong = partial(expiries.prolong, longest=self._resolve_timeout)
            await retrying(lambda: asyncio.wrap_future(self.write(lambda c, now: (prolong(c, now), None))))
        await retrying(lambda: self._reroute(reloaded=reloaded, clock_set_by=clock_set_by))

    async def start(self, *, follow_clock: bool = False) -> None:
        """Run every queue and timer. Call it after the process has started its own tasks: alerts about others resolve.

        ``follow_clock``: start them again whenever the host's clock was set, as what waits in memory was measured by the
        clock before. A process with waits of its own does that itself, with ``resume``.
        """
        await self._dispatch.start([self._built(settings) for settings in self._config.receivers])
        if follow_clock:
            self._clock_task = asyncio.create_task(self._follow_clock(), name="clock")

    async def register(
        self, settings: ReceiverSettings, route: RouteSettings, provider: Provider[Any] | None = None
    ) -> None:
        """Add a receiver while running, and a route to it before all others; it stays through ``reload``.

        ``provider`` replaces the one that the settings describe. Raises ``ValueError`` for a name in use.
        """
        receiver = self._built(settings) if provider is None else Receiver(settings, provider)
        async with self._changing:
            registered = [(route, receiver), *self._registered]
            self._engine = self._engine_of(self._config, registered)
            self._registered = registered
            await self._dispatch.add(receiver)
            await self._reroute()

    async def reload(self, config: AlertingConfig) -> None:
        """Go on by ``config``. The queues of receivers that stay as they are go on, as do registered receivers.

        Raises ``ValueError`` when a new receiver has the name of a registered one; then nothing has changed.
        """
        async with self._changing:
            shows = (config.external_url, config.presenter)
            is_shown_alike = shows == (self._config.external_url, self._config.presenter)
            await self._go_on_by(config, is_shown_alike=is_shown_alike)
            await self._reroute(reloaded=True)

    async def extend(self) -> None:
        """Take up what the database has beside the configuration now; all other queues go on. Raises ``StoreError``."""
        async with self._changing:
            if self._config.extend is None or self._is_closed:
                return
            routes, names = self._config.routes, set(self.receivers)
            await self._go_on_by(await self._database.read(self._config.extend), is_shown_alike=True)
            if routes != self._config.routes or names - set(self.receivers):
                await self._reroute()

    async def _go_on_by(self, config: AlertingConfig, *, is_shown_alike: bool) -> None:
        """Use ``config``; the queues of receivers that stay as they are go on if notifications ``is_shown_alike``."""
        engine = self._engine_of(config, self._registered)
        before = {settings.name: settings for settings in self._config.receivers}
        kept = {s.name for s in config.receivers if is_shown_alike and s == before.get(s.name)}
        self._config, self._engine = config, engine
        await self._dispatch.reload(
            before.keys() - kept,
            [self._built(settings) for settings in config.receivers if settings.name not in kept],
            keep_for=config.keep_for,
            external_url=config.external_url,
            presenter=config.presenter,
        )

    async def drain(self, within: float, shut: Callable[[], bool]) -> bool:
        """Send everything queued or grouped, without waiting for groups to fill; return whether that was done in time.

        ``within``: seconds; with 0, groups keep their times. ``shut`` refuses submissions unless some wait to be stored.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while not await asyncio.wrap_future(self.write(partial(self._drained, within > 0, shut))):
            while True:
                if loop.time() > until:
                    return False
                await asyncio.sleep(DRAIN_POLL)
                if not await self._database.read(lambda c: outbox.has_pending(c, self.receivers)):
                    break
        return True

    async def close(self) -> None:
        """End every task; undelivered notifications stay in the database."""
        if self._clock_task is not None:
            self._clock_task.cancel()
            await asyncio.gather(self._clock_task, return_exceptions=True)
        async with self._changing:
            self._is_closed = True
            await self._dispatch.stop()
        await self._transport.close()

    # --- the host's clock ---------------------------------------------------------------------------------

    async def _follow_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_EVERY)
            if self.clock.is_to_be_set:
                error = await failure_of(self._restart)
                if error is not None:
                    _log.error("restarting after the clock was set failed", error=type(error).__name__)

    async def _restart(self) -> None:
        """End every queue and timer, move what is stored to the new time, and start them again."""
        async with self._changing:
            await self._dispatch.stop()
            try:
                await self._move_stored_waits()
            finally:  # whatever happened, queued notifications must be sent
                registered = [receiver for _, receiver in self._registered]
                built = [self._built(settings) for settings in self._config.receivers]
                await self._dispatch.start([*registered, *built])

    async def _move_stored_waits(self) -> None:
        """Set the clock, and move stored waits by as much, in one transaction; repeated until the database accepts it."""
        by = 0.0

        def move(connection: sa.Connection, _: float) -> tuple[None, float | None]:
            nonlocal by
            by += self.clock.follow()
            return None, self._follow_routes(connection, self.clock(), clock_set_by=by)

        while True:
            try:
                await asyncio.wrap_future(self.write(move))
            except StoreError as error:
                _log.error("the host's clock was set, but stored waits cannot be moved yet", error=str(error))
                await asyncio.sleep(CLOCK_EVERY)
            else:
                _log.warning("the host's clock was set", seconds=round(by, 1))
                return

    # --- changes ------------------------------------------------------------------------------------------

    def write(self, job: Callable[[sa.Connection, float], tuple[T, float | None]]) -> Future[T]:
        """Run ``job`` in a transaction, then wake queues; it returns its result and when the next flush is due."""
        return self._dispatch.write(job)

    async def raise_signals(self, signals: Sequence[Signal]) -> None:
        """Apply signals about this process itself. Raises ``StoreError``."""
        await self._dispatch.raise_signals(signals)

    def accept(self, submissions: Sequence[Submission]) -> Future[None]:
        """Store submitted alerts and their consequences; the future is done once that is committed."""
        return self.accept_later(lambda: submissions)

    def accept_later(self, take: Callable[[], Sequence[Submission]]) -> Future[None]:
        """As ``accept``, for the submissions that ``take`` returns inside the transaction."""
        return self.write(lambda connection, now: (None, self._submit(connection, take(), now)))

    def end(self, fingerprint: str, reason: str) -> Future[bool]:
        """Resolve the firing or pending alert with this fingerprint now; False where there is none."""
        return self.write(lambda connection, now: self._end(connection, fingerprint, reason, now))

    async def _act(self, action: Action) -> Answer:
        """Perform what a person clicked, in one transaction."""

        def perform(connection: sa.Connection, now: float) -> tuple[Answer, float | None]:
            assert self._config.perform is not None
            answer = self._config.perform(connection, self._engine, now, action)
            return answer, self.flush(connection, now)

        try:
            answer = await asyncio.wrap_future(self.write(perform))
        except StoreError as error:
            _log.error("a click cannot be stored", action=action.kind, by=action.actor, error=str(error))
            return Answer("It could not be stored: try again.", done=False)
        except Exception as error:  # noqa: BLE001 - a channel must get its answer, whatever is wrong here
            _log.error("a click failed", action=action.kind, by=action.actor, error=type(error).__name__)
            return Answer("It failed: see the log.", done=False)
        _log.info(
            "a button was clicked", action=action.kind, by=action.actor, via=action.via, answer=answer.text
        )
        return answer

    # --- inside transactions ------------------------------------------------------------------------------

    def apply(self, connection: sa.Connection, signals: Sequence[Signal], now: float) -> float | None:
        """Apply ``signals`` and flush the groups that are due; return when the next flush is due (Unix seconds)."""
        return expiries.sooner(connection, self._engine.apply(connection, signals, now))

    def flush(self, connection: sa.Connection, now: float) -> float | None:
        """Resolve alerts that have expired and flush the groups that are due; return when the next flush is due."""
        return self._take(connection, intake.expired(connection, now), now)

    def _take(self, connection: sa.Connection, taken: Taken, now: float) -> float | None:
        return expiries.sooner(connection, self._engine.take(connection, taken, now))

    def _submit(
        self, connection: sa.Connection, submissions: Sequence[Submission], now: float
    ) -> float | None:
        due_at: float | None = now
        for different in intake.rounds(submissions):
            taken = intake.take(connection, different, now, self._resolve_timeout)
            due_at = self._take(connection, taken, now)
        return due_at

    def _end(
        self, connection: sa.Connection, fingerprint: str, reason: str, now: float
    ) -> tuple[bool, float | None]:
        newest = alerts.newest(connection, [fingerprint]).values()
        active = [alert for alert in newest if alert.state != "resolved"]
        upkeep.resolve_now(connection, self._engine.group_manager, active, reason, now)
        return bool(active), self.flush(connection, now)

    def _drained(
        self, at_once: bool, shut: Callable[[], bool], connection: sa.Connection, now: float
    ) -> tuple[bool, float | None]:
        """Return whether no group is due, no queue holds anything, and further submissions are refused."""
        if at_once:
            alert_groups.advance_unnotified(connection, now)
        due_at = expiries.sooner(connection, self._engine.flush(connection, now))
        is_due = at_once and due_at is not None and due_at <= now
        return not is_due and not outbox.has_pending(connection, self.receivers) and shut(), due_at

    async def _reroute(self, *, reloaded: bool = False, clock_set_by: float = 0.0) -> None:
        def reroute(connection: sa.Connection, now: float) -> tuple[None, float | None]:
            return None, self._follow_routes(connection, now, reloaded=reloaded, clock_set_by=clock_set_by)

        await asyncio.wrap_future(self.write(reroute))

    def _follow_routes(
        self, connection: sa.Connection, now: float, *, reloaded: bool = False, clock_set_by: float = 0.0
    ) -> float | None:
        """Let stored alerts follow the routes; those that expired meanwhile are resolved before any notification."""
        if clock_set_by:
            self._engine.follow_clock(connection, clock_set_by, now)
        clamping.timeouts(connection, now + self._resolve_timeout)
        ended: list[Signal] = []
        while (taken := intake.expired(connection, now)).known:
            ended += taken.signals
        return expiries.sooner(connection, self._engine.reroute(connection, now, ended, reloaded=reloaded))

    # --- parts --------------------------------------------------------------------------------------------

    def _built(self, settings: ReceiverSettings) -> Receiver:
        return Receiver(settings, build_provider(settings, self._transport))

    def _engine_of(
        self, config: AlertingConfig, registered: Sequence[tuple[RouteSettings, Receiver]]
    ) -> AlertEngine:
        receivers: dict[str, ReceiverSettings] = {}
        for settings in (*config.receivers, *(receiver.settings for _, receiver in registered)):
            if settings.name in receivers:
                raise ValueError(f"there is a receiver called {settings.name!r} already")
            receivers[settings.name] = settings
        sends_resolved = {name: settings.send_resolved for name, settings in receivers.items()}
        limits = {name: settings.rate_limit for name, settings in receivers.items() if settings.rate_limit}
        policies = msgspec.structs.replace(config.policies, rate_limits=limits)
        routes = [*(route for route, _ in registered), *config.routes]
        return AlertEngine(routes, sends_resolved, self._notify_since, policies)
