"""Follows one network: wake-ups in, batches of blocks in order out; a reorg comes as a batch with its ancestor.

What wakes it (a WebSocket, the poll interval, `Observer.wake`) only makes it look. What it then yields follows from the
headers of the chain alone: each block is the child of the one before, its logs are asked for by its hash.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from chainwatch.chain.headers import HeaderWindow
from chainwatch.chain.history import block_at, read_range
from chainwatch.chain.member import HEAD_SLACK, EndpointStatus
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.seen import seen_beyond
from chainwatch.chain.status import NetworkStatus
from chainwatch.chain.tip import Forked, find_ancestor, headers_before, is_replaced, read_blocks
from chainwatch.chain.transport import BATCH
from chainwatch.chain.watch import NetworkWatch
from chainwatch.config import NetworkSettings
from chainwatch.model import Batch, Checkpoint, Header, Seen

HEAD_TIMEOUT = 5.0
"""Seconds to wait for the head at most: a node that does not answer is to be noticed soon."""

IDLE_POLL = 5.0
"""Seconds between questions for the head while a WebSocket wakes, when `poll_interval` is less: it may have gone silent."""

LONGEST_IDLE_POLL = 10.0

SEEN_INTERVAL = 1.0
"""Seconds between two `Seen`, unless someone asked by `Observer.wake`."""

LOOKS_BEFORE_BLIND = 3
"""Looks at a quiet network within its `blind_after`, however rarely it would be looked at otherwise."""

COMPARE_EVERY = 5.0
"""Seconds after which all endpoints are asked for their heads where blocks come on demand: the first may be stuck."""

SETTLING = 15.0
"""After an outage as long as it lasted, but no more seconds than these, a head that does not move proves nothing: the
node may have been away itself and still be catching up."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
"""Seconds after an error until the next try, doubling."""

HELD_AFTER = 15.0
"""Seconds after which blocks that are still not to be had are as good as in dispute."""

RACES = 3
"""Blocks not found in a row that are no news: a node may tell of a block before all of it can be read."""

SILENT_TWICE = 2
MOST_SILENT = 64
"""Heads found by polling alone, one after the other, until the subscription counts as dead; twice as many each time that a
new one is silent too, and at most."""

VAIN_PAUSE = 0.05
LONGEST_VAIN_PAUSE = 1.0
"""Seconds between two looks when the first was at news of nothing; doubling as long as there are such."""


class Observer:
    """Follows ``network`` through ``pool`` (started by its owner).

    ``clock`` gives Unix seconds, for waiting; ``chain_time`` is shared by all networks, for what is called late.
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
        """``reach_back`` says which time the first block ever read is not to be later than, where no block is configured."""
        self._network = network
        self._watch = watch
        self._pool = pool
        self._clock = clock
        self._chain_time = chain_time or ChainTime(clock, alone_after=0.0)
        self._looked_at: float | None = None
        """When the head was last asked for, by the monotonic clock."""
        self._lost_since: float | None = None
        """Since when none of the endpoints that answer knows the blocks that were read."""
        self._behind_since: float | None = None
        """Since when the newest head is below the last block read."""
        self._reach_back = reach_back
        self._news = asyncio.Event()
        self._window = HeaderWindow(network.reorg_window)
        self._last: Header | None = None
        self._next: int | None = network.start_block
        self._head: Header | None = None
        self._begun_at = clock()
        self._seen_until = 0
        self._seen_reported_at = float("-inf")
        self._asked = False
        self._dark_since: float | None = self._begun_at
        self._settled_at = float("-inf")
        self._compared: Moment | None = None
        """When all endpoints were last asked for their heads."""
        self._failures = 0
        self._silent = 0
        self._silence_borne = SILENT_TWICE
        self._heard = pool.heard
        """What the WebSockets had told when the newest head was found."""
        self._vain = 0
        """Looks in a row at news, since the newest head was found."""
        self._last_error: str | None = None
        self._disputed: str | None = None
        self._failing_since: float | None = None
        self._halted = False
        self._resting = False
        self._log = QuietLog(network=network.name)
        pool.on_news(self._news.set)

    async def batches(
        self, checkpoint: Checkpoint | None, headers: Sequence[Header]
    ) -> AsyncIterator[Batch | Seen]:
        """All blocks after ``checkpoint``, for ever; ``headers`` are the stored ones of the window.

        Each item must be stored before the next is asked for. Without a checkpoint it begins at the network's
        ``start_block``, else where ``reach_back`` says, else at the head. Trouble in reading is retried for ever; raised
        are only `DeepReorg`, and `WrongChain` before the first answer.
        """
        if checkpoint is not None:
            self._begin_at(checkpoint, headers)
        while True:
            try:
                async for item in self._look():
                    self._recovered()
                    self._resting = True
                    yield item
                    self._resting = False
                self._recovered()
            except Forked:
                await self._trouble(NotThere(self._network.name, "the chain changed while a reorg was read"))
            except RpcError as error:
                await self._trouble(error)
            except WrongChain as error:
                if self._head is None:
                    self._halt(error)
                    raise
                await self._trouble(error)
            except DeepReorg as error:
                if not self._is_final():
                    await self._trouble(NotThere(self._network.name, str(error)))
                    continue
                self._halt(error)
                raise
            else:
                self._resting = True
                await self._wait(self._idle)
                self._resting = False

    def wake(self) -> None:
        """Look now, and tell how far the network is seen even if that was told a moment ago."""
        self._asked = True
        self._news.set()

    @property
    def status(self) -> NetworkStatus:
        """How the network stands now."""
        return NetworkStatus(
            name=self._network.name,
            chain_id=self._network.chain_id,
            state=self._state(),
            head=self._head,
            checkpoint=self._last,
            seen_until=self._seen_until,
            lag_blocks=self._lag(),
            last_answer_at=self._pool.last_answer_at,
            disputed=self._disputed,
            last_error=self._last_error or _why_none_answers(self._pool.endpoints),
            transport="websocket" if self._pool.woken else "polling",
            endpoints=self._pool.endpoints,
            behind_since=self._behind_since,
        )

    # --- one look at the chain ------------------------------------------------------------------------

    async def _look(self) -> AsyncIterator[Batch | Seen]:
        asked, asked_at = self._chain_time.moment(), self._clock()
        answered_at = self._pool.last_answer_at or asked_at
        head, compared = await self._compare(await self._newest(), asked)
        self._notice_silence(head)
        self._note_outage(answered_at)
        self._note_head(head, asked)
        target = head.number - self._network.confirmations
        if self._last is None and self._network.start_block is None:
            first = await self._first(head, max(target, 0))
            # as long as nothing could be read, a head told before may be of blocks that are not there
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
            self._news.set()  # there may be more above it
            return
        seen = None if asked_at < self._settled_at else self._seen(head, compared)
        if seen is not None:
            yield seen

    async def _first(self, head: Header, newest: int) -> int:
        """The first block ever to be read: ``newest``, or one from before the time that what is under way needs."""
        since = None if self._reach_back is None else await self._reach_back()
        if since is None or since >= head.timestamp:
            return newest
        try:
            return min(newest, max(0, await block_at(self._pool, since) - 1))
        except (TransportError, RateLimited, Unavailable):
            raise  # it may be back in a moment
        except RpcError as error:
            self._log.trouble(self._clock(), "begins at the head: earlier blocks are not to be had", error)
            return newest

    async def _newest(self) -> Header:
        """The head of the first endpoint that is not behind; when all are, of the one that is least.

        When blocks were not to be had, the lowest that is new, if any is: others may be told of that are not there.
        """
        timeout = min(self._network.request_timeout, HEAD_TIMEOUT)
        if self._failures:
            read_up_to = -1 if self._last is None else self._last.number
            reported = await self._pool.every(lambda endpoint: endpoint.head(timeout))
            fitting = [head for head in reported if head.number >= read_up_to]
            if fitting:
                return min(fitting, key=lambda head: (head.number == read_up_to, head.number))
        heads: list[Header] = []

        async def read(endpoint: Endpoint) -> Header:
            head = await endpoint.head(timeout)
            heads.append(head)
            if (self._last is not None and head.number < self._last.number) or self._is_old(head):
                raise NotThere(endpoint.name, f"its head, block {head.number}, is behind")
            return head

        try:
            return await self._pool.ask(read)
        except RpcError:
            if not heads:
                raise
            return max(heads, key=lambda head: head.number)

    async def _compare(self, head: Header, asked: Moment) -> tuple[Header, Moment]:
        """The newest head, and since when it is known that no endpoint has a newer one; ``head`` was told when ``asked``.

        Where blocks come on demand, no age of ``head`` tells a quiet chain from a stuck endpoint.
        """
        if self._network.block_time is not None or self._pool.alone or self._failures:
            return head, asked  # after a failure the heads of all were told already
        compared = self._compared
        if compared is None or self._asked or asked.monotonic - compared.monotonic >= COMPARE_EVERY:
            self._compared = compared = asked
            timeout = min(self._network.request_timeout, HEAD_TIMEOUT)
            heads = await self._pool.every(lambda endpoint: endpoint.head(timeout))
            head = max([head, *heads], key=lambda head: head.number)
        return head, compared

    async def _catch_up(self, target: int) -> AsyncIterator[Batch]:
        assert self._next is not None
        far = target - self._network.reorg_window
        if self._next <= far:
            # a long range is read with patience: not for a head of blocks that are not there
            await self._pool.ask(lambda endpoint: endpoint.headers([far]))
            first_ever = self._last is None
            async for batch in read_range(self._pool, self._watch, self._next, far, first_ever=first_ever):
                yield self._taken(batch)
        while self._next <= target:
            few = max(1, BATCH >> self._failures)  # what fails is not to be asked in bulk again and again
            last = min(target, self._next + few - 1)
            batch = await read_blocks(self._pool, self._watch, self._last, self._next, last)
            if self._last is None:
                batch = msgspec.structs.replace(batch, headers=(*await self._older(batch), *batch.headers))
            yield self._taken(batch)

    async def _older(self, batch: Batch) -> list[Header]:
        """The window below the first block ever read, so that a reorg that begins below it has an ancestor."""
        try:
            return await headers_before(self._pool, batch.headers[0], self._network.reorg_window - 1)
        except NotThere:
            return []  # a node without its past

    async def _replacement(self, head: Header, target: int) -> Batch | None:
        """The blocks that stand where others were read; None while there are none, or when there was no reorg."""
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
        """How far the network is seen when it stands at the head; None when there is nothing new to tell."""
        if (
            self._network.confirmations
            or self._last is None
            or head.hash != self._last.hash
            or self._stalled()
        ):
            return None
        until = seen_beyond(self._network, head, self._chain_time.proven(asked), asked.wall)
        now = asyncio.get_running_loop().time()
        if until is None or until <= self._seen_until:
            return None
        if now - self._seen_reported_at < SEEN_INTERVAL and not self._asked:
            return None
        self._seen_until = until
        self._seen_reported_at = now
        self._asked = False
        return Seen(self._network.name, until)

    def _begin_at(self, checkpoint: Checkpoint, headers: Sequence[Header]) -> None:
        below = [header for header in headers if header.number < checkpoint.last.number]
        self._window.extend([*sorted(below, key=lambda header: header.number), checkpoint.last])
        self._last = checkpoint.last
        self._next = checkpoint.last.number + 1
        self._seen_until = checkpoint.seen_until

    # --- waiting and trouble --------------------------------------------------------------------------

    @property
    def _idle(self) -> float:
        idle = self._network.poll_interval
        if self._pool.woken and self._silence_borne == SILENT_TWICE:
            idle = min(max(idle, IDLE_POLL), LONGEST_IDLE_POLL)
        return min(idle, self._network.blind_after / LOOKS_BEFORE_BLIND)

    async def _wait(self, seconds: float) -> None:
        """Wait for news, for ``seconds`` at most; a moment at least where they were of nothing before."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        if self._vain and not self._asked:
            pause = min(VAIN_PAUSE * 2 ** min(self._vain, 10), LONGEST_VAIN_PAUSE, seconds)
            await asyncio.sleep(max(0.0, begun + pause - loop.time()))
        self._news.clear()

    def _notice_silence(self, head: Header) -> None:
        """A subscription that says nothing of blocks that polling finds is opened anew, and not relied on until it tells."""
        heard = self._pool.heard != self._heard
        if self._head is None or head.number <= self._head.number:
            self._vain += heard
            return
        self._heard, self._vain = self._pool.heard, 0
        self._silent = 0 if heard or not self._pool.woken else self._silent + 1
        if heard:
            self._silence_borne = SILENT_TWICE
        elif self._silent >= self._silence_borne:
            self._silent = 0
            self._silence_borne = min(2 * self._silence_borne, MOST_SILENT)
            self._pool.resubscribe()

    def _note_head(self, head: Header, asked: Moment) -> None:
        """The head was told when ``asked``: a new one has come since it was asked for before."""
        if self._head is not None and self._looked_at is not None and head.number > self._head.number:
            self._chain_time.saw_head(self._network.name, head.timestamp, asked.monotonic - self._looked_at)
        self._looked_at = asked.monotonic
        if self._last is None or head.number >= self._last.number:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()
        self._head = head

    def _note_outage(self, answered_at: float) -> None:
        """The head was told; ``answered_at`` is when anything was told before."""
        now = self._clock()
        if self._dark_since is None and now - answered_at > self._network.blind_after:
            self._dark_since = answered_at
        if self._dark_since is not None:
            # a short outage after a long one must not make the time to settle shorter
            self._settled_at = max(self._settled_at, now + min(now - self._dark_since, SETTLING))
            self._dark_since = None

    async def _trouble(self, error: ChainError) -> None:
        self._last_error = str(error)
        self._failing_since = self._clock() if self._failing_since is None else self._failing_since
        lasts = self._clock() - self._failing_since >= HELD_AFTER
        if isinstance(error, Disputed) or (isinstance(error, NotThere) and lasts):
            self._disputed = error.what
        if self._dark_since is None:
            self._dark_since = self._pool.last_answer_at
        if not isinstance(error, NotThere) or self._failures >= RACES:
            self._log.trouble(self._clock(), "reading failed", error)
        pause = min(FIRST_PAUSE * 2 ** min(self._failures, 10), LONGEST_PAUSE)
        self._failures += 1
        await asyncio.sleep(FIRST_PAUSE)
        if isinstance(error, Unavailable | NotThere) and not isinstance(error, Disputed):
            await self._wait(pause * random.uniform(0.5, 1.0))  # an endpoint may be back, a block be there
        else:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def _is_final(self) -> bool:
        """Whether no endpoint is left that may know the blocks that were read; those that are away are waited for.

        They are for as long as it takes where they have shown before that it is the others that are wrong.
        """
        self._lost_since = self._clock() if self._lost_since is None else self._lost_since
        waited = self._clock() - self._lost_since >= HELD_AFTER and not self._pool.contradicted
        return self._pool.whole or waited

    def _recovered(self) -> None:
        self._lost_since = None
        self._disputed = self._failing_since = None
        if self._last_error is not None:
            self._last_error = None
            self._log.over(self._clock(), "reading again")
        self._failures = 0

    def _halt(self, error: ChainError) -> None:
        self._halted = True
        self._last_error = str(error)

    def _state(self) -> str:
        if self._halted:
            return "halted"
        answered_at = self._pool.last_answer_at or self._begun_at
        if not self._resting and self._clock() - answered_at > self._network.blind_after:
            return "blind"
        if self._head is None:
            return "starting"
        if self._stalled():
            return "stalled"
        return "catching up" if self._lag() > BATCH else "live"

    def _stalled(self) -> bool:
        stall_after = self._network.stall_after
        return self._is_thrown_back() or (
            stall_after is not None
            and self._head is not None
            and self._chain_time.now() - self._head.timestamp > stall_after
        )

    def _is_thrown_back(self) -> bool:
        """Whether the newest head has been below what was read for too long to be a node that lags for a moment."""
        return (
            self._behind_since is not None and self._clock() - self._behind_since > self._network.blind_after
        )

    def _is_old(self, head: Header) -> bool:
        """Whether ``head`` should have had a child long ago: this endpoint may be the only one without it."""
        block_time = self._network.block_time
        return (
            block_time is not None and self._chain_time.now() - head.timestamp > 2 * block_time + HEAD_SLACK
        )

    def _lag(self) -> int:
        if self._head is None or self._next is None:
            return 0
        return max(0, self._head.number - self._network.confirmations - self._next + 1)


def _why_none_answers(endpoints: Sequence[EndpointStatus]) -> str | None:
    """What is wrong with the endpoints; None while one of them can be asked."""
    if any(endpoint.state in ("ok", "degraded", "frozen") for endpoint in endpoints):
        return None
    return "; ".join(f"{e.name}: {e.last_error}" for e in endpoints if e.last_error) or None
