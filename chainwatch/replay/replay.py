"""Replay: the blocks of the past through the same pipeline, to test a configuration (S7).

Only two things differ from a live run: batches come from ranges of history, and nothing waits. Where two networks'
batches fall into the time line does not matter (S3); they are merged by block time so that progress stays even.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import queue
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.engine.group_manager import NEVER
from chainwatch.alerting.policy.policies import Policies
from chainwatch.chain.errors import NotThere
from chainwatch.chain.history import block_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.checker.transfer import IN_TIME, REORG, SEARCH
from chainwatch.config import RouteSettings
from chainwatch.model import Searched, SiftedBatch, Signal, Transfer
from chainwatch.pipeline.opening_search import search_openings
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.pipeline.recompute import JUDGED_BY, Prints, fingerprints
from chainwatch.pipeline.transfer_stats import Tally
from chainwatch.plan import Plan
from chainwatch.replay.reader.process import Reader, is_worthwhile
from chainwatch.replay.reader.ranges import Range, read_ranges
from chainwatch.store import blocks, schema, transfers
from chainwatch.store.alerting import alerts, outbox
from chainwatch.store.database import Database

EVENTS_A_COMMIT = 250_000
"""Events that one transaction takes: the more, the fewer transfers are stored before they are complete."""
AHEAD = 4
"""Batches that wait for the database; a process that reads keeps more of them itself (`reading.worker.AHEAD`)."""
FIRST_TIME = 1_000_000_000
"""Integers from here on are Unix seconds, smaller ones block numbers."""
HEAD_PATIENCE = 30.0
"""Seconds for which the head is asked for until the replay gives up."""
ALL = 2**62
SEARCHES_AT_ONCE = 1_000
PROPERTY = "replay"
"""The property that marks a database as a replay's and holds its range."""

_log = structlog.get_logger("chainwatch.replay.replay")


class ReplayError(Exception):
    """The replay cannot be done; the message says why and how to mend it."""


class Progress(NamedTuple):
    """How far a replay is: blocks done of those in all, events found so far."""

    blocks: int
    of: int
    events: int


def parse_when(text: str) -> int | datetime:
    """A block number or a moment: ``16233067``, ``1680682306`` (Unix seconds), ``2023-04-05``, ``2023-04-05T08:11:46Z``.

    Integers below 1,000,000,000 are block numbers. Times without a zone are UTC. Raises ``ValueError``.
    """
    if text.isdigit():
        number = int(text)
        try:
            return number if number < FIRST_TIME else datetime.fromtimestamp(number, UTC)
        except (OverflowError, OSError) as error:
            raise ValueError(f"{text} seconds is no time") from error
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def resolve_ranges(
    plan: Plan,
    pools: Mapping[str, Pool],
    start: Mapping[str, int | datetime],
    end: Mapping[str, int | datetime],
) -> list[Range]:
    """The block ranges between ``start`` and ``end``, given by network.

    Where one is missing it is the network's ``start_block``, or its head.
    Raises ``ReplayError`` for a range without blocks or a start that nothing names, ``ChainError`` where nothing answers.
    """
    ranges = []
    for network, pool in pools.items():
        newest = await pool.ask(Endpoint.head, HEAD_PATIENCE)
        begin: int | datetime | None = start.get(network, plan.settings.networks[network].start_block)
        if begin is None:
            raise ReplayError(
                f"nothing says where to begin on {network}: give --from, or networks.{network}.start_block in the config"
            )
        first = begin if isinstance(begin, int) else await block_at(pool, int(begin.timestamp()))
        until = end.get(network, newest.number)
        last = until if isinstance(until, int) else await block_at(pool, int(until.timestamp()) + 1) - 1
        last = min(last, newest.number)
        if first > last:
            raise ReplayError(
                f"the range of {network} holds no block: it begins at {first} and ends at {last}"
            )
        ranges.append(Range(network, first, last))
    return ranges


class Replay:
    """One replay into one database.

    ``reader`` reads long ranges. ``notify`` sends what the alerts' routes say to the receivers. Use ``begin``, then ``run``,
    then ``report``.
    """

    def __init__(
        self,
        plan: Plan,
        database: Database,
        pools: Mapping[str, Pool],
        reader: Reader | None = None,
        *,
        notify: bool = False,
    ) -> None:
        settings = plan.settings
        self._plan = plan
        self._database = database
        self._pools = pools
        self._reader = reader
        self._notify = notify
        routes = [_without_repeats(route) for route in settings.routes] if notify else []
        self._alerts = AlertEngine(routes, {r.name: r.send_resolved for r in settings.receivers.values()}, 0)
        self._longest_wait = max((r.group_wait + r.group_interval for r in routes), default=0.0)
        """Alerts are raised as long ago as a group may wait, so that at the end none has to be waited for."""
        self._tally = Tally({flow.name: flow for flow in plan.flows})
        self._pipeline = Pipeline(
            plan.flows,
            settings.networks,
            plan.decode,
            self._alerts,
            saved=self._tally.change,
            sources=plan.sources,
        )
        self._ranges: list[Range] = []
        self._ids: dict[str, int] | None = None
        """The integers that stand for the networks, where logs are to be packed for them."""
        self._events: Counter[str] = Counter()
        """Those stored, by network."""

    def begin(self, ranges: Sequence[Range]) -> None:
        """Take a fresh database for ``ranges``. Raises ``ReplayError`` when it is somebody else's, a live one above all."""
        with self._database.transaction() as connection:
            if blocks.checkpoints(connection) or schema.get_property(connection, PROPERTY):
                raise ReplayError(
                    "the database is in use: a replay never touches a live database; name a new file with --database, "
                    "or go on with an interrupted replay by --resume"
                )
            schema.set_property(connection, PROPERTY, msgspec.json.encode(list(ranges)).decode())
            judged_by = fingerprints(self._plan.settings)
            schema.set_property(connection, JUDGED_BY, msgspec.json.encode(judged_by).decode())
            self._take(connection, ranges)

    def resume(self) -> None:
        """Go on with the replay that was interrupted in this database.

        Raises ``ReplayError`` when there was none, and when it was with other flows: its report would be of neither.
        """
        with self._database.reading() as connection:
            stored = schema.get_property(connection, PROPERTY)
            if stored is None:
                raise ReplayError("the database holds no replay to go on with")
            ranges = msgspec.json.decode(stored, type=list[Range])
            if missing := [r.network for r in ranges if r.network not in self._pools]:
                raise ReplayError(f"the replay is of networks that the config has not: {', '.join(missing)}")
            judged_by = schema.get_property(connection, JUDGED_BY)
            if judged_by and msgspec.json.decode(judged_by, type=Prints) != fingerprints(self._plan.settings):
                raise ReplayError(
                    "the flows, or the networks or contracts that they use, are configured otherwise than when the replay "
                    "began: begin it anew, in another --database"
                )
            self._take(connection, ranges)

    def _take(self, connection: sa.Connection, ranges: Sequence[Range]) -> None:
        self._ranges = list(ranges)
        if self._database.dialect == "postgresql":
            self._ids = blocks.network_ids(connection, [r.network for r in ranges])

    async def run(self, progress: Callable[[Progress], None]) -> None:
        """Read, check and store the whole range. Raises ``ChainError`` and ``StoreError``; what is committed stays."""
        checkpoints = await self._database.read(blocks.checkpoints)
        if checkpoints:
            await self._database.read(self._count_stored)
        left = [
            r
            if r.network not in checkpoints
            else Range(r.network, checkpoints[r.network].last.number + 1, r.last)
            for r in self._ranges
        ]
        total = sum(r.last - r.first + 1 for r in self._ranges)
        done = total - sum(r.last - r.first + 1 for r in left)

        def advance(sifted: SiftedBatch) -> None:
            nonlocal done
            done += sifted.batch.last.number - sifted.batch.first + 1
            self._events[sifted.batch.network] += sifted.decoded
            progress(Progress(done, total, self._events.total()))

        async with contextlib.aclosing(self._read([r for r in left if r.first <= r.last])) as batches:
            while await self._take_some(batches, advance):
                pass
        await self._look_back()
        progress(Progress(total, total, self._events.total()))
        if self._notify:
            await self._deliver()

    def _count_stored(self, connection: sa.Connection) -> None:
        """Count what an interrupted replay has stored."""
        self._tally.add(transfers.select(connection, transfers.Filter()))
        for r in self._ranges:
            self._events[r.network] = blocks.log_count(connection, r.network, r.first)

    async def report(self) -> dict[str, Any]:
        """What the replay found, ready for JSON. The same blocks and configuration give the same bytes."""
        return await self._database.read(self._found)

    # --- the way of the batches -----------------------------------------------------------------------------

    async def _take_some(
        self, batches: AsyncIterator[SiftedBatch], advance: Callable[[SiftedBatch], None]
    ) -> bool:
        """Take some of ``batches`` through in one transaction while they are being read; whether there may be more."""
        feed = _Feed()
        writing = asyncio.create_task(self._write(feed))
        writing.add_done_callback(lambda _: feed.close())
        size = 0
        try:
            async for batch in batches:
                if not await feed.put(batch):
                    break  # the transaction has failed, as awaiting it tells
                advance(batch)
                size += batch.decoded + len(batch.troubles) + 1
                if size >= EVENTS_A_COMMIT:
                    break
        except BaseException:
            feed.abort()
            await asyncio.wait({writing})
            writing.exception()  # there is one: it was broken off
            raise
        feed.end()
        await writing
        return size >= EVENTS_A_COMMIT

    def _read(self, ranges: Sequence[Range]) -> AsyncGenerator[SiftedBatch]:
        if self._reader is not None and is_worthwhile(ranges):
            return self._reader.read(self._plan, ranges, self._ids)
        return read_ranges(self._plan, self._pools, ranges)

    async def _write(self, items: Iterable[SiftedBatch | Searched]) -> None:
        now = time.time() - self._longest_wait
        await self._database.write(lambda c: self._pipeline.process(c, items, now))

    async def _look_back(self) -> None:
        """Look up the opening steps from before the range, until there is none left to look for.

        Those that the node does not have any more stay looked for, as in a live run: their transfers stay open.
        """
        world = await self._database.read(self._pipeline.first_watched)
        origins = set(self._pools)
        while found := await self._database.read(lambda c: _unsearched(c, origins)):
            origin, waiting = found
            try:
                async for searched in search_openings(self._plan, self._pools, world, waiting):
                    await self._write([searched])
            except NotThere as error:
                origins.discard(origin)
                _log.warning(
                    "blocks before the range cannot be looked through", network=origin, error=str(error)
                )

    async def _deliver(self) -> None:
        """Flush every group and let the queues empty themselves. Imports late: few replays send anything."""
        from chainwatch.alerting.delivery.queue import ReceiverQueue
        from chainwatch.alerting.providers import build_provider

        await self._database.write(lambda c: self._alerts.flush(c, time.time()))

        async def troubled(signals: Sequence[Signal]) -> None:
            await self._database.write(lambda c: self._alerts.apply(c, signals, time.time()))

        queues = [
            ReceiverQueue(
                self._database,
                receiver.name,
                build_provider(receiver),
                troubled,
                give_up_after=receiver.give_up_after,
                external_url=self._plan.settings.external_url or "",
            )
            for receiver in self._plan.settings.receivers.values()
        ]
        async with asyncio.TaskGroup() as tasks:
            for queue in queues:
                tasks.create_task(queue.run())
            while await self._database.read(_pending):  # noqa: ASYNC110 - queues tell nobody when they are empty
                await asyncio.sleep(0.2)
            for queue in queues:
                queue.stop()

    # --- the report -----------------------------------------------------------------------------------------

    def _found(self, connection: sa.Connection) -> dict[str, Any]:
        checkpoints = blocks.checkpoints(connection)
        settings = self._plan.settings.networks
        seen = {name: c.seen_until for name, c in checkpoints.items()}
        return {
            "networks": [
                {
                    "name": r.network,
                    "chain_id": settings[r.network].chain_id,
                    "from": r.first,
                    "to": r.last,
                    "from_timestamp": checkpoints[r.network].first_timestamp,
                    "to_timestamp": checkpoints[r.network].last.timestamp,
                    "events": self._events[r.network],
                }
                for r in sorted(self._ranges, key=lambda r: r.network)
            ],
            "events": self._events.total(),
            "transfers": self._tally.statuses(),
            "alerts": _alerts(connection, Policies.of(self._plan.settings), max(seen.values(), default=0)),
            "latency": self._tally.latency(seen),
        }


def _unsearched(connection: sa.Connection, origins: Iterable[str]) -> tuple[str, list[Transfer]] | None:
    """One of ``origins``, and transfers whose opening step is to be looked for there; None when there are no more."""
    for origin in sorted(origins):
        if waiting := transfers.waiting_on(connection, SEARCH + origin, SEARCHES_AT_ONCE):
            return origin, waiting
    return None


def _alerts(connection: sa.Connection, policies: Policies, until: int) -> list[dict[str, Any]]:
    """What a live run would have fired by chain time ``until`` and not taken back, in the order of their starts."""
    raised = [
        {
            "labels": dict(sorted(alert.labels.items())),
            "annotations": dict(sorted(alert.annotations.items())),
            "starts_at": alert.starts_at,
            "ends_at": alert.ends_at,
        }
        for alert in alerts.list_alerts(connection, limit=ALL)
        if alert.reason not in (IN_TIME, REORG)
        and (alert.ends_at or until) - alert.starts_at >= policies.lifecycle_of(alert.labels).fire_after
    ]
    return sorted(raised, key=lambda a: (a["starts_at"], sorted(a["labels"].items())))


def _pending(connection: sa.Connection) -> int:
    return sum(depth.number for depth in outbox.depths(connection) if depth.status == "pending")


class _Feed:
    """Hands batches from the event loop to a transaction in another thread, few at a time."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[SiftedBatch | _End] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(AHEAD)
        self._closed = False

    async def put(self, batch: SiftedBatch) -> bool:
        """Hand ``batch`` over as soon as there is room; whether anybody takes it."""
        await self._room.acquire()
        if not self._closed:
            self._queue.put(batch)
        return not self._closed

    def end(self) -> None:
        """There are no more batches."""
        self._queue.put(_End.DONE)

    def abort(self) -> None:
        """What was handed over must not be kept."""
        self._queue.put(_End.ABORTED)

    def close(self) -> None:
        """Nobody takes batches any more."""
        self._closed = True
        self._room.release()

    def __iter__(self) -> Iterator[SiftedBatch]:
        while not isinstance(batch := self._queue.get(), _End):
            self._loop.call_soon_threadsafe(self._room.release)
            yield batch
        if batch is _End.ABORTED:
            raise ReplayError("the replay was interrupted")


class _End(enum.Enum):
    DONE = enum.auto()
    ABORTED = enum.auto()


def _without_repeats(route: RouteSettings) -> RouteSettings:
    """``route`` for a replay: a year's alerts told again every few hours, or at night's end, would help nobody."""
    here = {"repeat_interval": NEVER, "mute_times": [], "active_times": [], "digest": None}
    return route.model_copy(update={**here, "routes": [_without_repeats(inner) for inner in route.routes]})
