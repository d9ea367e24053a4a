"""Log lines about failures that last: once when they begin, then at growing intervals, once when they end (S10)."""

from __future__ import annotations

import structlog

FIRST_INTERVAL = 60.0
LONGEST_INTERVAL = 3600.0


class QuietLog:
    """Logs each kind of failure once, and again after 1, 2, 4 … minutes (an hour at most) while it lasts."""

    def __init__(self, **context: str) -> None:
        self._log = structlog.get_logger("chainwatch.chain").bind(**context)
        self._next: dict[str, tuple[float, float]] = {}
        self._held: dict[str, int] = {}

    def failed(self, now: float, kind: str, error: Exception) -> None:
        """Log ``error`` of ``now`` (seconds on any one clock), unless one of the same ``kind`` was logged a moment ago."""
        at, interval = self._next.get(kind, (now, FIRST_INTERVAL))
        self._held[kind] = self._held.get(kind, 0) + 1
        if now >= at:
            self._log.warning(kind, error=str(error), times=self._held.pop(kind))
            self._next[kind] = (now + interval, min(interval * 2, LONGEST_INTERVAL))

    def recovered(self, now: float, what: str) -> None:
        """Log that the failures have ended. Intervals start anew only after a quiet minute, however often they return."""
        if self._next and all(at <= now for at, _ in self._next.values()):
            self._next.clear()
            self._held.clear()
            self._log.info(what)
