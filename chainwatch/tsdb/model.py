"""What goes into the database of samples and what comes back; its limits. Times are Unix milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from chainwatch.promql.series import Labels

HOUR = 3_600_000
SET_BACK = 5_000
"""Milliseconds by which a series may be ahead of this machine's clock when it gets a sample of now: one that is further
ahead is of before the clock was set back."""

Batch = Sequence[tuple[Labels, Sequence[int], Sequence[float]]]
"""Samples by series: times in Unix ms, rising, and as many values."""

Reason = Literal[
    "out of order",
    "duplicate",
    "too old",
    "in the future",
    "too many series",
    "too many labels",
    "label too long",
    "memory is full",
]
"""Why a sample was refused. A ``duplicate`` has the time of one that is there, and another value."""


@dataclass(frozen=True, slots=True)
class TsdbLimits:
    """What the database may hold at most.

    ``window`` is for how long samples are kept that no rule needs for longer, ``future`` how far a sample's time may be
    ahead of this machine's (both in milliseconds). ``bytes`` is the memory of all samples and labels, as estimated.
    """

    series: int = 200_000
    bytes: int = 1_000_000_000
    samples_per_series: int = 250_000
    labels: int = 64
    label_characters: int = 4_096
    window: int = HOUR
    future: int = 10 * 60_000


@dataclass(slots=True)
class Appended:
    """What became of a batch: samples that were accepted, and by reason those that were refused.

    A sample that is there already counts as accepted. ``changed`` has the labels of the series that grew, ``examples``
    the first series of each reason.
    """

    accepted: int = 0
    refused: dict[Reason, int] = field(default_factory=dict)
    changed: list[Labels] = field(default_factory=list)
    examples: dict[Reason, Labels] = field(default_factory=dict)

    def refuse(self, reason: Reason, labels: Labels, samples: int = 1) -> None:
        """Count refused samples of one series."""
        self.refused[reason] = self.refused.get(reason, 0) + samples
        self.examples.setdefault(reason, labels)
