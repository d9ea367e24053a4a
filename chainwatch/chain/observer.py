"""Follows one network: wake-ups in, batches of blocks in order out; a reorg comes as a batch with its ancestor.

A wake-up (a WebSocket, the poll interval, `Observer.wake`) only makes it read the head. What it then yields follows
from the headers of the chain alone: each block is the child of the one before, and its logs are asked for by its hash.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from chainwatch.chain.chain_time import ChainTime, Moment
from chainwatch.chain.errors import (
    ChainError,
    DeepReorg,
    Disputed,
    NotThere,
    RateLimited,
    RpcError,
    TransportError,
    Unavailable,
    WrongChain,
)
from chainwatch.chain.failures import FIRST_PAUSE, Failures
from chainwatch.chain.headers import HeaderWindow
from chainwatch.chain.heads import Heads
from chainwatch.chain.history import block_at, read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.seen import seen_beyond
from chainwatch.chain.status import EndpointStatus, NetworkStatus
from chainwatch.chain.tip import Forked, find_ancestor, headers_before, is_replaced, read_blocks
from chainwatch.chain.transport import BATCH
from chainwatch.chain.wakeups import WakeUps
from chainwatch.chain.watch import NetworkWatch
from chainwatch.config import NetworkSettings
from chainwatch.model import Batch, Checkpoint, Header, Seen

SEEN_INTERVAL = 1.0
"""Seconds between two `Seen`, unless `Observer.wake` was called."""


class Observer:
    """Follows ``network`` through ``pool`` (started by its owner).

    ``clock`` gives Unix seconds, for waiting; ``chain_time`` is shared by all networks, and decides what is late.
    """

    def __init__(
        self,
        network: NetworkSettings,
        watch: NetworkWatch,
        pool: Pool,
        clock: Callable[[], float],
        chain_time: ChainTime | None = None,
        reach_back: Callable[[], Awaitable[int | None]] | None = None,
    ) -> None:
        """``reach_back`` gives the time (Unix seconds) from which blocks are needed, where no first block is configured."""
        self._network = network
        self._watch = watch
        self._pool = pool
        self._clock = clock
        self._chain_time = chain_time or ChainTime(clock, alone_after=0.0)
        self._reach_back = reach_back
        self._window = HeaderWindow(network.reorg_window)
        self._last: Header | None = None
        self._next: int | None = network.start_block
        self._begun_at = clock()
        self._seen_until = 0
        self._seen_reported_at = float("-inf")
        self._halted = False
        self._resting = False
        self._wake_ups = WakeUps(network, pool)
        self._heads = Heads(network, pool, clock, self._chain_time)
        self._failures = Failures(network, pool, clock)
        self._log = QuietLog(network=network.name)

    async def batches(
        self, checkpoint: Checkpoint | None, headers: Sequence[Header]
    ) -> AsyncIterator[Batch | Seen]:
        """Yield all blocks after ``checkpoint``, for ever; ``headers`` are the stored ones of the window.

        Each item must be stored before the next is asked for. Without a checkpoint it begins at the network's
        ``start_block``, else at the time of ``reach_back``, else at the head. Errors in reading are retried for ever; only
        `DeepReorg` is raised, and `WrongChain` before the first answer.
        """
        if checkpoint is not None:
            self._begin_at(checkpoint, headers)
        try:
            while True:
                try:
                    async for item in self._look():
                        self._failures.clear()
                        self._resting = True
                        yield item
                        self._resting = False
                    self._failures.clear()
                except Forked:
                    await self._retry_after(
                        NotThere(self._network.name, "the chain changed while a reorg was read")
                    )
                except RpcError as error:
                    await self._retry_after(error)
                except WrongChain as error:
                    if self._heads.head is None:
                        self._halt(error)
                        raise
                    await self._retry_after(error)
                except DeepReorg as error:
                    if not self._failures.is_reorg_final(error.all_asked):
                        await self._retry_after(NotThere(self._network.name, str(error)))
                        continue
                    self._halt(error)
                    raise
                else:
                    self._resting = True
                    await self._wake_ups.wait()
                    self._resting = False
        finally:
            self._heads.close()

    def wake(self) -> None:
        """Read the head now, and yield how far the network is seen even if it did a moment ago."""
        self._wake_ups.wake()

    @property
    def status(self) -> NetworkStatus:
        """The state of the network now."""
        return NetworkStatus(
            name=self._network.name,
            chain_id=self._network.chain_id,
            state=self._state(),
            head=self._heads.head,
            checkpoint=self._last,
            seen_until=self._seen_until,
            lag_blocks=self._lag(),
            last_answer_at=self._pool.last_answer_at,
            disputed=self._failures.disputed,
            last_error=self._failures.last_error or _why_none_answers(self._pool.endpoints),
            transport="websocket" if self._pool.subscribed else "polling",
            endpoints=self._pool.endpoints,
            behind_since=self._heads.behind_since,
        )

    # --- one look at the chain ------------------------------------------------------------------------

    async def _look(self) -> AsyncIterator[Batch | Seen]:
        asked, asked_at = self._chain_time.moment(), self._clock()
        answered_at = self._pool.last_answer_at or asked_at
        failing = self._failures.count > 0
        newest = await self._heads.newest(self._last, failing=failing)
        head, compared = await self._heads.compare(newest, asked, now=self._wake_ups.asked, failing=failing)
        self._wake_ups.note_head(self._heads.is_new(head))
        self._failures.note_answer(answered_at)
        self._heads.note(head, self._last, asked)
        target = head.number - self._network.confirmations
        if self._last is None and self._network.start_block is None:
            first = await self._first(head, max(target, 0))
            # as long as nothing could be read, an earlier head may be of blocks that do not exist
            self._next = first if self._next is None else min(first, self._next)
        if await is_replaced(self._pool, self._window, self._last, head, target):
            replacement = await self._replacement(head, target)
            if replacement is not None:
                yield self._taken(replacement)
        try:
            async for batch in self._catch_up(target):
                yield batch
        except Forked:
            replacement = await self._replacement(head, target)
            if replacement is None:
                raise NotThere(self._network.name, f"endpoints disagree on block {self._next}") from None
            yield self._taken(replacement)
            self._wake_ups.look_again()  # there may be more blocks above it
            return
        is_settled = compared is not None and asked_at >= self._failures.settled_at
        seen = self._seen(head, compared) if compared is not None and is_settled else None
        self._wake_ups.asked = False
        if seen is not None:
            yield seen

    async def _first(self, head: Header, newest: int) -> int:
        """Return the first block ever to be read: ``newest``, or an earlier one where ``reach_back`` asks for it."""
        since = None if self._reach_back is None else await self._reach_back()
        if since is None or since >= head.timestamp:
            return newest
        try:
            return min(newest, max(0, await block_at(self._pool, since) - 1))
        except (TransportError, RateLimited, Unavailable):
            raise  # it may be back in a moment
        except RpcError as error:
            self._log.failed(
                self._clock(), "reading begins at the head: earlier blocks are unavailable", error
            )
            return newest

    async def _catch_up(self, target: int) -> AsyncIterator[Batch]:
        assert self._next is not None
        far = target - self._network.reorg_window
        if self._next <= far:
            # a long range is retried for long: it must not be for a head whose blocks do not exist
            await self._pool.ask(lambda endpoint: endpoint.headers([far]))
            first_ever = self._last is None
            async for batch in read_range(self._pool, self._watch, self._next, far, first_ever=first_ever):
                yield self._taken(batch)
        while self._next <= target:
            few = max(
                1, BATCH >> self._failures.count
            )  # what fails is not to be asked in bulk again and again
            last = min(target, self._next + few - 1)
            batch = await read_blocks(self._pool, self._watch, self._last, self._next, last)
            if self._last is None:
                batch = msgspec.structs.replace(batch, headers=(*await self._older(batch), *batch.headers))
            yield self._taken(batch)

    async def _older(self, batch: Batch) -> list[Header]:
        """Return the window below the first block ever read, so that a reorg that begins below it has an ancestor."""
        try:
            return await headers_before(self._pool, batch.headers[0], self._network.reorg_window - 1)
        except NotThere:
            return []  # a node without old blocks

    async def _replacement(self, head: Header, target: int) -> Batch | None:
        """Return the blocks that replace those that were read; None while there are none, or when there was no reorg."""
        last = self._last
        assert last is not None
        ancestor = await find_ancestor(self._pool, self._window, min(head.number, last.number))
        first = ancestor.number + 1
        if ancestor == last or target < first:
            return None
        end = min(target, max(last.number, first))
        return await read_blocks(self._pool, self._watch, ancestor, first, end, ancestor)

    def _taken(self, batch: Batch) -> Batch:
        if batch.ancestor is not None:
            self._window.rewind(batch.ancestor)
        self._window.extend(batch.headers)
        self._last = batch.last
        self._next = batch.last.number + 1
        self._seen_until = max(self._seen_until, batch.last.timestamp)
        return batch

    def _seen(self, head: Header, asked: Moment) -> Seen | None:
        """Return how far the network is seen when it is read up to the head; None when that is no farther than before."""
        if (
            self._network.confirmations
            or self._last is None
            or head.hash != self._last.hash
            or self._heads.stalled
        ):
            return None
        until = seen_beyond(self._network, head, self._chain_time.proven(asked), asked.wall)
        now = asyncio.get_running_loop().time()
        if until is None or until <= self._seen_until:
            return None
        if now - self._seen_reported_at < SEEN_INTERVAL and not self._wake_ups.asked:
            return None
        self._seen_until = until
        self._seen_reported_at = now
        return Seen(self._network.name, until)

    def _begin_at(self, checkpoint: Checkpoint, headers: Sequence[Header]) -> None:
        below = [header for header in headers if header.number < checkpoint.last.number]
        self._window.extend([*sorted(below, key=lambda header: header.number), checkpoint.last])
        self._last = checkpoint.last
        self._next = checkpoint.last.number + 1
        self._seen_until = checkpoint.seen_until

    async def _retry_after(self, error: ChainError) -> None:
        """Keep ``error`` and wait until it is time to try again."""
        pause = self._failures.note(error) * random.uniform(0.5, 1.0)
        await asyncio.sleep(FIRST_PAUSE)
        if isinstance(error, Unavailable | NotThere) and not isinstance(error, Disputed):
            await self._wake_ups.wait(pause)  # an endpoint may be back, a block be there
        else:
            await asyncio.sleep(pause)

    def _halt(self, error: ChainError) -> None:
        self._halted = True
        self._failures.last_error = str(error)

    def _state(self) -> str:
        if self._halted:
            return "halted"
        answered_at = self._pool.last_answer_at or self._begun_at
        if not self._resting and self._clock() - answered_at > self._network.blind_after:
            return "blind"
        if self._heads.head is None:
            return "starting"
        if self._heads.stalled:
            return "stalled"
        return "catching up" if self._lag() > BATCH else "live"

    def _lag(self) -> int:
        if self._heads.head is None or self._next is None:
            return 0
        return max(0, self._heads.head.number - self._network.confirmations - self._next + 1)


def _why_none_answers(endpoints: Sequence[EndpointStatus]) -> str | None:
    """Return the last errors of the endpoints; None while one of them is usable."""
    if any(endpoint.state in ("ok", "degraded", "frozen") for endpoint in endpoints):
        return None
    return "; ".join(f"{e.name}: {e.last_error}" for e in endpoints if e.last_error) or None
