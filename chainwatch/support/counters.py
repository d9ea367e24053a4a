"""What this process has counted since its start: an addition each, never set back, whatever is reloaded meanwhile.

Each `Count` is added to by one thread alone. The keys are tuples of labels, few by their nature.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import NamedTuple, TypeAlias

Count: TypeAlias = Counter[tuple[str, ...]]

BLOCKS_READ: Count = Counter()
LOGS_READ: Count = Counter()
"""By network: blocks that were read, and logs of watched contracts in them."""
CALLS: Count = Counter()
"""JSON-RPC calls by network, method and outcome: ``answered``, ``timeout``, ``limited``, ``failed`` or ``cancelled``."""
REFUSALS: Count = Counter()
"""Answers that were JSON-RPC errors, by network and method."""
OPENED: Count = Counter()
"""Transfers whose opening was stored, by flow, origin and destination (empty where it is not known)."""
REACHED: Count = Counter()
"""Transfers that came to a status, by flow, origin, destination and status."""
AMOUNTS: Counter[tuple[str, str, str, str, bytes]] = Counter()
"""Amounts in smallest units of opened transfers, by flow, origin, destination, and the asset: its network, its address."""
ATTEMPTS: Count = Counter()
"""Attempts to notify by receiver and outcome: ``delivered``, ``failed`` (it is retried) or ``dead`` (it is not)."""
CRASHES: Count = Counter()
"""Crashes by supervised task."""
SAMPLES: Count = Counter()
"""Samples that were taken, by source: ``push``, ``json``, ``remote write``, ``scrape`` or ``own``."""
SAMPLES_REFUSED: Count = Counter()
"""Samples that were refused, by source and reason."""
SAMPLES_SERIES: dict[tuple[str, ...], int] = {}
SAMPLES_MEMORY: dict[tuple[str, ...], int] = {}
"""Series that are in memory and the bytes that they take, by source: ``restored`` ones have had no sample since the start,
``limit`` is how much there may be. These are set anew every few seconds."""


class Buckets(NamedTuple):
    """The observations of one set of labels: how many are at most each bound, then how many there are, and their sum."""

    cumulative: tuple[int, ...]
    total: float


class Histogram:
    """Counts observations up to each of ``bounds``, by labels. May be used by several threads."""

    def __init__(self, *bounds: float) -> None:
        self.bounds = bounds
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._totals: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Count ``value``."""
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self.bounds) + 1)
                self._totals[labels] = 0.0
            counts[bisect_left(self.bounds, value)] += 1
            self._totals[labels] += value

    def observed(self) -> dict[tuple[str, ...], Buckets]:
        """Return what was observed, by labels."""
        with self._lock:
            return {
                labels: Buckets(tuple(accumulate(counts)), self._totals[labels])
                for labels, counts in self._counts.items()
            }


TRANSACTION_SECONDS = Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Transactions of the database by kind: ``read`` or ``write``, its commit included."""
STEP_SECONDS = Histogram(
    15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200, 604_800
)
"""Chain time from a transfer's opening to each other step, by flow and step."""
TRANSFER_SECONDS = Histogram(*STEP_SECONDS.bounds)
"""Chain time from a transfer's opening to its last step once it is complete, by flow, origin and destination."""
