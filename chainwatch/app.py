"""The running monitor: builds the parts from the configuration and runs them together, each under supervision.

This is the only place that knows all parts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import TypeVar

import aiohttp
import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.alerting.manager import AlertManager
from chainwatch.alerting.policies import Policies
from chainwatch.alerting.providers import build_provider
from chainwatch.alerting.queue import ReceiverQueue
from chainwatch.alerting.scheduler import DeadlineScheduler
from chainwatch.chain.errors import ChainError, DeepReorg, WrongChain
from chainwatch.chain.observer import SEEN_MARGIN, Observer
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.status import NetworkStatus
from chainwatch.chain.transport import open_session
from chainwatch.checker.transfer import SEARCH
from chainwatch.lookback import search_openings
from chainwatch.model import Batch, Deadline, Searched, Seen, Signal
from chainwatch.pipeline import Outcome, Pipeline
from chainwatch.plan import Plan
from chainwatch.selfwatch import NETWORK_ALERTS, WATCHDOG, Holding, network_signals, watchdog
from chainwatch.store import alerts, blocks, retention, schema, transfers
from chainwatch.store.blocks import NetworkState
from chainwatch.store.database import Database
from chainwatch.store.errors import StoreError
from chainwatch.supervise import TASK_FAILED, Supervisor

SELF_WATCH_EVERY = 1.0
WRONG_CHAIN_PAUSE = 30.0
"""Seconds until a network whose endpoints all served another chain is tried again."""
DEEP_REORG = "DeepReorg"
RETENTION_EVERY = 3600.0
RETENTION_STEP = 2_000
"""Rows that one step of pruning may take."""
LOOKBACK_EVERY = 5.0
LOOKBACK_AT_ONCE = 500
"""Transfers whose opening step is looked for at a time."""
JUDGED_AT_ONCE = 2_000
RANGES_PROPERTY = "block_ranges"
"""The property that holds the most blocks of one question for logs, by endpoint, as JSON."""
FLOWS_PROPERTY = "flows"
"""The property that tells with which flows the stored transfers were judged."""
PAST = SEEN_MARGIN + 1
"""Seconds after a deadline from which on the head can prove that the network was seen past it."""
STORE_PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds between tries while the database refuses for a passing reason; the last one repeats."""
STOP_WITHIN = 4.0
"""Seconds within which a stop ends everything; what was not done by then is done after the next start."""

T = TypeVar("T")

_OWN_ALERTS = (*NETWORK_ALERTS, DEEP_REORG, WATCHDOG)
_RECEIVER = "receiver "

_log = structlog.get_logger(__name__)


async def run(plan: Plan, database: Database, stop: asyncio.Event) -> None:
    """Follow every network and deliver every alert until ``stop`` is set.

    Raises ``StoreError`` for a database of other chains.
    """
    async with open_session() as session:
        monitor = Monitor(plan, database, session)
        starting = asyncio.create_task(monitor.start())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            starting.cancel()  # a database that refuses may have held it up
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await monitor.stop()


class Monitor:
    """All parts of a live chainwatch on one database."""

    def __init__(
        self,
        plan: Plan,
        database: Database,
        session: aiohttp.ClientSession,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._database = database
        self._session = session
        self._clock = clock
        self._heard_at = dict.fromkeys(plan.watches, clock())
        """When each network answered last; at first, when this began."""
        self._supervisor = Supervisor(self.raise_signals, clock)
        self._pools: dict[str, Pool] = {}
        self._observers: dict[str, Observer] = {}
        self._ranges: dict[str, int] = {}
        """The most blocks of one question for logs, by endpoint, as stored."""
        self._halted: dict[str, Signal] = {}
        """The networks that an operator has to rewind."""
        self._search_wanted = {network: asyncio.Event() for network in plan.watches}
        self._scheduler = DeadlineScheduler(self._load_deadlines, self._confirm_heads)
        self._queues: dict[str, ReceiverQueue] = {}
        self._alerts: AlertManager
        self._pipeline: Pipeline

    async def start(self) -> None:
        """Check the database against the configuration, then start every task."""
        settings = self._settings
        await self._load(
            lambda c: blocks.check_chain_ids(c, {n.name: n.chain_id for n in settings.networks.values()})
        )
        created = await self._load(lambda c: schema.get_property(c, schema.CREATED_AT))
        self._alerts = AlertManager(
            settings.routes,
            {r.name: r.send_resolved for r in settings.receivers.values()},
            int(created or 0),
            Policies.of(settings),
        )
        self._pipeline = Pipeline(self._plan.flows, settings.networks, self._plan.decode, self._alerts)
        await self._write(lambda c: self._alerts.reroute(c, self._clock()))
        await self._take_up_changed_flows()
        for receiver in settings.receivers.values():
            self._queues[receiver.name] = ReceiverQueue(
                self._database,
                receiver.name,
                build_provider(receiver),
                self.raise_signals,
                give_up_after=receiver.give_up_after,
                external_url=settings.external_url or "",
            )
        ranges = await self._load(lambda c: schema.get_property(c, RANGES_PROPERTY))
        self._ranges = msgspec.json.decode(ranges or "{}", type=dict[str, int])
        await self._scheduler.start()
        start = self._supervisor.start
        for name, queue in self._queues.items():
            start(_RECEIVER + name, queue.run)
        for name in self._plan.watches:
            start(f"network {name}", partial(self._follow, name))
            start(f"lookback {name}", partial(self._look_back, name))
        start("self-watch", self._watch_self)
        start("retention", self._prune)
        await self._supervisor.remember(await self._firing(TASK_FAILED))
        _log.info(
            "running",
            networks=len(self._plan.watches),
            flows=len(self._plan.flows),
            receivers=len(self._queues),
        )

    async def stop(self) -> None:
        """End every task; what is under way and not committed is done again after the next start."""
        _log.info("stopping")
        await self._scheduler.stop()
        for queue in self._queues.values():
            queue.stop()
        await self._supervisor.stop(STOP_WITHIN, first=lambda task: not task.startswith(_RECEIVER))

    async def raise_signals(self, signals: Sequence[Signal]) -> None:
        """Let signals that are not about transfers take their way to the receivers."""
        self._wake(await self._write(lambda c: self._alerts.apply(c, signals, self._clock())))

    async def _take_up_changed_flows(self) -> None:
        """Judge what is unfinished again where the flows or networks are not those of the last run."""
        settings = self._settings
        current = _fingerprint(
            [settings.flows, {n: (s.chain_id, s.attributes) for n, s in settings.networks.items()}]
        )
        if current == await self._load(lambda c: schema.get_property(c, FLOWS_PROPERTY)):
            return
        judged: int | None = 0
        while judged is not None:
            after = judged
            judged = await self._write(
                lambda c: self._pipeline.judge_again(c, after, JUDGED_AT_ONCE, self._clock())  # noqa: B023
            )
        await self._write(lambda c: schema.set_property(c, FLOWS_PROPERTY, current))

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
        pool = self._pools[name] = Pool(settings, self._session, self._clock)
        observer = self._observers[name] = Observer(settings, self._plan.watches[name], pool, self._clock)
        checkpoint = (await self._load(blocks.checkpoints)).get(name)
        window = await self._load(lambda c: blocks.window(c, name))
        pool.remember(self._ranges)
        async with pool:
            async for item in observer.batches(checkpoint, window):
                await self._process([item])

    async def _process(self, items: Sequence[Batch | Seen | Searched]) -> None:
        outcome: Outcome = await self._write(lambda c: self._pipeline.process(c, items, self._clock()))
        self._scheduler.cancelled(outcome.deadlines.closed)
        self._scheduler.added(map(_when_past, outcome.deadlines.opened))
        for network in {d.network for d in outcome.deadlines.opened if d.network.startswith(SEARCH)}:
            self._search_wanted[network.removeprefix(SEARCH)].set()
        self._wake(outcome.next_flush)

    async def _look_back(self, origin: str) -> None:
        """Look for the opening steps of early steps in the blocks of ``origin`` before the first one watched."""
        log = QuietLog(network=origin)
        wanted = self._search_wanted[origin]
        while True:
            waiting = await self._load(lambda c: transfers.waiting_on(c, SEARCH + origin, LOOKBACK_AT_ONCE))
            checkpoints = await self._load(blocks.checkpoints)
            try:
                async for found in search_openings(self._plan, self._pools, checkpoints, waiting):
                    await self._process([found])
            except ChainError as error:
                log.trouble(self._clock(), "earlier blocks cannot be looked through; later again", error)
            else:
                log.over(self._clock(), "earlier blocks are looked through again")
            wanted.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), LOOKBACK_EVERY)

    # --- deadlines ----------------------------------------------------------------------------------------

    async def _load_deadlines(self, after: tuple[int, int, str], until: int, limit: int) -> list[Deadline]:
        due_at, transfer_id, step = after
        position = (due_at - PAST, transfer_id, step)
        found = await self._load(lambda c: transfers.due_after(c, position, until - PAST, limit))
        return [_when_past(deadline) for deadline in found]

    async def _confirm_heads(self, due: Sequence[Deadline]) -> None:
        """Deadlines have come by the clock: have their networks looked at. What was seen decides (S5)."""
        for network in {deadline.network for deadline in due}:
            if (observer := self._observers.get(network)) is not None:
                observer.wake()

    async def _flush(self) -> None:
        self._wake(await self._write(lambda c: self._alerts.flush(c, self._clock())))

    # --- itself -------------------------------------------------------------------------------------------

    async def _watch_self(self) -> None:
        """Tell what is wrong with the networks; begins, after a crash too, with what the database says fires."""
        holding = Holding(await self._firing(*_OWN_ALERTS), int(self._clock()))
        while True:
            now = self._clock()
            current = [watchdog(int(now)), *self._halted.values()]
            observed = {name: observer.status for name, observer in self._observers.items()}
            for name, status in observed.items():
                self._heard_at[name] = max(self._heard_at[name], status.last_answer_at or 0.0)
                current += network_signals(self._settings.networks[name], status, self._heard_at[name], now)
            unheard = {name for name, status in observed.items() if status.head is None}
            changes = holding.update(current, int(now), unheard)
            states = [_state(name, status, now) for name, status in observed.items()]
            ranges = self._ranges | {
                endpoint.name: endpoint.max_block_range
                for status in observed.values()
                for endpoint in status.endpoints
                if endpoint.max_block_range is not None
            }

            def save(connection: sa.Connection) -> float | None:
                if ranges != self._ranges:  # noqa: B023 - written before the next turn
                    schema.set_property(connection, RANGES_PROPERTY, _json(ranges))  # noqa: B023
                blocks.save_states(connection, states)  # noqa: B023 - written before the next turn
                return self._alerts.apply(connection, changes, now)  # noqa: B023

            self._wake(await self._write(save))
            self._ranges = ranges
            await asyncio.sleep(SELF_WATCH_EVERY)

    async def _prune(self) -> None:
        while True:
            while await self._write(partial(self._prune_step, now=self._clock())):
                pass  # a transaction each, so that others write between two steps
            await asyncio.sleep(RETENTION_EVERY)

    def _prune_step(self, connection: sa.Connection, now: float) -> int:
        before = now - self._settings.store.retention
        return retention.prune(connection, int(before), before, RETENTION_STEP)

    # --- the way to the database and from there ---------------------------------------------------------

    async def _write(self, job: Callable[[sa.Connection], T]) -> T:
        return await self._patiently(self._database.write, job)

    async def _load(self, job: Callable[[sa.Connection], T]) -> T:
        return await self._patiently(self._database.read, job)

    async def _firing(self, *names: str) -> list[Signal]:
        """The firing alerts of these names."""
        found = await self._load(lambda c: [a for a in alerts.firing(c) if a.name in names])
        return [Signal(a.labels, a.starts_at, a.annotations) for a in found]

    async def _patiently(
        self, run: Callable[[Callable[[sa.Connection], T]], Awaitable[T]], job: Callable[[sa.Connection], T]
    ) -> T:
        """``run`` the ``job``; wait and try again while the database refuses for a passing reason."""
        tries = 0
        while True:
            try:
                return await run(job)
            except StoreError as error:
                if not error.transient:
                    raise
                pause = STORE_PAUSES[min(tries, len(STORE_PAUSES) - 1)]
                if tries in (0, 10) or tries % 100 == 0:
                    _log.error("the database refuses; trying again", reason=str(error), tries=tries)
                tries += 1
                await asyncio.sleep(pause)

    def _wake(self, next_flush: float | None) -> None:
        """After a commit: let the queues look for new notifications and plan the next flush of groups."""
        for queue in self._queues.values():
            queue.wake()
        self._scheduler.at("flush", next_flush, self._flush)


def _fingerprint(settings: object) -> str:
    """The same text for the same settings."""
    return sha256(msgspec.json.encode(settings, enc_hook=lambda model: model.model_dump())).hexdigest()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _state(network: str, status: NetworkStatus, now: float) -> NetworkState:
    number, timestamp = (status.head.number, status.head.timestamp) if status.head else (None, None)
    return NetworkState(network, status.state, number, timestamp, status.last_error, now)


def _when_past(deadline: Deadline) -> Deadline:
    """``deadline`` for the scheduler: at the time from which on its network can be seen past it."""
    return msgspec.structs.replace(deadline, due_at=deadline.due_at + PAST)


def _deep_reorg(network: str, error: DeepReorg, now: int) -> Signal:
    return Signal(
        {"alertname": DEEP_REORG, "network": network, "severity": "P0"},
        now,
        {"summary": f"{network} is halted: a reorg deeper than its window", "description": str(error)},
    )
