"""How fast a channel may be called: pure, all times in seconds of one clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple


class Rate(NamedTuple):
    """At most ``calls`` within any ``seconds``."""

    calls: int
    seconds: float


class Pace:
    """Keeps the calls to one channel within all of ``rates``."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._rates = rates
        self._turns: deque[float] = deque(maxlen=max((rate.calls for rate in rates), default=1))
        """The latest turns given, oldest first."""
        self._paused_until = 0.0

    def next_turn(self, now: float) -> float:
        """Return when the next call may be made, ``now`` or later."""
        turn = max(now, self._paused_until, self._turns[-1] if self._turns else 0.0)
        for calls, seconds in self._rates:
            if len(self._turns) >= calls:
                turn = max(turn, self._turns[-calls] + seconds)
        return turn

    def take(self, turn: float) -> None:
        """Note that a call was made at ``turn``, no earlier than ``next_turn`` said."""
        self._turns.append(turn)

    def pause(self, until: float) -> None:
        """Give no turn before ``until``: the channel asked for it."""
        self._paused_until = max(self._paused_until, until)

    def end_pause(self) -> None:
        """Give turns by the rates alone again: a person asked for a retry."""
        self._paused_until = 0.0
