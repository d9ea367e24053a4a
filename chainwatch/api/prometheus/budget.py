"""What one request may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from chainwatch.promql.evaluation import Limits

WITHIN = 25.0
"""Seconds for a query, the wait for its turn included: less than any request has."""
LIMITS = Limits(series=100_000, steps=11_001)
POINTS_MAX = 2_000_000
"""Samples in the answer to a query."""
LISTED_MAX = 50_000
"""Series, names or values in one answer."""


class Budget:
    """The time that is left for one request. ``is_wanted``: whether its client still waits."""

    def __init__(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        self._until = time.monotonic() + max(0.0, min(seconds, WITHIN))
        self._is_wanted = is_wanted

    @property
    def left(self) -> float:
        """Seconds, none of them negative."""
        return max(0.0, self._until - time.monotonic())

    @property
    def limits(self) -> Limits:
        """The limits of an evaluation that begins now."""
        return replace(LIMITS, seconds=self.left)

    def clock(self) -> float:
        """Return monotonic seconds for an evaluation; infinity, which ends it, once nobody waits for it."""
        return time.monotonic() if self._is_wanted() else math.inf
