"""The time that everything waits by: the host's, without its jumps.

Waits are differences of this clock's values, so they last as long as the monotonic clock says, whatever happens to the
host's clock meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STEP = 1.0
"""Seconds by which the host's clock may move ahead at once without counting as a jump."""

SETTLED_AFTER = 60.0
"""Seconds after which a jump ahead is followed where nothing says whether it was right: a machine that slept."""

SLOWEST = 0.5
"""Seconds a second at which this clock goes while it waits for a host's clock that was set back."""


class SteadyClock:
    """Unix seconds that never go back and never jump ahead by mistake; call it for the time. Safe in any thread.

    A host's clock that jumped ahead is followed once it is known to be right, or has kept to it for a minute where
    nothing is known. One that was set back is waited for at half speed. ``wall`` and ``monotonic`` give seconds.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._at = monotonic()
        self._offset = self._first_offset = wall() - self._at
        self._jumped_at: float | None = None
        self._wall_is_right: bool | None = None

    def __call__(self) -> float:
        with self._lock:
            return self._follow()

    def unadjusted(self) -> float:
        """The host's Unix seconds at the start and what has passed since: for how long something lasts."""
        return self._monotonic() + self._first_offset

    @property
    def jump(self) -> float:
        """Seconds by which the host's clock is ahead of this one; negative: behind."""
        with self._lock:
            return self._wall() - self._follow()

    def judge(self, wall_is_right: bool | None) -> None:
        """Whether other clocks agree with the host's now; None where there are none."""
        with self._lock:
            self._follow()  # what was said until now was said of the clock before a jump
            self._wall_is_right = wall_is_right
            self._follow()

    def _follow(self) -> float:
        now = self._monotonic()
        passed, self._at = max(0.0, now - self._at), now
        ahead = self._wall() - now - self._offset
        if ahead <= STEP:
            self._jumped_at = None
            self._offset += max(ahead, -passed * SLOWEST)
        elif self._is_to_be_followed(now):
            self._jumped_at = None
            self._offset += ahead
        return now + self._offset

    def _is_to_be_followed(self, now: float) -> bool:
        """Whether the host's clock, which is ahead, is right as far as is known."""
        if self._jumped_at is None:
            self._jumped_at, self._wall_is_right = now, None
        if self._wall_is_right is None:
            return now - self._jumped_at >= SETTLED_AFTER
        return self._wall_is_right
