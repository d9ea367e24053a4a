"""Replay: the blocks of the past through the same pipeline, to test a configuration (S7).

Only two things differ from a live run: batches come from ranges of history, and nothing waits. The order of different
networks' batches does not matter (S3); they are merged by block time so that progress stays even.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.alerting.engine.group_manager import NEVER
from chainwatch.alerting.policy.policies import Policies
from chainwatch.chain.errors import NotThere
from chainwatch.chain.pool import Pool
from chainwatch.config import RouteSettings
from chainwatch.flows.transfer_stats import Tally
from chainwatch.flows.unmatched import unmatched_flows
from chainwatch.model import ReadResult, SiftedBatch, Signal
from chainwatch.pipeline.checker import Checker, Prints
from chainwatch.pipeline.pipeline import Pipeline
from chainwatch.pipeline.recompute import JUDGED_BY, fingerprints
from chainwatch.plan import Plan
from chainwatch.presentation.presenter import Presenter
from chainwatch.registry import build_checkers
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.feed import Feed
from chainwatch.replay.reader.process import Reader, is_worthwhile
from chainwatch.replay.reader.ranges import Range, read_ranges
from chainwatch.replay.report import alerts_fired
from chainwatch.store import blocks, schema, transfers
from chainwatch.store.database import Database

EVENTS_A_COMMIT = 250_000
"""Events that one transaction takes: the more, the fewer transfers are stored before they are complete."""
READS_AT_ONCE = 1_000
"""Questions that a checker may ask at a time."""
PROPERTY = "replay"
"""The property that marks a database as a replay's and holds its range."""

RULES = "replayed rules"
"""The property that says that the signals of rules are applied: until when they were evaluated (chain time)."""


class RuleSignals(NamedTuple):
    """The signals of rules over a history until a chain time (Unix seconds)."""

    signals: Sequence[Signal]
    until: int


Rules = Callable[[sa.Connection, Callable[[], bool]], RuleSignals]
"""Evaluates rules over what a database holds; it ends at once when what it is passed returns true."""

_log = structlog.get_logger("chainwatch.replay.replay")


class Progress(NamedTuple):
    """How far a replay is: blocks done, all blocks, events found so far."""

    blocks: int
    of: int
    events: int


class Replay:
    """One replay into one database.

    ``reader`` reads long ranges. With ``notify`` alerts are sent to the receivers of their routes. ``rules`` are evaluated
    over what is stored in the end; ``sample_every``: invariants are checked at each so many blocks. Use ``begin``, then
    ``run``, then ``report``.
    """

    def __init__(
        self,
        plan: Plan,
        database: Database,
        pools: Mapping[str, Pool],
        reader: Reader | None = None,
        *,
        notify: bool = False,
        rules: Rules | None = None,
        sample_every: int | None = None,
    ) -> None:
        settings = plan.settings
        self._plan = plan
        self._database = database
        self._pools = pools
        self._reader = reader
        self._notify = notify
        self._rules = rules
        routes = [_without_repeats(route) for route in settings.routes] if notify else []
        self._alerts = AlertEngine(routes, {r.name: r.send_resolved for r in settings.receivers.values()}, 0)
        self._longest_wait = max((r.group_wait + r.group_interval for r in routes), default=0.0)
        """Alerts are raised this long ago, so that at the end no group has to wait."""
        self._tally = Tally({flow.name: flow for flow in plan.flows})
        self._checkers = build_checkers(plan, self._tally.change, by_clock=False, sample_every=sample_every)
        self._pipeline = Pipeline(self._checkers, settings.networks, plan.decode, self._alerts, plan.sources)
        self._ranges: list[Range] = []
        self._ids: dict[str, int] | None = None
        """The integers that stand for the networks, if logs are to be packed (PostgreSQL)."""
        self._events: Counter[str] = Counter()
        """How many are stored, by network."""

    def begin(self, ranges: Sequence[Range]) -> None:
        """Begin a replay of ``ranges`` in an empty database. Raises ``ReplayError`` for one in use, such as a live one."""
        with self._database.transaction() as connection:
            if blocks.checkpoints(connection) or schema.get_property(connection, PROPERTY):
                raise ReplayError(
                    "the database is in use: a replay never touches a live database; name a new file with --database, "
                    "or go on with an interrupted replay by --resume"
                )
            schema.set_property(connection, PROPERTY, msgspec.json.encode(list(ranges)).decode())
            judged_by = fingerprints(self._checkers, self._plan.settings)
            schema.set_property(connection, JUDGED_BY, msgspec.json.encode(judged_by).decode())
            self._take(connection, ranges)

    def resume(self) -> None:
        """Resume the replay that was interrupted in this database.

        Raises ``ReplayError`` when there was none, and when it was with another configuration of flows.
        """
        with self._database.reading() as connection:
            stored = schema.get_property(connection, PROPERTY)
            if stored is None:
                raise ReplayError("the database holds no replay to go on with")
            ranges = msgspec.json.decode(stored, type=list[Range])
            if missing := [r.network for r in ranges if r.network not in self._pools]:
                raise ReplayError(f"the replay is of networks that the config has not: {', '.join(missing)}")
            judged_by = schema.get_property(connection, JUDGED_BY)
            present = fingerprints(self._checkers, self._plan.settings)
            if judged_by and msgspec.json.decode(judged_by, type=Prints) != present:
                raise ReplayError(
                    "the flows, or the networks or contracts that they use, are configured otherwise than when the replay "
                    "began: start it again, in another --database"
                )
            self._take(connection, ranges)

    def _take(self, connection: sa.Connection, ranges: Sequence[Range]) -> None:
        self._ranges = list(ranges)
        if self._database.dialect == "postgresql":
            self._ids = blocks.network_ids(connection, [r.network for r in ranges])

    async def run(self, progress: Callable[[Progress], None]) -> None:
        """Read, check and store all ranges. Raises ``ChainError`` and ``StoreError``; what is committed stays."""
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
            while await self._write_some(batches, advance):
                pass
        for checker in self._checkers:
            await self._read_wanted(checker)
        if self._rules is not None:
            await self._apply_rules(self._rules)
        progress(Progress(total, total, self._events.total()))
        if self._notify:
            await self._deliver()

    def _count_stored(self, connection: sa.Connection) -> None:
        """Count what an interrupted replay has stored."""
        self._tally.add(transfers.select(connection, transfers.Filter()))
        for r in self._ranges:
            self._events[r.network] = blocks.log_count(connection, r.network, r.first)

    async def report(self) -> dict[str, Any]:
        """Return what the replay found, ready for JSON. The same blocks and configuration give the same bytes."""
        return await self._database.read(self._found)

    # --- from batches to the database -----------------------------------------------------------------------

    async def _write_some(
        self, batches: AsyncIterator[SiftedBatch], advance: Callable[[SiftedBatch], None]
    ) -> bool:
        """Apply some of ``batches`` in one transaction while they are being read; return whether there may be more."""
        feed = Feed()
        writing = asyncio.create_task(self._write(feed))
        writing.add_done_callback(lambda _: feed.close())
        size = 0
        try:
            async for batch in batches:
                if not await feed.put(batch):
                    break  # the transaction has failed: awaiting it raises
                advance(batch)
                size += batch.decoded + len(batch.signals) + 1
                if size >= EVENTS_A_COMMIT:
                    break
        except BaseException:
            feed.abort()
            await asyncio.wait({writing})
            writing.exception()  # always raised here: it was aborted
            raise
        feed.end()
        await writing
        return size >= EVENTS_A_COMMIT

    def _read(self, ranges: Sequence[Range]) -> AsyncGenerator[SiftedBatch]:
        if self._reader is not None and is_worthwhile(ranges):
            return self._reader.read(self._plan, ranges, self._ids)
        return read_ranges(self._plan, self._pools, ranges)

    async def _write(self, items: Iterable[SiftedBatch | ReadResult]) -> None:
        now = time.time() - self._longest_wait
        await self._database.write(lambda c: self._pipeline.process(c, items, now))

    async def _read_wanted(self, checker: Checker) -> None:
        """Read what ``checker`` wants beyond the range, until it wants nothing more.

        What a network's nodes do not have any more stays wanted, as in a live run.
        """
        networks = set(self._pools)
        while found := await self._database.read(partial(_wanted, checker, networks)):
            network, wanted = found
            try:
                async for result in checker.read(self._pools, wanted):
                    await self._write([result])
            except NotThere as error:
                networks.discard(network)
                _log.warning(
                    "a read of a checker is no longer available",
                    checker=checker.extractor.name,
                    network=network,
                    error=str(error),
                )

    async def _apply_rules(self, rules: Rules) -> None:
        """Apply the signals of rules over the whole history, once."""
        if await self._database.read(lambda c: schema.get_property(c, RULES)):
            return
        stopped = threading.Event()
        try:
            found = await self._database.read(lambda c: rules(c, stopped.is_set))
        finally:
            stopped.set()

        def apply(connection: sa.Connection) -> None:
            self._alerts.apply(connection, found.signals, time.time() - self._longest_wait)
            schema.set_property(connection, RULES, str(found.until))

        await self._database.write(apply)

    async def _deliver(self) -> None:
        """Flush every group and send all notifications. Imports late: few replays send anything."""
        from chainwatch.alerting.dispatch import deliver_pending

        await self._database.write(lambda c: self._alerts.flush(c, time.time()))

        async def raise_signals(signals: Sequence[Signal]) -> None:
            await self._database.write(lambda c: self._alerts.apply(c, signals, time.time()))

        settings = self._plan.settings
        await deliver_pending(
            self._database,
            settings.receivers.values(),
            raise_signals,
            external_url=settings.external_url or "",
            presenter=Presenter.of(settings),
        )

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
            "alerts": alerts_fired(
                connection,
                Policies.of(self._plan.settings),
                Presenter.of(self._plan.settings),
                max(*seen.values(), int(schema.get_property(connection, RULES) or 0), 0),
            ),
            "latency": self._tally.latency(seen),
            "unmatched": [
                {"flow": found.flow, "reason": found.reason}
                for found in unmatched_flows(connection, self._plan.flows, ever=True)
            ],
        }


def _wanted(checker: Checker, networks: Iterable[str], connection: sa.Connection) -> tuple[str, Any] | None:
    """Return one of ``networks`` and what ``checker`` wants to read from it; None when it wants nothing."""
    for network in sorted(networks):
        if wanted := checker.load_wanted(connection, network, READS_AT_ONCE):
            return network, wanted
    return None


def _without_repeats(route: RouteSettings) -> RouteSettings:
    """Return ``route`` without repeats, quiet hours and digests, which would multiply or hide the alerts of a replay."""
    here = {"repeat_interval": NEVER, "mute_times": [], "active_times": [], "digest": None}
    return route.model_copy(update={**here, "routes": [_without_repeats(inner) for inner in route.routes]})
