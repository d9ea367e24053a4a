"""Reads new blocks for invariants, so that a contract that fails, hangs or returns much delays no other's values.

All values of a block are read together. Where that takes too long, they are asked for again in small groups, side by side;
what is slow or fails then, while others are read, is read apart from then on, in tasks for which nothing waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from chainwatch.chain.errors import ChainError, RpcTimeout
from chainwatch.chain.pool import Pool
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.invariants.reads import (
    BLOCKS_AT_ONCE,
    PATIENCE,
    BlockRead,
    GroupRead,
    WantedBlock,
    at_once,
    is_final,
    parts,
    read_group,
    unread_reading,
)
from chainwatch.invariants.retries import FIRST_TIMEOUT, READINGS_A_SECOND, SLOW, Retries
from chainwatch.store.invariants import Reading

OF_TIMEOUT = 0.9
"""The part of the time for one answer that an attempt may take: a call that hangs is no fault of the endpoint."""
MOST_GROUPS = 16
"""Groups into which the readings of one block are split."""
MOST_APART = 32
"""Groups of one network that are read apart at a time."""
GRACE = 1.0
"""Seconds for which newer blocks wait for what is read apart, unless that is known to be slow."""


class _Split:
    """A block whose readings took too long together, while they are read in groups."""

    def __init__(self, groups: int) -> None:
        self._groups = self.left = groups
        self.quick = 0
        """How many groups were read in no long time."""
        self.is_any_read = False
        self.unread: list[str] = []
        """What was not read before anything was: perhaps the endpoints answer nothing."""

    @property
    def shows_slow_ones(self) -> bool:
        """Whether what takes long does so by itself: where most groups do, the endpoint or this machine is slow."""
        return 2 * self.quick >= self._groups


class _Apart(NamedTuple):
    """A group that is read apart; of a ``split``, it is not known yet whether it has to be."""

    block: WantedBlock
    names: frozenset[str]
    split: _Split | None


class LiveReads:
    """Reads blocks of all networks as long as their nodes keep the state."""

    def __init__(self, retries: Retries | None = None) -> None:
        self._retries = retries or Retries()
        self._apart: dict[str, dict[asyncio.Task[GroupRead], _Apart]] = {}
        """What is being read apart, by network."""

    async def read(
        self, pool: Pool, invariants: Mapping[str, Invariant], wanted: Sequence[WantedBlock]
    ) -> AsyncIterator[BlockRead]:
        """Yield what is read. Raises ``ChainError`` for what is to be tried again, after all others."""
        one = _Pass(pool, invariants, self._retries, self._apart.setdefault(pool.network.name, {}))
        async for result in one.run(wanted):
            yield result
        error = self._retries.last_error.get(pool.network.name)
        if error is not None and one.is_left:
            raise error
        self._retries.last_error.pop(pool.network.name, None)


class _Pass:
    """One pass over the blocks of a network that are wanted."""

    def __init__(
        self,
        pool: Pool,
        invariants: Mapping[str, Invariant],
        retries: Retries,
        apart: dict[asyncio.Task[GroupRead], _Apart],
    ) -> None:
        self._pool = pool
        self._network = pool.network.name
        self._invariants = invariants
        self._retries = retries
        self._apart = apart
        self._left: set[tuple[bytes, str]] = set()

    @property
    def is_left(self) -> bool:
        """Whether anything that is wanted was not read."""
        return bool(self._left)

    async def run(self, wanted: Sequence[WantedBlock]) -> AsyncIterator[BlockRead]:
        self._retries.keep(self._network, {block.header.hash for block in wanted})
        self._left = {(block.header.hash, one.name) for block in wanted for one in block.readings}
        for result in self._finished():
            yield result
        together: list[WantedBlock] = []
        suspects: list[WantedBlock] = []
        for block in wanted:
            mine, theirs = self._divided(block)
            if mine.readings and self._retries.is_due(self._network, block.header):
                together.append(mine)
            if theirs.readings:
                suspects.append(theirs)
        fresh = [task for block in reversed(suspects) for task in self._start_suspects(block)]
        async for block, group in self._in_turn(together):
            if len(block.readings) > 1 and group.is_late and not self._is_splitting:
                fresh += self._start_split(block)
                self._note_error(group)
            else:
                for result in self._taken(block, group):
                    yield result
        async for result in self._first(fresh):
            yield result

    def _divided(self, block: WantedBlock) -> tuple[WantedBlock, WantedBlock]:
        """Return ``block`` with what is to be read together, and with suspects; without what is read or being read."""
        hash_ = block.header.hash
        running = {
            name for one in self._apart.values() if one.block.header.hash == hash_ for name in one.names
        }
        open_ = [one for one in block.readings if one.name not in running and (hash_, one.name) in self._left]
        apart = {one.name for one in open_ if self._retries.is_suspect(self._network, one.name)}
        return (
            block._replace(readings=tuple(one for one in open_ if one.name not in apart)),
            block._replace(readings=tuple(one for one in open_ if one.name in apart)),
        )

    # --- together

    async def _in_turn(self, blocks: Sequence[WantedBlock]) -> AsyncIterator[tuple[WantedBlock, GroupRead]]:
        """Read new blocks, then those that could not be read before, as long as the endpoints give any of these.

        A node may keep the state of a few blocks only: the next one is not to wait for those that it has lost.
        """
        failures = {
            block.header.hash: self._retries.failures(self._network, block.header) for block in blocks
        }
        async for one in at_once([b for b in blocks if not failures[b.header.hash]], self._read_together):
            yield one
        again = [block for block in blocks if failures[block.header.hash]]
        again.sort(key=lambda block: (not block.is_old, failures[block.header.hash], block.header.number))
        until = time.monotonic() + GRACE
        for start in range(0, len(again), BLOCKS_AT_ONCE):
            left = len(self._left)
            async for one in at_once(again[start : start + BLOCKS_AT_ONCE], self._read_together):
                yield one
            if len(self._left) == left or time.monotonic() >= until:
                return

    async def _read_together(self, block: WantedBlock) -> GroupRead:
        seconds = self._retries.timeout(self._network, block.header, len(block.readings))
        patience = 0.0 if self._retries.failures(self._network, block.header) else PATIENCE
        return await self._attempt(block, seconds, patience)

    async def _attempt(self, block: WantedBlock, seconds: float, patience: float) -> GroupRead:
        """Return what was read within ``seconds``, and why the rest was not."""
        seconds = min(seconds, OF_TIMEOUT * self._pool.network.request_timeout)
        began = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                return await read_group(self._pool, self._invariants, block, min(patience, seconds / 3))
        except TimeoutError:
            late = RpcTimeout(self._network, f"no complete answer within {seconds:.0f} s")
            return GroupRead.none(block, late, time.monotonic() - began)
        except ChainError as error:
            return GroupRead.none(block, error, time.monotonic() - began)

    # --- apart

    @property
    def _is_splitting(self) -> bool:
        return any(one.split is not None for one in self._apart.values())

    def _start_split(self, block: WantedBlock) -> list[asyncio.Task[GroupRead]]:
        """Read a block in groups that together took too long."""
        groups = _split(block.readings, MOST_GROUPS)
        split = _Split(len(groups))
        seconds = FIRST_TIMEOUT + len(groups[0]) / READINGS_A_SECOND
        return [self._start(block._replace(readings=group), seconds, split) for group in groups]

    def _start_suspects(self, block: WantedBlock) -> list[asyncio.Task[GroupRead]]:
        """Begin to read the suspects of a block that are due; return the tasks that should not take long."""
        retries, network = self._retries, self._network
        failing = {name for one in self._apart.values() if one.split is None for name in one.names}
        due = [
            one
            for one in block.readings
            if retries.is_suspect_due(network, one.name)
            and not (one.name in failing and retries.attempts(network, [one.name]))
        ]
        slow = [one for one in due if retries.is_slow(network, one.name)]
        quick = [one for one in due if not retries.is_slow(network, one.name)]
        room = max(0, MOST_APART - len(self._apart))
        for group in _split(slow, MOST_GROUPS)[:room]:
            self._start_suspect(block, group)
        return [self._start_suspect(block, group) for group in _split(quick, 1)[:room]]

    def _start_suspect(self, block: WantedBlock, group: tuple[Reading, ...]) -> asyncio.Task[GroupRead]:
        attempts = self._retries.attempts(self._network, [one.name for one in group])
        seconds = (FIRST_TIMEOUT + len(group) / READINGS_A_SECOND) * 2.0**attempts
        return self._start(block._replace(readings=group), seconds, None)

    def _start(self, block: WantedBlock, seconds: float, split: _Split | None) -> asyncio.Task[GroupRead]:
        task = asyncio.create_task(self._attempt(block, seconds, PATIENCE))
        self._apart[task] = _Apart(block, frozenset(one.name for one in block.readings), split)
        return task

    async def _first(self, tasks: Iterable[asyncio.Task[GroupRead]]) -> AsyncIterator[BlockRead]:
        """Yield what is read apart, as far as it does not take long; what does is read apart from now on."""
        loop = asyncio.get_running_loop()
        left, until = set(tasks), loop.time() + GRACE
        while left and (seconds := until - loop.time()) > 0:
            _, left = await asyncio.wait(left, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for result in self._finished():
                yield result
        for task in left & self._apart.keys():
            split = self._apart[task].split
            is_long = self._retries.is_long(self._network, GRACE)
            if split.shows_slow_ones if split is not None else is_long:
                self._retries.suspect(self._network, self._apart[task].names, is_slow=True)

    def _finished(self) -> Iterator[BlockRead]:
        """Yield what has been read apart."""
        for task in [one for one in self._apart if one.done()]:
            apart = self._apart.pop(task)
            yield from self._taken(apart.block, task.result(), apart)

    # --- what became of it

    def _taken(
        self, block: WantedBlock, group: GroupRead, apart: _Apart | None = None
    ) -> Iterator[BlockRead]:
        """Yield what a group has read, and note what that says about it."""
        done: list[Reading] = []
        read: set[str] = set()
        for reading, result in group.found:
            if not isinstance(result, ChainError):
                done.append(result)
            else:
                if reading.error is None or is_final(result, block):
                    done.append(unread_reading(reading, result, block))
                if not is_final(result, block):
                    continue
            read.add(reading.name)
        self._note_error(group)
        self._left -= {(block.header.hash, name) for name in read}
        self._note(block, group, read, apart)
        yield from parts(self._network, done)

    def _note_error(self, group: GroupRead) -> None:
        errors = (result for _, result in group.found if isinstance(result, ChainError))
        if (error := next(errors, None)) is not None:
            self._retries.last_error[self._network] = error

    def _note(self, block: WantedBlock, group: GroupRead, read: set[str], apart: _Apart | None) -> None:
        retries, network = self._retries, self._network
        unread = [one.name for one in block.readings if one.name not in read]
        is_slow = apart is not None and group.seconds >= SLOW and retries.is_long(network, group.seconds)
        split = None if apart is None else apart.split
        if split is not None and read and not is_slow:
            split.quick += 1
        if read:
            retries.note_read(network, block.header)
            retries.note_seconds(network, group.seconds)
            if is_slow and (split is None or split.shows_slow_ones):
                retries.suspect(network, read, is_slow=True)
            else:
                retries.acquit(network, read - group.offenders)
                retries.suspect(network, read & group.offenders)
        if split is None:
            if apart is not None or read:
                retries.suspect(network, unread, is_slow=is_slow, has_failed=True)
            elif unread:
                retries.note_unread(network, block.header)
            return
        split.left -= 1
        split.is_any_read = split.is_any_read or bool(read)
        split.unread += unread
        if split.is_any_read:
            retries.suspect(network, split.unread, is_slow=is_slow, has_failed=True)
            split.unread = []
        elif not split.left:
            retries.note_unread(network, block.header)


def _split(readings: Sequence[Reading], most: int) -> list[tuple[Reading, ...]]:
    """Return ``readings`` in at most so many groups of about the same size."""
    size = -(-len(readings) // most)
    return [tuple(readings[i : i + size]) for i in range(0, len(readings), size)] if readings else []
