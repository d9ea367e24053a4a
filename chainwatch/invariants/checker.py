"""The checker of invariants: state that is read at blocks, after the commit of the transaction that found the block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.chain.errors import ChainError
from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.extractor import InvariantExtractor
from chainwatch.config import Settings
from chainwatch.invariants import held
from chainwatch.invariants.definitions import Definitions, Running
from chainwatch.invariants.event_reads import WantedEvents, read_events, wanted_events
from chainwatch.invariants.fingerprints import fingerprints
from chainwatch.invariants.kept_accepted import KeptAccepted
from chainwatch.invariants.kept_checks import KeptChecks
from chainwatch.invariants.kept_events import KeptEvents
from chainwatch.invariants.kept_transfers import KeptTransfers, TransfersLoaded
from chainwatch.invariants.listing import family_of, listing_of
from chainwatch.invariants.live_reads import LiveReads
from chainwatch.invariants.reads import STATES_KEPT, BlockRead, WantedBlock, read_history
from chainwatch.invariants.sampling import Samples
from chainwatch.invariants.transaction import InvariantTransaction
from chainwatch.model import Deadline, Header, ReadResult
from chainwatch.pipeline.checker import Page, Prints
from chainwatch.pipeline.joined import Joined
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.plan import Plan
from chainwatch.store import blocks, definitions, due_checks, invariant_events, invariants
from chainwatch.store.invariants import Reading

READINGS_AT_ONCE = 50_000
"""Readings of one network that are asked for at a time: several blocks of many."""
STATES_KEPT_OF_HISTORY = 16
"""Blocks before the last of a range of history whose state is asked for anew: they may be the newest ones of the chain."""
PREFIX = "invariants."
"""Before the names of invariants among those of other checkers."""


class Wanted(NamedTuple):
    """What is to be read from a network: blocks, events of sessions, blocks before breaches.

    ``is_sampling``: these are done, and the next blocks of history are to be chosen. ``has_loaded``: see `TransfersLoaded`.
    """

    network: str
    running: Running
    blocks: Sequence[WantedBlock]
    events: Sequence[WantedEvents]
    searches: held.Searches
    is_sampling: bool
    has_loaded: bool


class InvariantChecker:
    """Checks the invariants of a configuration, and those that are stored beside them."""

    joined = Joined({}, {})

    def __init__(
        self,
        extractor: InvariantExtractor,
        settings: Settings,
        networks: Collection[str],
        *,
        by_clock: bool = True,
        sample_every: int | None = None,
        stores_all: bool = False,
    ) -> None:
        """``networks`` are those that are followed. ``by_clock``: values may be unread for too long.

        Otherwise, as in a replay, blocks of history are checked once all is read: each ``sample_every``, or those that
        `Samples` chooses. ``stores_all``: keep all checks and what they read stored.
        """
        self.samples = None if by_clock else Samples(sample_every)
        self._by_clock = by_clock
        self._kept = STATES_KEPT if by_clock else STATES_KEPT_OF_HISTORY
        self.extractor = extractor
        self.settings = settings
        self.definitions = Definitions(extractor, settings, looks_up=by_clock)
        self.followed = frozenset(networks)
        self.kept_checks = KeptChecks(stores_all=stores_all, of_history=not by_clock)
        self.kept_events = KeptEvents()
        self.kept_transfers = KeptTransfers(loads_aside=by_clock)
        self.kept_accepted = KeptAccepted()
        self._searches = defaultdict[str, held.Searches](held.Searches)
        self._live = LiveReads() if by_clock else None
        self.failures: dict[str, str] = {}
        """Why sessions, by name, could not be read last."""
        self.waiting: dict[str, float] = {}
        """Since when (the clock's value) invariants, by name, wait for an answer; a restart begins anew."""

    @classmethod
    def of(cls, plan: Plan, *, by_clock: bool = True, sample_every: int | None = None) -> InvariantChecker:
        """Return the checker of ``plan``."""
        return cls(
            plan.invariants,
            plan.settings,
            plan.watches,
            by_clock=by_clock,
            sample_every=sample_every,
            stores_all=not by_clock and bool(plan.rule_groups),  # rules over the past read them
        )

    def clock(self, work: Work) -> float:
        """Return the clock's value in a transaction; where no time passes by the clock, always the same."""
        return work.now if self._by_clock else 0.0

    def begin(self, work: Work) -> InvariantTransaction:
        """See ``chainwatch.pipeline.checker.Checker``."""
        for kept in (self.kept_transfers, self.kept_events, self.kept_accepted):
            kept.begin(work.connection)
        return InvariantTransaction(self, work)

    def commit(self, connection: sa.Connection) -> None:
        """Have what is kept in memory kept after this transaction, once it is committed."""
        for kept in (self.kept_transfers, self.kept_events, self.kept_accepted):
            kept.commit(connection)

    def load_deadlines(
        self, connection: sa.Connection, after: tuple[int, int, str], until: int, limit: int
    ) -> list[Deadline]:
        """Return none: what is checked at blocks waits for blocks."""
        return []

    def load_wanted(self, connection: sa.Connection, network: str, limit: int) -> Wanted | None:
        """Return readings of ``network``, the sessions whose events are still to be read, and searches before breaches."""
        running = self.definitions.load(connection)
        checkpoint = blocks.checkpoints(connection).get(network)
        if checkpoint is None:
            return None
        last = checkpoint.last
        readings = self._wanted_readings(connection, network, running, max(limit, READINGS_AT_ONCE))
        wanted = [
            WantedBlock(
                Header(number, hash_, b"", timestamp), tuple(group), number <= last.number - self._kept
            )
            for (number, hash_, timestamp), group in groupby(
                readings, key=lambda one: (one.block, one.hash, one.timestamp)
            )
        ]
        cursors = invariants.cursors(connection, network)
        header_of = partial(blocks.header_of, connection, network)
        events = [
            found
            for name, block in sorted(cursors.items())
            if (session := running.sessions.get(name)) is not None
            and (found := wanted_events(session, block, last, header_of)) is not None
        ]
        searches = self._searches[network]
        is_searching = bool(searches.load(connection, network, running.invariants))
        is_sampling = False
        has_loaded = self.kept_transfers.load(connection, network)
        is_idle = not (is_searching or wanted or events or has_loaded)
        if is_idle and self.samples is not None and not invariants.is_any_wanted(connection):
            is_sampling = self.samples.load(connection, running.invariants)
        if is_idle and not is_sampling:
            return None
        return Wanted(network, running, wanted, events, searches, is_sampling, has_loaded)

    def _wanted_readings(
        self, connection: sa.Connection, network: str, running: Running, limit: int
    ) -> list[Reading]:
        """Return what is to be read of ``network`` for invariants that run, by block and name."""
        found = invariants.wanted_readings(connection, network, limit)
        for due in due_checks.load(connection, network):
            if len(found) >= limit:
                break
            found += [Reading(name, *due[:4]) for name in due.names]
        known = [one for one in found if one.name in running.invariants]
        return sorted(known, key=lambda one: (one.block, one.name))

    async def read(self, pools: Mapping[str, Pool], wanted: Wanted) -> AsyncIterator[ReadResult]:
        """Yield what was read. Raises ``ChainError``."""
        if wanted.has_loaded:
            yield TransfersLoaded()
        pool = pools.get(wanted.network)
        if pool is None:
            return  # its observer has not begun
        if wanted.is_sampling and self.samples is not None:
            yield await self.samples.read(pools, wanted.running.invariants)
            return
        failed: ChainError | None = None
        read_blocks = read_history if self._live is None else self._live.read
        parts: tuple[AsyncIterator[ReadResult], ...] = (
            read_blocks(pool, wanted.running.invariants, wanted.blocks),
            read_events(pools, pool, wanted.events, self.failures),
            wanted.searches.read(pool),
        )
        for part in parts:
            try:
                async for result in part:
                    if self.samples is not None and isinstance(result, BlockRead):
                        self.samples.warn_of_unread(result)
                    yield result
            except ChainError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    # --- a changed configuration

    def fingerprints(self, settings: Settings) -> Prints:
        """Return what each configured invariant, with the ABI files and addresses that it uses, compiles to."""
        return {PREFIX + name: prints for name, prints in fingerprints(settings).items()}

    def stored_names(self, connection: sa.Connection) -> list[str]:
        """Return the names under which something of the configuration's invariants is stored."""
        names = {self.configured_as(name) for name in self.known_of_file(connection)}
        return [PREFIX + name for name in sorted(names)]

    def known_of_file(self, connection: sa.Connection) -> set[str]:
        """Return the names of the configuration's invariants, and of elements of lists, of which anything is stored."""
        made = {one.name for one in definitions.kept(connection)} - set(
            map(family_of, self.settings.invariants)
        )
        return {name for name in invariants.known_names(connection) if family_of(name) not in made}

    def configured_as(self, name: str) -> str:
        """Return the name in the configuration of an invariant: for an element of a list, of what reads the list."""
        reads = listing_of(name)
        return reads if name not in self.settings.invariants and reads in self.settings.invariants else name

    def own_names(self, names: Iterable[str]) -> set[str]:
        """Return the names of invariants among those of all checkers, as `fingerprints` gives them."""
        return {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}

    def forget_events(self, connection: sa.Connection, page: Page) -> int | None:
        """Forget all events where those of any invariant are to be found again."""
        if page.names is None or self.own_names(page.names):
            invariant_events.forget_events(connection)
        return None
