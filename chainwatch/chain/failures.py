"""What fails when a network is read, and for how long: the pause before the next try, outages, disputes."""

from __future__ import annotations

from collections.abc import Callable

from chainwatch.chain.errors import ChainError, Disputed, NotThere
from chainwatch.chain.pool import Pool
from chainwatch.chain.quiet import QuietLog
from chainwatch.config import NetworkSettings

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
"""Seconds after an error until the next try, doubling."""

HELD_AFTER = 15.0
"""Seconds after which blocks that still cannot be read count as disputed."""

RACES = 3
"""Times in a row that a block is not found before it is logged: a node may announce a block before all of it can be read."""

SETTLING = 15.0
"""The most seconds after an outage, else as long as it lasted, in which a head that does not move proves nothing: the node
may have been disconnected too, and still be catching up.
"""


class Failures:
    """The failures since a network was last read without one; ``clock`` gives Unix seconds."""

    def __init__(self, network: NetworkSettings, pool: Pool, clock: Callable[[], float]) -> None:
        self.count = 0
        """Failures in a row."""
        self.last_error: str | None = None
        self.disputed: str | None = None
        """What is in dispute, None while nothing is."""
        self.settled_at = float("-inf")
        """When, after an outage, a head that does not move counts again (Unix seconds)."""
        self._network = network
        self._pool = pool
        self._clock = clock
        self._log = QuietLog(network=network.name)
        self._failing_since: float | None = None
        self._lost_since: float | None = None
        """Since when no endpoint that answers knows the blocks that were read."""
        self._dark_since: float | None = clock()
        """When the last answer before an outage came; None while there is no outage."""

    def note(self, error: ChainError) -> float:
        """Keep ``error``; return the seconds to pause before the next try."""
        now = self._clock()
        self.last_error = str(error)
        self._failing_since = now if self._failing_since is None else self._failing_since
        if isinstance(error, Disputed) or (
            isinstance(error, NotThere) and now - self._failing_since >= HELD_AFTER
        ):
            self.disputed = error.what
        if self._dark_since is None:
            self._dark_since = self._pool.last_answer_at
        if not isinstance(error, NotThere) or self.count >= RACES:
            self._log.failed(now, "reading failed", error)
        pause: float = min(FIRST_PAUSE * 2 ** min(self.count, 10), LONGEST_PAUSE)
        self.count += 1
        return pause

    def clear(self) -> None:
        """Note that something was read without a failure."""
        self.disputed = self._failing_since = self._lost_since = None
        if self.last_error is not None:
            self.last_error = None
            self._log.recovered(self._clock(), "reading again")
        self.count = 0

    def note_answer(self, before: float) -> None:
        """Note that the head was answered; ``before`` is when anything was answered before (Unix seconds)."""
        now = self._clock()
        if self._dark_since is None and now - before > self._network.blind_after:
            self._dark_since = before
        if self._dark_since is not None:
            # a short outage after a long one must not make the time to settle shorter
            self.settled_at = max(self.settled_at, now + min(now - self._dark_since, SETTLING))
            self._dark_since = None

    def is_reorg_final(self, all_asked: bool) -> bool:
        """Return whether a reorg that is too deep is certain: no endpoint is left that may know the blocks that were read.

        Endpoints that are away, or were when the others were asked, are waited for; without limit where endpoints have
        shown before that one of those asked is wrong. ``all_asked``: none has come back meanwhile.
        """
        self._lost_since = self._clock() if self._lost_since is None else self._lost_since
        if self._pool.whole and all_asked:
            return True
        return self._clock() - self._lost_since >= HELD_AFTER and not self._pool.contradicted
