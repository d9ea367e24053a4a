"""The clock by which all waits are measured: the host's time at the start, advanced by the monotonic clock.

Waits are differences of this clock's values, so they last as long as the monotonic clock says, whatever happens to the
host's clock meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STEP = 1.0
"""Seconds by which a jump may change until it counts as another one."""

SETTLED_AFTER = 60.0
"""Seconds after which a jump is followed where nothing says whether it was right."""

SLEWED = 10.0
"""Seconds by which the host's clock may differ until it counts as having jumped; a smaller difference is slewed."""

SLEW = 0.1
"""Seconds a second by which a difference is slewed: waits are that much longer or shorter meanwhile."""


class SteadyClock:
    """Unix seconds that no jump of the host's clock changes by mistake; call it for the time. Safe in any thread.

    After a jump of the host's clock (by more than ``SLEWED``) it goes on as before, until the host's clock is known to be
    right, or has kept to the jump for a minute where nothing is known. Then, where time has passed (a machine that
    slept), this clock follows by itself. Where the host's clock was set, no time has passed, and what waits has to be
    moved: ``is_to_be_set`` is true, and ``follow`` does it. ``wall`` and ``monotonic`` give seconds.
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
        self._jumped_by = 0.0
        self._was_wrong = False
        """Whether the host's clock was known to be wrong before it jumped."""
        self._wall_is_right: bool | None = None

    def __call__(self) -> float:
        with self._lock:
            return self._advance()

    def unadjusted(self) -> float:
        """Return the host's Unix time at the start plus the seconds since, to measure how long something lasts."""
        return self._monotonic() + self._first_offset

    @property
    def jump(self) -> float:
        """Seconds by which the host's clock is ahead of this one; negative: behind."""
        with self._lock:
            return self._wall() - self._advance()

    @property
    def is_to_be_set(self) -> bool:
        """Whether the host's clock was set, and is right as far as is known."""
        with self._lock:
            self._advance()  # follows by itself where time has passed
            return self._is_right()

    def judge(self, wall_is_right: bool | None) -> None:
        """Note whether other clocks agree with the host's now; None where there are none."""
        with self._lock:
            self._advance()  # the last judgement was of the clock before a jump
            self._wall_is_right = wall_is_right
            self._advance()

    def follow(self) -> float:
        """Set this clock to the host's if it is to be set; return the seconds by which it was set (negative: back).

        No time has passed with that: what waits until a time by this clock has to be moved by as much.
        """
        with self._lock:
            now = self._advance()
            if not self._is_right():
                return 0.0
            by = self._wall() - now
            self._offset += by
            self._jumped_at = None
            return by

    def _advance(self) -> float:
        now = self._monotonic()
        passed, self._at = max(0.0, now - self._at), now
        ahead = self._wall() - now - self._offset
        if abs(ahead) <= SLEWED:
            self._jumped_at = None
            self._offset += min(max(ahead, -passed * SLEW), passed * SLEW)
        else:
            self._note_jump(now, ahead)
            if self._is_right() and self._has_time_passed(ahead):
                self._jumped_at = None
                self._offset += ahead
        return now + self._offset

    def _note_jump(self, now: float, ahead: float) -> None:
        if self._jumped_at is None:
            self._was_wrong = self._wall_is_right is False
        elif abs(ahead - self._jumped_by) <= STEP:
            return
        self._jumped_at, self._jumped_by, self._wall_is_right = now, ahead, None

    def _has_time_passed(self, ahead: float) -> bool:
        """Return whether a jump shows time that the monotonic clock did not count, rather than take back an earlier one."""
        return not self._was_wrong and self._offset + ahead > self._first_offset + SLEWED

    def _is_right(self) -> bool:
        """Return whether the host's clock, which has jumped, is right as far as is known."""
        if self._jumped_at is None:
            return False
        if self._wall_is_right is None:
            return self._at - self._jumped_at >= SETTLED_AFTER
        return self._wall_is_right
