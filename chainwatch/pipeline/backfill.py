"""Back-fill: reads blocks again that were read before some of their events were watched, beside the newest blocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial

import sqlalchemy as sa
import structlog

from chainwatch.chain.errors import ChainError
from chainwatch.chain.history import block_at, read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.chain.tip import read_blocks
from chainwatch.chain.transport import BATCH
from chainwatch.chain.watch import NetworkWatch
from chainwatch.model import Backfilled, Batch, Checkpoint
from chainwatch.store import watched
from chainwatch.store.watched import Gap

PAUSE = 5.0
"""Seconds until blocks that could not be read again are tried once more."""
FIRST_PAUSE = 0.1
"""Seconds until the gap is looked up again."""
ANSWERS_WITHIN = 60.0
"""Seconds since its last answer for which a network counts as answering."""
PATIENCE = 600.0
"""Seconds after which blocks are given up that a network does not have, although it answers."""

Note = Callable[[sa.Connection], None]
"""A change of what is stored about gaps."""

_log = structlog.get_logger(__name__)


def goes_on(part: Backfilled, gap: Gap, left: Gap | None) -> bool:
    """Return whether ``left``, the gap after ``part`` of ``gap`` was stored, is just the rest: reading can go on then."""
    return left is not None and left == gap._replace(first=part.last + 1)


class Backfill:
    """Reads the gaps of one network, but no blocks older than ``retention`` (seconds), whose logs would be deleted."""

    def __init__(
        self, network: str, retention: float, watch: NetworkWatch, clock: Callable[[], float]
    ) -> None:
        self.network = network
        self._retention = retention
        self._watch = watch
        self._clock = clock
        self._log = QuietLog(network=network)
        self._refused_since: float | None = None
        self._bounded = False
        self._begun_to: int | None = None
        """The end of the gap that the log last said to be read."""

    async def read(
        self, pool: Pool | None, gap: Gap, checkpoint: Checkpoint
    ) -> AsyncGenerator[Backfilled | Note]:
        """Yield the blocks of ``gap`` in order, or a note about it; ends where the gap is to be loaded again.

        ``checkpoint`` is the network's. Each item must be stored before the next is asked for. Errors of reading are logged
        here, and followed by a pause.
        """
        await asyncio.sleep(FIRST_PAUSE)  # between two gaps, however reading them ends
        if pool is None or pool.last_answer_at is None:
            return
        try:
            if not self._bounded:
                oldest = int(
                    min(self._clock(), checkpoint.seen_until) - self._retention
                )  # a clock may be ahead
                if gap.since < oldest:
                    first = await block_at(pool, oldest)
                    yield partial(watched.skip_to, network=self.network, block=first, timestamp=oldest)
                self._bounded = True
                return
            if gap.last != self._begun_to:
                _log.info(
                    "reading earlier blocks again", network=self.network, first=gap.first, last=gap.last
                )
            self._begun_to = gap.last
            async for part in self._parts(pool, gap, checkpoint.last.number):
                self._refused_since = None
                self._log.recovered(self._clock(), "earlier blocks are read again")
                yield part
        except ChainError as error:
            self._log.failed(self._clock(), "earlier blocks cannot be read again; trying again later", error)
            if self._is_refused(pool):
                _log.warning(
                    "earlier blocks are not available: their events count as not watched",
                    network=self.network,
                    first=gap.first,
                    last=gap.last,
                    error=str(error),
                )
                yield partial(watched.give_up, network=self.network)
            else:
                await asyncio.sleep(PAUSE)

    async def _parts(self, pool: Pool, gap: Gap, head: int) -> AsyncGenerator[Backfilled]:
        """Yield ``gap`` in parts; those near ``head``, where reorgs happen, have all their headers."""
        watch = self._watch.only(gap.sources)
        far = min(gap.last, head - pool.network.reorg_window)
        if gap.first <= far:
            async for batch in read_range(pool, watch, gap.first, far):
                yield _backfilled(batch, gap)
        for first in range(max(gap.first, far + 1), gap.last + 1, BATCH):
            last = min(first + BATCH - 1, gap.last)
            yield _backfilled(await read_blocks(pool, watch, None, first, last), gap)

    def _is_refused(self, pool: Pool) -> bool:
        """Return whether the network has answered for `PATIENCE` seconds, but not with these blocks."""
        now = self._clock()
        if pool.last_answer_at is None or now - pool.last_answer_at > ANSWERS_WITHIN:
            self._refused_since = None
            return False
        self._refused_since = now if self._refused_since is None else self._refused_since
        return now - self._refused_since > PATIENCE


def _backfilled(batch: Batch, gap: Gap) -> Backfilled:
    last, events, undecoded = batch.last.number, batch.events, batch.undecoded
    return Backfilled(batch.network, batch.first, last, gap.sources, events, undecoded, batch.headers)
