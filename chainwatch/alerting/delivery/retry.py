"""When to retry a delivery, when to give up, and when to pause a receiver: pure, all times in seconds."""

from __future__ import annotations

QUICK_DELAY = 0.5
"""Seconds between the first attempts: most failures last a second or two."""
QUICK_TRIES = 4
"""Failed attempts up to which the next one follows after ``QUICK_DELAY``."""
LONGEST_DELAY = 300.0
REFUSALS = 5
"""Attempts at a message that is refused for good: a person may be correcting the receiver's settings right now."""
REFUSED_FOR = 5.0
"""The least seconds for which a message that is refused for good is tried."""
OPENS_AFTER = 5
"""Consecutive failures of a receiver after which its breaker opens."""
FIRST_PROBE = 0.8
PROBES_GROW = 3.0
"""Seconds until the first probe of a receiver that is down, and the factor by which each next pause is longer."""
LONGEST_OPEN = ((300.0, 10.0), (3600.0, 30.0), (float("inf"), 60.0))
"""For a receiver that has been down for less than the first number: the longest time between the starts of two probes."""


def backoff(attempts: int, jitter: float) -> float:
    """Return seconds until the next attempt after ``attempts`` failed ones: short a few times, then growing exponentially.

    ``jitter`` in [0, 1) scales the growing ones.
    """
    if attempts <= QUICK_TRIES:
        return QUICK_DELAY * (0.9 + 0.1 * jitter)
    return min(LONGEST_DELAY, QUICK_DELAY * 2.0 ** min(attempts - QUICK_TRIES, 30)) * jitter


def is_hopeless(attempts: int, permanent: bool, waited: float, give_up_after: float) -> bool:
    """Return whether to give up a notification after ``attempts`` failed attempts and ``waited`` seconds in its queue."""
    return waited >= give_up_after or (permanent and attempts >= REFUSALS and waited >= REFUSED_FOR)


class Breaker:
    """A circuit breaker for a receiver that keeps failing: closed → open → one probe → closed or open again.

    While it is open only probes are sent. Times are Unix seconds. ``failures``: consecutive failures until now.
    """

    def __init__(self, failures: int = 0) -> None:
        self.failing_since: float | None = None
        self.probe_at: float | None = None
        self._failures = failures
        self._probes = 0
        self._is_proven = False

    @property
    def is_open(self) -> bool:
        """Whether only probes may be sent."""
        return self.probe_at is not None

    def permits(self, running: int, concurrency: int, now: float) -> int:
        """Return how many more attempts may start while ``running`` are under way.

        Until the receiver has taken a message, no more than it takes failures to open.
        """
        if self.probe_at is not None:
            return 1 if now >= self.probe_at and running == 0 else 0
        if not self._is_proven:
            concurrency = min(concurrency, OPENS_AFTER - self._failures)
        return max(0, concurrency - running)

    def succeeded(self) -> None:
        """Note that the receiver took a message."""
        self._failures = self._probes = 0
        self._is_proven = True
        self.failing_since = self.probe_at = None

    def failed(self, now: float, begun: float | None = None) -> None:
        """Note that the receiver did not take a message, whose attempt had ``begun`` before (None: just now)."""
        self._failures += 1
        self._is_proven = False
        if self.failing_since is None:
            self.failing_since = now
        if self._failures < OPENS_AFTER or (self.probe_at is not None and now < self.probe_at):
            return  # in the second case, the attempt had begun before the breaker opened
        pause = min(
            longest_open(now - self.failing_since), FIRST_PROBE * PROBES_GROW ** min(self._probes, 30)
        )
        self.probe_at = max(now + FIRST_PROBE, (now if begun is None else begun) + pause)
        self._probes += 1


def longest_open(down_for: float) -> float:
    """Return the longest pause between the starts of two probes of a receiver that is down for so long."""
    return next(pause for until, pause in LONGEST_OPEN if down_for < until)
