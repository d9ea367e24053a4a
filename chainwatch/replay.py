"""Replay: the blocks of the past through the same pipeline, to test a configuration (S7).

Only two things differ from a live run: batches come from ranges of history, and nothing waits. Where two networks'
batches fall into the time line does not matter (S3); they are merged by block time so that progress stays even.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from chainwatch import views
from chainwatch.alerting.manager import AlertManager
from chainwatch.alerting.providers import build_provider
from chainwatch.alerting.queue import ReceiverQueue
from chainwatch.chain.history import block_at, read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.checker.transfer import IN_TIME, REORG, SEARCH
from chainwatch.config import RouteSettings
from chainwatch.lookback import search_openings
from chainwatch.model import Batch, Searched, Signal
from chainwatch.pipeline import Pipeline
from chainwatch.plan import Plan
from chainwatch.store import alerts, blocks, outbox, schema, transfers
from chainwatch.store.database import Database

EVENTS_A_COMMIT = 10_000
"""Events that one transaction takes; what is open at its end is all that is kept in memory."""
AHEAD = 2
"""Batches that are fetched ahead per network."""
FIRST_TIME = 1_000_000_000
"""Integers from here on are Unix seconds, smaller ones block numbers."""
HEAD_PATIENCE = 30.0
"""Seconds for which the head is asked for until the replay gives up."""
ALL = 2**62
SEARCHES_AT_ONCE = 1_000
PROPERTY = "replay"
"""The property that marks a database as a replay's and holds its range."""


class ReplayError(Exception):
    """The replay cannot be done; the message says why and how to mend it."""


class Range(msgspec.Struct, frozen=True):
    """Blocks ``first``..``last`` of ``network``, both inclusive."""

    network: str
    first: int
    last: int


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
        return number if number < FIRST_TIME else datetime.fromtimestamp(number, UTC)
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

    ``notify`` sends what the alerts' routes say to the receivers. Use ``begin``, then ``run``, then ``report``.
    """

    def __init__(
        self, plan: Plan, database: Database, pools: Mapping[str, Pool], *, notify: bool = False
    ) -> None:
        settings = plan.settings
        self._plan = plan
        self._database = database
        self._pools = pools
        self._notify = notify
        routes = [_told_once(route) for route in settings.routes] if notify else []
        self._alerts = AlertManager(routes, {r.name: r.send_resolved for r in settings.receivers.values()}, 0)
        self._pipeline = Pipeline(plan.flows, settings.networks, plan.decode, self._alerts)
        self._ranges: list[Range] = []

    def begin(self, ranges: Sequence[Range]) -> None:
        """Take a fresh database for ``ranges``. Raises ``ReplayError`` when it is somebody else's, a live one above all."""
        with self._database.transaction() as connection:
            if blocks.checkpoints(connection) or schema.get_property(connection, PROPERTY):
                raise ReplayError(
                    "the database is in use: a replay never touches a live database; name a new file with --database, "
                    "or go on with an interrupted replay by --resume"
                )
            schema.set_property(connection, PROPERTY, msgspec.json.encode(list(ranges)).decode())
        self._ranges = list(ranges)

    def resume(self) -> None:
        """Go on with the replay that was interrupted in this database. Raises ``ReplayError`` when there was none."""
        with self._database.reading() as connection:
            stored = schema.get_property(connection, PROPERTY)
        if stored is None:
            raise ReplayError("the database holds no replay to go on with")
        self._ranges = msgspec.json.decode(stored, type=list[Range])
        if missing := [r.network for r in self._ranges if r.network not in self._pools]:
            raise ReplayError(f"the replay is of networks that the config has not: {', '.join(missing)}")

    async def run(self, progress: Callable[[Progress], None]) -> None:
        """Read, check and store the whole range. Raises ``ChainError`` and ``StoreError``; what is committed stays."""
        checkpoints = await self._database.read(blocks.checkpoints)
        left = [
            r
            if r.network not in checkpoints
            else Range(r.network, checkpoints[r.network].last.number + 1, r.last)
            for r in self._ranges
        ]
        total = sum(r.last - r.first + 1 for r in self._ranges)
        done = total - sum(r.last - r.first + 1 for r in left)
        events = await self._database.read(blocks.log_count)
        items: list[Batch] = []
        size = 0
        async for batch in self._merged([r for r in left if r.first <= r.last]):
            items.append(batch)
            size += len(batch.events) + 1
            if size >= EVENTS_A_COMMIT:
                await self._commit(items)
                events += sum(len(i.events) for i in items)
                done += sum(i.last.number - i.first + 1 for i in items)
                progress(Progress(done, total, events))
                items, size = [], 0
        await self._commit(items)
        events += sum(len(i.events) for i in items)
        await self._look_back()
        progress(Progress(total, total, events))
        if self._notify:
            await self._deliver()

    async def report(self) -> dict[str, Any]:
        """What the replay found, ready for JSON. The same blocks and configuration give the same bytes."""
        return await self._database.read(self._report)

    # --- the way of the batches -----------------------------------------------------------------------------

    async def _commit(self, items: Sequence[Batch | Searched]) -> None:
        if items:
            await self._database.write(lambda c: self._pipeline.process(c, items, time.time()))

    async def _merged(self, ranges: Sequence[Range]) -> AsyncIterator[Batch]:
        """The batches of all ranges, by the time of their last block."""
        async with contextlib.AsyncExitStack() as stack:
            sources = [await stack.enter_async_context(_ahead(self._read(r))) for r in ranges]
            waiting: list[tuple[int, int, Batch]] = []
            for index, source in enumerate(sources):
                if (batch := await source()) is not None:
                    waiting.append((batch.last.timestamp, index, batch))
            while waiting:
                nearest = min(waiting, key=lambda entry: entry[:2])
                waiting.remove(nearest)
                _, index, batch = nearest
                yield batch
                if (following := await sources[index]()) is not None:
                    waiting.append((following.last.timestamp, index, following))

    def _read(self, wanted: Range) -> AsyncIterator[Batch]:
        pool, watch = self._pools[wanted.network], self._plan.watches[wanted.network]
        return read_range(pool, watch, wanted.first, wanted.last, first_ever=True)

    async def _look_back(self) -> None:
        """Look up the opening steps from before the range, until there is none left to look for."""
        while True:
            waiting = await self._database.read(lambda c: transfers.waiting_on(c, SEARCH, SEARCHES_AT_ONCE))
            if not waiting:
                return
            checkpoints = await self._database.read(blocks.checkpoints)
            async for found in search_openings(self._plan, self._pools, checkpoints, waiting):
                await self._commit([found])

    async def _deliver(self) -> None:
        """Flush every group and let the queues empty themselves."""
        longest_wait = max((r.group_wait + r.group_interval for r in self._plan.settings.routes), default=0.0)
        await self._database.write(lambda c: self._alerts.flush(c, time.time() + longest_wait))

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

    def _report(self, connection: sa.Connection) -> dict[str, Any]:
        checkpoints = blocks.checkpoints(connection)
        seen = {name: c.seen_until for name, c in checkpoints.items()}
        settings = self._plan.settings.networks
        return {
            "networks": [
                {
                    "name": r.network,
                    "chain_id": settings[r.network].chain_id,
                    "from": r.first,
                    "to": r.last,
                    "from_timestamp": checkpoints[r.network].first_timestamp,
                    "to_timestamp": checkpoints[r.network].last.timestamp,
                    "events": blocks.log_count(connection, r.network),
                }
                for r in sorted(self._ranges, key=lambda r: r.network)
            ],
            "events": blocks.log_count(connection),
            "transfers": {
                flow: dict(sorted(found.items()))
                for flow, found in sorted(transfers.counts(connection).items())
            },
            "alerts": _alerts(connection),
            "latency": views.latency(
                self._pipeline.flows, transfers.select(connection, transfers.Filter()), seen
            ),
        }


def _alerts(connection: sa.Connection) -> list[dict[str, Any]]:
    """What a live run would have raised and not taken back, in the order of their starts."""
    raised = [
        {
            "labels": dict(sorted(alert.labels.items())),
            "annotations": dict(sorted(alert.annotations.items())),
            "starts_at": alert.starts_at,
            "ends_at": alert.ends_at,
        }
        for alert in alerts.list_alerts(connection, limit=ALL)
        if alert.reason not in (IN_TIME, REORG)
    ]
    return sorted(raised, key=lambda a: (a["starts_at"], sorted(a["labels"].items())))


def _pending(connection: sa.Connection) -> int:
    return sum(depth.number for depth in outbox.depths(connection) if depth.status == "pending")


@contextlib.asynccontextmanager
async def _ahead(source: AsyncIterator[Batch]) -> AsyncIterator[Callable[[], Any]]:
    """Pull ``source`` in a task of its own, a few batches ahead.

    Gives a function that returns the next batch, None at the end.
    """
    queue: asyncio.Queue[Batch | Exception | None] = asyncio.Queue(AHEAD)

    async def pull() -> None:
        try:
            async for batch in source:
                await queue.put(batch)
            await queue.put(None)
        except Exception as error:  # noqa: BLE001 - raised where the batch is waited for
            await queue.put(error)

    async def following() -> Batch | None:
        found = await queue.get()
        if isinstance(found, Exception):
            raise found
        return found

    task = asyncio.create_task(pull())
    try:
        yield following
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _told_once(route: RouteSettings) -> RouteSettings:
    """``route`` for a replay: a year's alerts told again every few hours, or at night's end, would help nobody."""
    here = {"repeat_interval": float("inf"), "mute_times": [], "active_times": [], "digest": None}
    return route.model_copy(update={**here, "routes": [_told_once(inner) for inner in route.routes]})
