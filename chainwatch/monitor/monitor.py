"""The running monitor: builds all parts from the configuration and runs them together, each under supervision."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import aiohttp
import sqlalchemy as sa
import structlog

from chainwatch.alerting.dispatch import firing
from chainwatch.alerting.runtime import AlertingConfig, AlertingRuntime
from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.errors import DeepReorg, WrongChain
from chainwatch.chain.observer import Observer
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.config import Settings
from chainwatch.model import Backfilled, Deadline, Signal
from chainwatch.monitor.asset_tasks import AssetTasks
from chainwatch.monitor.checker_tasks import CheckerTasks
from chainwatch.monitor.companions import Companions, Running, no_companions
from chainwatch.monitor.counting import Counting
from chainwatch.monitor.flow_watch import watch_flows
from chainwatch.monitor.heartbeat import Heartbeat
from chainwatch.monitor.lookback import reach_back
from chainwatch.monitor.network_records import NetworkRecords
from chainwatch.monitor.self_monitoring import (
    CLOCK_SKEW,
    DEEP_REORG,
    NETWORK_ALERTS,
    WATCHDOG,
    OwnConditions,
    clock_signals,
    deep_reorg,
    network_signals,
    watchdog,
)
from chainwatch.monitor.transfer_indexing import index_transfers
from chainwatch.pipeline.backfill import Backfill, goes_on
from chainwatch.pipeline.pipeline import Item, Outcome, Pipeline
from chainwatch.pipeline.recompute import Recomputation, fingerprints
from chainwatch.plan import Plan
from chainwatch.presentation.presenter import Presenter
from chainwatch.registry import build_checkers
from chainwatch.store import blocks, watched
from chainwatch.store.alerting import clamping, outbox
from chainwatch.store.database import Database
from chainwatch.store.retrying import retrying
from chainwatch.support.clock import SteadyClock
from chainwatch.support.wakeup import SystemClock

SELF_WATCH_EVERY = 1.0
PAUSED_AFTER = 5.0
"""Seconds without a turn of self-monitoring after which the process counts as paused: networks were not asked meanwhile."""
WRONG_CHAIN_PAUSE = 30.0
"""Seconds until a network whose endpoints all served another chain is tried again."""

T = TypeVar("T")
ConfigureAlerting = Callable[[Settings], AlertingConfig]

_OWN_ALERTS = (*NETWORK_ALERTS, CLOCK_SKEW, DEEP_REORG, WATCHDOG)

_log = structlog.get_logger(__name__)


async def _never() -> Plan:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


async def run(
    plan: Plan,
    database: Database,
    stop: asyncio.Event,
    next_plan: Callable[[], Awaitable[Plan]] = _never,
    alerting: ConfigureAlerting = AlertingConfig.of,
    companions: Companions = no_companions,
) -> None:
    """Follow every network and deliver every alert until ``stop`` is set; ``next_plan`` returns what is to be run instead.

    Raises ``StoreError`` for a database of other chains.
    """
    current: Plan | None = plan
    clock = SteadyClock()
    stopping = asyncio.create_task(stop.wait())
    try:
        async with open_session() as session:
            while current is not None:
                make = partial(
                    Monitor, current, database, session, clock, alerting=alerting, companions=companions
                )
                current = await _run(make, stopping, next_plan, reloaded=current is not plan)
    finally:
        await _cancel(stopping)


async def _run(
    make: Callable[..., Monitor],
    stopping: asyncio.Future[Any],
    next_plan: Callable[[], Awaitable[Plan]],
    *,
    reloaded: bool,
) -> Plan | None:
    """Return the next plan, once there is one and the monitor has stopped; None once ``stopping`` is done.

    After the host's clock was set another monitor follows: what waits in memory was measured by the clock before.
    """
    changing = asyncio.ensure_future(next_plan())
    try:
        while not (stopping.done() or changing.done()):
            await _run_until(make(reloaded=reloaded), stopping, changing)
            reloaded = False
        return None if stopping.done() else changing.result()
    finally:
        await _cancel(changing)


async def _run_until(monitor: Monitor, stopping: asyncio.Future[Any], changing: asyncio.Future[Any]) -> None:
    """Run ``monitor`` until one of the others is done, or the host's clock was set."""
    starting = asyncio.create_task(monitor.start())
    clock_set = asyncio.create_task(monitor.clock_set.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await asyncio.wait((stopping, changing, clock_set), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(starting, clock_set)  # a database that refuses may have held the start up
        await monitor.stop()


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Monitor:
    """All parts of a live chainwatch on one database; ``reloaded``: another monitor ran until now.

    A new monitor sets its clock to the host's where that is to be done. ``clock_set``: the host's clock was set, so
    another monitor must be made.
    """

    def __init__(
        self,
        plan: Plan,
        database: Database,
        session: aiohttp.ClientSession,
        clock: SteadyClock | None = None,
        *,
        reloaded: bool = False,
        alerting: ConfigureAlerting = AlertingConfig.of,
        companions: Companions = no_companions,
    ) -> None:
        self._plan = plan
        self._reloaded = reloaded
        self._settings = plan.settings
        self._database = database
        self._session = session
        self._clock = clock = clock or SteadyClock()
        self._clock_set_by = clock.follow()
        self.clock_set = asyncio.Event()
        self._chain_time = ChainTime(clock)
        self._answered_at = dict.fromkeys(plan.watches, clock.unadjusted())
        """When each network answered last, by the clock that is never adjusted; at first, when this began to ask them."""
        self._watched_at = clock.unadjusted()
        self._alerting = AlertingRuntime(database, alerting(plan.settings), clock=clock)
        self._supervisor = self._alerting.supervisor
        self._heartbeat = Heartbeat(plan.settings.monitor, plan.watches, self._supervisor, database)
        self._companions = companions(Running(plan, database, self._alerting, self._heartbeat.health))
        self._pools: dict[str, Pool] = {}
        self._observers: dict[str, Observer] = {}
        self._records = NetworkRecords(database)
        self._halted: dict[str, Signal] = {}
        """The networks that an operator has to rewind."""
        self._counting = Counting(plan.flows, Presenter.of(plan.settings))
        self._checkers = build_checkers(plan, self._counting.saved)
        self._checker_tasks = [
            CheckerTasks(
                checker,
                plan.watches,
                self._pools,
                self._load,
                self._process,
                self._confirm_heads,
                SystemClock(self._chain_time.now),
            )
            for checker in self._checkers
        ]
        self._parts: list[CheckerTasks | AssetTasks | Heartbeat] = [
            *self._checker_tasks,
            AssetTasks(plan.settings, plan.watches, self._pools, self._load, self._write, clock),
            self._heartbeat,
        ]
        self._pipeline = Pipeline(
            self._checkers, plan.settings.networks, plan.decode, self._alerting, plan.sources
        )

    async def start(self) -> None:
        """Check the database against the configuration, then start every task."""
        settings = self._settings
        await self._load(
            lambda c: blocks.check_chain_ids(c, {n.name: n.chain_id for n in settings.networks.values()})
        )
        await self._write(lambda c: clamping.seen(c, self._clock()))
        reloaded, set_by = self._reloaded, self._clock_set_by
        await self._alerting.resume(reloaded=reloaded, clock_set_by=set_by, cut_off=not (reloaded or set_by))
        await self._take_up_changes()
        await self._records.load()
        start = self._supervisor.start
        for tasks in (*(part.all() for part in self._parts), self._companions):
            for name, task in tasks.items():
                start(name, task)
        for name in self._plan.watches:
            start(f"network {name}", partial(self._follow, name))
            backfill = Backfill(name, settings.store.retention, self._plan.watches[name], self._clock)
            start(f"backfill {name}", partial(self._fill_gaps, backfill))
        start("self-watch", self._watch_self)
        start(
            "flow-watch", partial(watch_flows, self._plan.flows, self._load, self.raise_signals, self._clock)
        )
        start("transfer-index", partial(index_transfers, self._plan.flows, self._load, self._write))
        await self._alerting.start()
        for depth in await self._load(outbox.depths):
            if depth.status == "pending" and depth.receiver not in self._alerting.receivers:
                _log.warning(
                    "notifications wait for a receiver that is not configured (any more)",
                    receiver=depth.receiver,
                    waiting=depth.number,
                )
        _log.info(
            "running",
            networks=len(self._plan.watches),
            flows=len(self._plan.flows),
            receivers=len(self._alerting.receivers),
        )

    async def stop(self) -> None:
        """End every task; what is under way and not committed is done again after the next start."""
        _log.info("stopping")
        await self._alerting.close()

    async def raise_signals(self, signals: Sequence[Signal]) -> None:
        """Apply signals that are not about transfers."""
        await retrying(lambda: self._alerting.raise_signals(signals))

    async def _take_up_changes(self) -> None:
        """Recompute what is stored as if the configuration had always been this one."""

        def follow(connection: sa.Connection) -> bool:
            read_before = blocks.checkpoints(connection)
            watched.follow(connection, read_before, self._plan.sources)
            return bool(read_before)

        is_anything_stored = await self._write(follow)
        recomputation = Recomputation(
            self._pipeline,
            self._plan.read_again,
            self._alerting,
            fingerprints(self._checkers, self._settings),
            self._settings.store.retention,
        )
        began, parts = self._clock(), 0
        while await self._write_alerts(lambda c, now: (recomputation.step(c, now), now)):
            parts += 1
            if parts == 1 and is_anything_stored:
                _log.info("the configuration changed: what is stored is judged again before anything is read")
        if parts and is_anything_stored:
            _log.info(
                "the configuration changed: transfers judged again",
                seconds=round(self._clock() - began, 1),
            )

    # --- networks -----------------------------------------------------------------------------------------

    async def _follow(self, name: str) -> None:
        """Read one network for as long as it can be read; ends only when an operator is needed."""
        while True:
            try:
                await self._read(name)
            except WrongChain as error:
                _log.error("network not started", network=name, reason=str(error))
                await asyncio.sleep(WRONG_CHAIN_PAUSE)
            except DeepReorg as error:
                _log.critical("network halted", network=name, reason=str(error))
                self._halted[name] = deep_reorg(name, error, int(self._clock()))
                return

    async def _read(self, name: str) -> None:
        settings = self._settings.networks[name]
        lasting = self._clock.unadjusted
        pool = self._pools[name] = Pool(settings, self._session, lasting, chain_time=self._chain_time)
        observer = self._observers[name] = Observer(
            settings,
            self._plan.watches[name],
            pool,
            lasting,
            self._chain_time,
            partial(self._reach_back, name),
        )
        checkpoint = (await self._load(blocks.checkpoints)).get(name)
        window = await self._load(lambda c: blocks.window(c, name))
        pool.remember(self._records.ranges)
        async with pool:
            async for item in observer.batches(checkpoint, window):
                await self._process([item])
                self._counting.count_read(item)

    async def _reach_back(self, name: str) -> int | None:
        checkpoints = await self._load(blocks.checkpoints)
        return reach_back(checkpoints, self._plan.flows, name, self._clock())

    async def _process(self, items: Sequence[Item]) -> None:
        await self._judge(lambda connection, now: self._pipeline.process(connection, items, now))

    async def _judge(self, job: Callable[[sa.Connection, float], Outcome]) -> None:
        """Run ``job`` in a transaction, then wake the tasks concerned by its outcome."""
        outcome, news = await self._write_alerts(partial(self._counting.run, job))
        self._counting.count(news)
        for tasks in self._checker_tasks:
            tasks.wake(outcome)

    async def _fill_gaps(self, backfill: Backfill) -> None:
        """Read blocks of a network again for what was not watched when they were read; ends when all are."""
        network = backfill.network
        while (gap := await self._load(lambda c: watched.gap(c, network))) is not None:
            checkpoint = (await self._load(blocks.checkpoints))[network]
            async with contextlib.aclosing(backfill.read(self._pools.get(network), gap, checkpoint)) as parts:
                async for part in parts:
                    if isinstance(part, Backfilled):
                        await self._process([part])
                        if not goes_on(part, gap, await self._load(lambda c: watched.gap(c, network))):
                            break  # a reorg changed what is to be read
                    else:
                        await self._write(part)
        await self._judge(lambda c, now: self._pipeline.judge_filled(c, network, now))

    async def _confirm_heads(self, due: Sequence[Deadline]) -> None:
        """Have networks confirm their heads: their deadlines are due by the clock. What was seen decides (S5)."""
        for network in {deadline.network for deadline in due}:
            if (observer := self._observers.get(network)) is not None:
                observer.wake()

    # --- itself -------------------------------------------------------------------------------------------

    async def _watch_self(self) -> None:
        """Raise and end the alerts about networks and clock; begin, after a crash too, with those that fire."""
        fired = await self._load(lambda c: firing(c, _OWN_ALERTS))
        conditions = OwnConditions(fired, int(self._clock()))
        while True:
            self._note_pause(self._clock.unadjusted())
            now = self._clock()
            current = [watchdog(int(now)), *self._halted.values(), *self._judge_clock(now)]
            ahead, adjusted = now - self._chain_time.now(), now - self._clock.unadjusted()
            observed = {name: observer.status for name, observer in self._observers.items()}
            for name, status in observed.items():
                self._answered_at[name] = max(self._answered_at[name], status.last_answer_at or 0.0)
                settings, answered_at = self._settings.networks[name], self._answered_at[name] + adjusted
                current += network_signals(settings, status.moved(adjusted), answered_at, now, ahead)
            unanswered = {name for name, status in observed.items() if status.head is None}
            if changes := conditions.changes(current, int(now), unanswered):
                await self.raise_signals(changes)
                conditions.commit(changes)
            await self._records.save(observed, time.time())
            self._heartbeat.health.note(observed.keys() - unanswered, current)
            await asyncio.sleep(SELF_WATCH_EVERY)

    def _note_pause(self, now: float) -> None:
        """Count silence from ``now`` on after a pause: a long start, a machine or process that was suspended."""
        if now - self._watched_at > PAUSED_AFTER:
            self._answered_at = dict.fromkeys(self._answered_at, now)
        self._watched_at = now

    def _judge_clock(self, now: float) -> list[Signal]:
        """Return what is wrong with the host's clock; the process's clock is informed whether it may follow."""
        error = self._chain_time.error_of(time.time())
        self._clock.judge(None if error is None else error == 0.0)
        if self._clock.is_to_be_set and not self.clock_set.is_set():
            _log.warning("the host's clock was set", seconds=round(self._clock.jump, 1))
            self.clock_set.set()
        return clock_signals(error, self._clock.jump, now)

    # --- the way to the database and from there ---------------------------------------------------------

    async def _write_alerts(self, job: Callable[[sa.Connection, float], tuple[T, float | None]]) -> T:
        """Write what may change alerts: as `AlertingRuntime.write`."""
        return await retrying(lambda: asyncio.wrap_future(self._alerting.write(job)))

    async def _write(self, job: Callable[[sa.Connection], T]) -> T:
        return await retrying(lambda: self._database.write(job))

    async def _load(self, job: Callable[[sa.Connection], T]) -> T:
        return await retrying(lambda: self._database.read(job))
