"""How much of what may be kept is used, by who sent it, and who may begin a series."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from chainwatch.promql.series import Labels
from chainwatch.tsdb.model import Reason, TsdbLimits

RESTORED = "restored"
"""In place of a sender: of series from before the start, to which nobody has added yet."""


class Sender(NamedTuple):
    """Who sends samples: begins series while all use less than ``share`` of what may be kept, and it alone ``own_share``."""

    name: str
    share: float = 1.0
    own_share: float = 1.0


OWN = Sender("own")
"""This process, which may fill all."""


class Room:
    """Series, and the bytes that they take: of all, and by the names of their senders."""

    def __init__(self) -> None:
        self.total_series = 0
        self.total_bytes = 0
        self.series: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def add(self, sender: str, size: int) -> None:
        """Note a new series."""
        self.series[sender] += 1
        self.total_series += 1
        self.grow(sender, size)

    def remove(self, sender: str, size: int) -> None:
        """Note that a series is gone."""
        self.series[sender] -= 1
        self.total_series -= 1
        self.grow(sender, -size)

    def grow(self, sender: str, size: int) -> None:
        """Note by how many bytes series have grown."""
        self.bytes[sender] += size
        self.total_bytes += size

    def refusal(self, sender: Sender, limits: TsdbLimits) -> Reason | None:
        """Return why no series can begin, None where one can.

        Nobody's share counts what was restored: of whom it is will be known once samples are added to it.
        """
        if _is_full(self.series, self.total_series, limits.series, sender):
            return "too many series"
        if _is_full(self.bytes, self.total_bytes, limits.bytes, sender):
            return "memory is full"
        return None


def _is_full(used: Counter[str], total: int, most: int, sender: Sender) -> bool:
    return total >= most * sender.share or used[sender.name] >= (most - used[RESTORED]) * sender.own_share


def refusal(labels: Labels, limits: TsdbLimits) -> Reason | None:
    """Return why no series can have these labels, None where one can."""
    if len(labels) > limits.labels:
        return "too many labels"
    if any(len(text) > limits.label_characters for pair in labels.pairs for text in pair):
        return "label too long"
    return None
