"""Which blocks of history a replay checks invariants at: its batches bring few headers, and come in any size.

The same history, configuration and ``every`` give the same blocks (S7): they follow from what is stored once all is read.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import groupby

import msgspec
import sqlalchemy as sa
import structlog

from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.event_facts import EventTrigger
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.config import NetworkSettings
from chainwatch.invariants.blocks_by_time import HEADERS_AT_ONCE, BlocksByTime, read_headers
from chainwatch.invariants.kept_checks import KeptChecks
from chainwatch.invariants.reads import BlockRead
from chainwatch.invariants.triggers import Trigger, is_due, misaligned
from chainwatch.model import Checkpoint, Header
from chainwatch.store import blocks, invariant_events, schema
from chainwatch.store.invariants import Check, Reading, add_readings

GRID = 100
"""Blocks of a network that are sampled at least where nothing says how many, at the same distances."""
CHANGES_MAX = 1_000
"""Blocks with events that are sampled beside them."""
SAMPLES_AT_ONCE = 128
"""Blocks that are checked before the next ones are."""
SAMPLED = "invariants_sampled "
"""The property, by network, for the last block that was sampled."""

_log = structlog.get_logger(__name__)


class Sample(msgspec.Struct, frozen=True):
    """A block of ``network`` at which invariants may have to be checked; ``beside``: the last blocks of others up to then.

    ``is_sampled``: those that are not checked at events are checked. ``is_last``: it is the last one that was read.
    """

    network: str
    header: Header
    beside: Mapping[str, Header]
    triggers: frozenset[EventTrigger]
    is_sampled: bool
    is_last: bool


class SampledBlocks(msgspec.Struct, frozen=True):
    """Blocks in the order of their times. ``at_all_networks``: see `is_checked`."""

    samples: tuple[Sample, ...]
    at_all_networks: bool

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


class Samples:
    """The blocks to be sampled of all networks, in the order of their times: each ``every`` blocks.

    Without ``every``, at least `GRID` blocks at equal distances, and up to `CHANGES_MAX` of those with events that are
    watched. Blocks with events at which an invariant is checked, and the last one, are always among them.
    """

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._at_all = every is None
        self._streams: dict[str, _Stream] | None = None
        self._unread: set[tuple[str, str]] = set()

    def load(self, connection: sa.Connection, running: Mapping[str, Invariant]) -> bool:
        """Find out which blocks these are, once all is read; return whether any are left."""
        if self._streams is None:
            self._streams = {}
            read = blocks.checkpoints(connection)
            for network in sorted({name for one in running.values() for name in one.networks}):
                if network in read:
                    here = [one for one in running.values() if network in one.networks]
                    self._streams[network] = _Stream(connection, read[network], here, self._every)
        return any(stream.is_left for stream in self._streams.values())

    async def read(self, pools: Mapping[str, Pool], running: Mapping[str, Invariant]) -> SampledBlocks:
        """Return the next blocks. Raises ``ChainError``."""
        streams = self._streams or {}
        chosen: list[Sample] = []
        while len(chosen) < SAMPLES_AT_ONCE:
            for stream in streams.values():
                await stream.fill(pools)
            left = [stream for stream in streams.values() if stream.is_left]
            if not left:
                break
            chosen.append(min(left, key=lambda one: (one.next.timestamp, one.next.number)).take())
        times: dict[str, set[int]] = {}
        for sample in chosen:
            for other in self._others(sample, running):
                if other in streams and other in pools:
                    times.setdefault(other, set()).add(sample.header.timestamp)
        found = {
            other: await streams[other].by_time.last_until(pools[other], some)
            for other, some in times.items()
        }
        return SampledBlocks(tuple(self._with_others(one, found, running) for one in chosen), self._at_all)

    def warn_of_unread(self, read: BlockRead) -> None:
        """Log why an invariant is not checked at a block, the first time on each network."""
        for one in read.readings:
            if one.error is not None and (one.name, read.network) not in self._unread:
                self._unread.add((one.name, read.network))
                _log.warning(
                    "an invariant is not checked at some blocks, of which its values cannot be read",
                    invariant=one.name,
                    network=read.network,
                    first=one.block,
                    reason=one.error,
                )

    def _others(self, sample: Sample, running: Mapping[str, Invariant]) -> set[str]:
        due = [one for one in running.values() if is_checked(one, sample, self._at_all)]
        return {network for one in due for network in one.networks} - {sample.network}

    def _with_others(
        self, sample: Sample, found: Mapping[str, Mapping[int, Header]], running: Mapping[str, Invariant]
    ) -> Sample:
        at = sample.header.timestamp
        others = sorted(self._others(sample, running))
        beside = {other: found[other][at] for other in others if at in found.get(other, {})}
        return msgspec.structs.replace(sample, beside=beside)


def is_checked(invariant: Invariant, sample: Sample, at_all_networks: bool) -> bool:
    """Return whether ``invariant`` is checked at the block, unless its period has not passed since the last check.

    Of several networks, at blocks of the first one; with ``at_all_networks`` at those of each, if it has no period.
    """
    if sample.network not in invariant.networks:
        return False
    if isinstance(invariant.every, EventTrigger):
        return invariant.every in sample.triggers
    counts = invariant.networks[0] == sample.network or (at_all_networks and invariant.every == "block")
    return (sample.is_sampled and counts) or sample.is_last


def apply(
    connection: sa.Connection,
    running: Mapping[str, Invariant],
    checks: KeptChecks,
    sampled: SampledBlocks,
    reading: Callable[[str, Invariant, str, Header], Reading],
    networks: Mapping[str, NetworkSettings],
) -> None:
    """Store the checks at blocks that are sampled, and what is read for them."""
    new: list[tuple[str, Check]] = []
    readings: list[Reading] = []
    newest = {name: of[-1].timestamp for name in running if (of := checks.of(name))}
    for sample in sampled.samples:
        header, here = sample.header, {sample.network: sample.header, **sample.beside}
        for name, invariant in running.items():
            if not is_checked(invariant, sample, sampled.at_all_networks) or not all(
                network in here for network in invariant.networks
            ):
                continue
            before = Header(0, b"", b"", newest[name]) if name in newest else None
            if not sample.is_last and not is_due(invariant.every, Trigger(header, before, False)):
                continue
            newest[name] = header.timestamp
            headers = {network: here[network] for network in invariant.networks}
            positions = {network: one.number for network, one in headers.items()}
            check = Check(sample.network, header.number, header.timestamp, positions=positions)
            if error := misaligned(networks, invariant, check, headers):
                new.append((name, check._replace(positions={}, error=error)))
                continue
            new.append((name, check))
            readings += [reading(name, invariant, network, one) for network, one in headers.items()]
    checks.add(connection, new)
    add_readings(connection, readings)
    for network, number in {one.network: one.header.number for one in sampled.samples}.items():
        schema.set_property(connection, SAMPLED + network, str(number))


class _Stream:
    """The blocks of one network that are still to be sampled, in their order."""

    def __init__(
        self,
        connection: sa.Connection,
        checkpoint: Checkpoint,
        invariants: Sequence[Invariant],
        every: int | None,
    ) -> None:
        self._checkpoint = checkpoint
        network, first, last = checkpoint.network, checkpoint.first_block, checkpoint.last.number
        stored = schema.get_property(connection, SAMPLED + network)
        begin = first if stored is None else int(stored) + 1
        self._triggers = {
            one.every: set(invariant_events.blocks_of(connection, network, *one.every))
            for one in invariants
            if isinstance(one.every, EventTrigger)
        }
        self._every = every or max(1, (last - first + 1) // GRID)
        self._changes: Set[int] = set()
        if every is None and any(not isinstance(one.every, EventTrigger) for one in invariants):
            changes = blocks.blocks_with_logs(connection, network, first, last)
            self._changes = frozenset(changes[:: -(-len(changes) // CHANGES_MAX) or 1])
        grid = range(-(-begin // self._every) * self._every, last + 1, self._every)
        numbers = heapq.merge(
            grid, *(sorted(some) for some in (self._changes, *self._triggers.values())), [last]
        )
        self._numbers: Iterator[int] = (n for n, _ in groupby(numbers) if begin <= n <= last)
        self._read: deque[Header] = deque()
        self.by_time = BlocksByTime(checkpoint)
        self._next = next(self._numbers, None)
        self.is_left = self._next is not None

    @property
    def next(self) -> Header:
        """The next block, once it is read."""
        return self._read[0]

    def take(self) -> Sample:
        """Return the next block, without those of other networks."""
        header = self._read.popleft()
        self.is_left = bool(self._read) or self._next is not None
        number, last = header.number, self._checkpoint.last.number
        triggers = frozenset(one for one, some in self._triggers.items() if number in some)
        is_sampled = number % self._every == 0 or number in self._changes or number == last
        return Sample(self._checkpoint.network, header, {}, triggers, is_sampled, number == last)

    async def fill(self, pools: Mapping[str, Pool]) -> None:
        """Read some more blocks where none are left. Raises ``ChainError``."""
        numbers: list[int] = []
        while not self._read and self._next is not None and len(numbers) < HEADERS_AT_ONCE:
            numbers.append(self._next)
            self._next = next(self._numbers, None)
        if numbers:
            self._read.extend(await read_headers(pools[self._checkpoint.network], numbers))
