"""The running monitor: builds the parts from the configuration and runs them together, each under supervision.

This is the only place that knows all parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import aiohttp
import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.alerting.dispatch import Dispatch, Receiver, firing
from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.errors import ChainError, ChainReset, DeepReorg, WrongChain
from chainwatch.chain.observer import Observer
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.seen import SEEN_MARGIN
from chainwatch.chain.status import NetworkStatus
from chainwatch.chain.transport import open_session
from chainwatch.checker.transfer import SEARCH
from chainwatch.model import Backfilled, Deadline, Signal
from chainwatch.monitor.deadlines import DeadlineScheduler
from chainwatch.monitor.self_monitoring import (
    CLOCK_SKEW,
    DEEP_REORG,
    NETWORK_ALERTS,
    WATCHDOG,
    OwnConditions,
    clock_signals,
    network_signals,
    watchdog,
)
from chainwatch.pipeline.backfill import Backfill, goes_on
from chainwatch.pipeline.opening_search import search_openings
from chainwatch.pipeline.pipeline import Item, Outcome, Pipeline
from chainwatch.pipeline.recompute import Recomputation, fingerprints
from chainwatch.plan import Plan
from chainwatch.store import blocks, schema, transfers, watched
from chainwatch.store.alerting import clamping, outbox
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.support.clock import SteadyClock
from chainwatch.support.supervise import Supervisor
from chainwatch.support.wakeup import SystemClock

SELF_WATCH_EVERY = 1.0
PAUSED_AFTER = 5.0
"""Seconds without a turn of the self-watch after which all of this process counts as paused: as long as that lasted, nobody
asked the networks."""
STATES_EVERY = 5.0
"""Seconds after which the state of a network is stored again though it has not changed."""
WRONG_CHAIN_PAUSE = 30.0
"""Seconds until a network whose endpoints all served another chain is tried again."""
LOOKBACK_EVERY = 5.0
LOOKBACK_AT_ONCE = 500
"""Transfers whose opening step is looked for at a time."""
RANGES_PROPERTY = "block_ranges"
"""The property that holds the most blocks of one question for logs, by endpoint, as JSON."""
PAST = SEEN_MARGIN + 1
"""Seconds after a deadline from which on the head can prove that the network was seen past it."""
STORE_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds between tries while the database refuses for a passing reason; the last one repeats."""

T = TypeVar("T")

_OWN_ALERTS = (*NETWORK_ALERTS, CLOCK_SKEW, DEEP_REORG, WATCHDOG)

_log = structlog.get_logger(__name__)


async def _never() -> Plan:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


async def run(
    plan: Plan, database: Database, stop: asyncio.Event, next_plan: Callable[[], Awaitable[Plan]] = _never
) -> None:
    """Follow every network and deliver every alert until ``stop`` is set; ``next_plan`` returns what is to be run instead.

    Raises ``StoreError`` for a database of other chains.
    """
    current: Plan | None = plan
    clock = SteadyClock()
    async with open_session() as session:
        while current is not None:
            monitor = Monitor(current, database, session, clock, reloaded=current is not plan)
            current = await _run(monitor, stop, next_plan)


async def _run(
    monitor: Monitor, stop: asyncio.Event, next_plan: Callable[[], Awaitable[Plan]]
) -> Plan | None:
    """The next plan, once there is one and ``monitor`` has stopped; None once ``stop`` is set."""
    starting = asyncio.create_task(monitor.start())
    stopping = asyncio.create_task(stop.wait())
    changing = asyncio.ensure_future(next_plan())
    tasks = (starting, stopping, changing)
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await asyncio.wait((stopping, changing), return_when=asyncio.FIRST_COMPLETED)
        return changing.result() if changing.done() and not stopping.done() else None
    finally:
        for task in tasks:
            task.cancel()  # a database that refuses may have held the start up
        await asyncio.gather(*tasks, return_exceptions=True)
        await monitor.stop()


class Monitor:
    """All parts of a live chainwatch on one database; ``reloaded``: another one ran until now."""

    def __init__(
        self,
        plan: Plan,
        database: Database,
        session: aiohttp.ClientSession,
        clock: SteadyClock | None = None,
        *,
        reloaded: bool = False,
    ) -> None:
        self._plan = plan
        self._reloaded = reloaded
        self._settings = plan.settings
        self._database = database
        self._session = session
        self._clock = clock = clock or SteadyClock()
        self._chain_time = ChainTime(clock)
        self._answered_at = dict.fromkeys(plan.watches, clock.unadjusted())
        """When each network answered last, by the clock that is never adjusted; at first, when this began to ask them."""
        self._watched_at = clock.unadjusted()
        self._supervisor = Supervisor(self.raise_signals, clock)
        self._dispatch = Dispatch(
            database,
            self._supervisor,
            keep_for=plan.settings.store.retention,
            external_url=plan.settings.external_url or "",
            clock=clock,
        )
        self._pools: dict[str, Pool] = {}
        self._observers: dict[str, Observer] = {}
        self._ranges: dict[str, int] = {}
        """The most blocks of one question for logs, by endpoint, as stored."""
        self._stored_states: dict[str, NetworkState] = {}
        self._halted: dict[str, Signal] = {}
        """The networks that an operator has to rewind."""
        self._search_wanted = {network: asyncio.Event() for network in plan.watches}
        self._scheduler = DeadlineScheduler(
            self._load_deadlines, self._confirm_heads, SystemClock(self._chain_time.now)
        )
        self._alerts: AlertEngine
        self._pipeline: Pipeline

    async def start(self) -> None:
        """Check the database against the configuration, then start every task."""
        settings = self._settings
        await self._load(
            lambda c: blocks.check_chain_ids(c, {n.name: n.chain_id for n in settings.networks.values()})
        )
        await self._write(lambda c: clamping.seen(c, self._clock()))
        self._alerts = AlertEngine.of(settings, await self._load(schema.created_at))
        self._pipeline = Pipeline(
            self._plan.flows,
            settings.networks,
            self._plan.decode,
            self._alerts,
            sources=self._plan.sources,
        )
        await self._write_alerts(lambda c, now: (None, self._alerts.reroute(c, now, reloaded=self._reloaded)))
        await self._take_up_changes()
        ranges = await self._load(lambda c: schema.get_property(c, RANGES_PROPERTY))
        self._ranges = msgspec.json.decode(ranges or "{}", type=dict[str, int])
        start = self._supervisor.start
        start("deadlines", self._scheduler.run)
        for name in self._plan.watches:
            start(f"network {name}", partial(self._follow, name))
            start(f"lookback {name}", partial(self._look_back, name))
            backfill = Backfill(name, settings.store.retention, self._plan.watches[name], self._clock)
            start(f"backfill {name}", partial(self._fill_gaps, backfill))
        start("self-watch", self._watch_self)
        await self._dispatch.start(self._alerts, map(Receiver.of, settings.receivers.values()))
        for depth in await self._load(outbox.depths):
            if depth.status == "pending" and depth.receiver not in settings.receivers:
                _log.warning(
                    "notifications wait for a receiver that is not configured (any more)",
                    receiver=depth.receiver,
                    waiting=depth.number,
                )
        _log.info(
            "running",
            networks=len(self._plan.watches),
            flows=len(self._plan.flows),
            receivers=len(settings.receivers),
        )

    async def stop(self) -> None:
        """End every task; what is under way and not committed is done again after the next start."""
        _log.info("stopping")
        await self._dispatch.stop()

    async def raise_signals(self, signals: Sequence[Signal]) -> None:
        """Let signals that are not about transfers take their way to the receivers."""
        await self._write_alerts(lambda c, now: (None, self._alerts.apply(c, signals, now)))

    async def _take_up_changes(self) -> None:
        """Bring what is stored to what it would be if the configuration had always been this one."""
        sources = {name: watch.sources for name, watch in self._plan.watches.items()}

        def follow(connection: sa.Connection) -> bool:
            read_before = blocks.checkpoints(connection)
            watched.follow(connection, read_before, sources)
            return bool(read_before)

        is_anything_stored = await self._write(follow)
        recomputation = Recomputation(
            self._pipeline,
            self._plan.read_again,
            self._alerts,
            fingerprints(self._settings),
            self._settings.store.retention,
        )
        began, parts = self._clock(), 0
        while await self._write_alerts(lambda c, now: (recomputation.step(c, now), now)):
            parts += 1
            if parts == 1 and is_anything_stored:
                _log.info(
                    "the configuration is another: what is stored is judged again before anything is read"
                )
        if parts and is_anything_stored:
            _log.info(
                "the configuration is another: transfers judged again",
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
                self._halted[name] = _deep_reorg(name, error, int(self._clock()))
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
        pool.remember(self._ranges)
        async with pool:
            async for item in observer.batches(checkpoint, window):
                await self._process([item])

    async def _reach_back(self, name: str) -> int | None:
        """The time since when blocks of a network that is read for the first time tell of transfers under way.

        That is while it was others that were read, and no longer than a step may take.
        """
        checkpoints = await self._load(blocks.checkpoints)
        longest = max((step.within for flow in self._plan.flows for step in flow.expected), default=0)
        others = [c.first_timestamp for other, c in checkpoints.items() if other != name]
        return max(min(others), int(self._clock()) - longest) if others else None

    async def _process(self, items: Sequence[Item]) -> None:
        await self._judge(lambda connection, now: self._pipeline.process(connection, items, now))

    async def _judge(self, job: Callable[[sa.Connection, float], Outcome]) -> None:
        """Run ``job`` in a transaction, then wake who has to know what came of it."""

        def run(connection: sa.Connection, now: float) -> tuple[Outcome, float | None]:
            outcome = job(connection, now)
            return outcome, outcome.next_flush

        outcome = await self._write_alerts(run)
        self._scheduler.cancel(outcome.deadlines.closed)
        self._scheduler.add(map(_when_past, outcome.deadlines.opened))
        for network in {d.network for d in outcome.deadlines.opened if d.network.startswith(SEARCH)}:
            self._search_wanted[network.removeprefix(SEARCH)].set()

    async def _look_back(self, origin: str) -> None:
        """Look for the opening steps of early steps in the blocks of ``origin`` before the first one watched."""
        log = QuietLog(network=origin)
        wanted = self._search_wanted[origin]
        while True:
            waiting = await self._load(lambda c: transfers.waiting_on(c, SEARCH + origin, LOOKBACK_AT_ONCE))
            world = await self._load(self._pipeline.first_watched)
            try:
                async for found in search_openings(self._plan, self._pools, world, waiting):
                    await self._process([found])
            except ChainError as error:
                log.trouble(self._clock(), "earlier blocks cannot be looked through; later again", error)
            else:
                log.over(self._clock(), "earlier blocks are looked through again")
            wanted.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), LOOKBACK_EVERY)

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

    # --- deadlines ----------------------------------------------------------------------------------------

    async def _load_deadlines(self, after: tuple[int, int, str], until: int, limit: int) -> list[Deadline]:
        due_at, transfer_id, step = after
        position = (due_at - PAST, transfer_id, step)
        found = await self._load(lambda c: transfers.due_after(c, position, until - PAST, limit))
        return [_when_past(deadline) for deadline in found]

    async def _confirm_heads(self, due: Sequence[Deadline]) -> None:
        """Deadlines are due by the clock: have their networks confirm their heads. What was seen decides (S5)."""
        for network in {deadline.network for deadline in due}:
            if (observer := self._observers.get(network)) is not None:
                observer.wake()

    # --- itself -------------------------------------------------------------------------------------------

    async def _watch_self(self) -> None:
        """Raise and end the alerts about networks and clock; begins, after a crash too, with what fires by the database."""
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
            await self._save_states([_state(name, status, time.time()) for name, status in observed.items()])
            await self._save_ranges(observed.values())
            await asyncio.sleep(SELF_WATCH_EVERY)

    def _note_pause(self, now: float) -> None:
        """After a pause (a long start, a machine or process that was suspended), silence counts from ``now`` on."""
        if now - self._watched_at > PAUSED_AFTER:
            self._answered_at = dict.fromkeys(self._answered_at, now)
        self._watched_at = now

    def _judge_clock(self, now: float) -> list[Signal]:
        """What is wrong with the host's clock; the one that all wait by learns whether it may follow."""
        error = self._chain_time.error_of(time.time())
        self._clock.judge(None if error is None else error == 0.0)
        return clock_signals(error, self._clock.jump, now)

    async def _save_states(self, states: Sequence[NetworkState]) -> None:
        """Store what has changed, and from time to time that nothing has: who looks takes silence for a stop."""
        changed = [state for state in states if _is_news(state, self._stored_states.get(state.name))]
        if changed:
            await self._write(lambda c: blocks.save_states(c, changed))
            self._stored_states |= {state.name: state for state in changed}

    async def _save_ranges(self, observed: Iterable[NetworkStatus]) -> None:
        ranges = self._ranges | {
            endpoint.name: endpoint.max_block_range
            for status in observed
            for endpoint in status.endpoints
            if endpoint.max_block_range is not None
        }
        if ranges != self._ranges:
            await self._write(lambda c: schema.set_property(c, RANGES_PROPERTY, _json(ranges)))
            self._ranges = ranges

    # --- the way to the database and from there ---------------------------------------------------------

    async def _write_alerts(self, job: Callable[[sa.Connection, float], tuple[T, float | None]]) -> T:
        """Write what people may have to hear of: as `Dispatch.write`."""
        return await _patiently(lambda: asyncio.wrap_future(self._dispatch.write(job)))

    async def _write(self, job: Callable[[sa.Connection], T]) -> T:
        return await _patiently(lambda: self._database.write(job))

    async def _load(self, job: Callable[[sa.Connection], T]) -> T:
        return await _patiently(lambda: self._database.read(job))


async def _patiently(run: Callable[[], Awaitable[T]]) -> T:
    """``run``; wait and try again while the database refuses for a passing reason."""
    tries = 0
    while True:
        try:
            return await run()
        except StoreError as error:
            if not error.transient:
                raise
            pause = STORE_PAUSES[min(tries, len(STORE_PAUSES) - 1)]
            if tries in (0, 10) or tries % 100 == 0:
                _log.error("the database refuses; trying again", reason=str(error), tries=tries)
            tries += 1
            await asyncio.sleep(pause)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _state(network: str, status: NetworkStatus, now: float) -> NetworkState:
    number, timestamp = (status.head.number, status.head.timestamp) if status.head else (None, None)
    return NetworkState(network, status.state, number, timestamp, status.last_error, now)


def _is_news(state: NetworkState, stored: NetworkState | None) -> bool:
    return (
        stored is None
        or abs(state.updated_at - stored.updated_at) >= STATES_EVERY
        or state._replace(updated_at=0.0) != stored._replace(updated_at=0.0)
    )


def _when_past(deadline: Deadline) -> Deadline:
    """``deadline`` for the scheduler: at the time from which on its network can be seen past it."""
    return msgspec.structs.replace(deadline, due_at=deadline.due_at + PAST)


def _deep_reorg(network: str, error: DeepReorg, now: int) -> Signal:
    what = "its chain was reset" if isinstance(error, ChainReset) else "a reorg deeper than its window"
    return Signal(
        {"alertname": DEEP_REORG, "network": network, "severity": "P0"},
        now,
        {"summary": f"{network} is halted: {what}", "description": str(error)},
        source="network",
    )
