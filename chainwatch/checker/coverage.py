"""How far networks have been read, which is what a transfer is judged by beside its events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainwatch.checker.flow import Step, WatchedStep


class Watched(NamedTuple):
    """The first block in which a step's events are watched, and its time.

    ``unread_until``: blocks up to that time, read before they were watched, are still to be read again; None for none.
    """

    block: int
    timestamp: int
    unread_until: int | None = None


class Coverage(NamedTuple):
    """How far networks have been read, by name: ``seen`` until which chain time, ``first`` block and its time.

    ``watched`` is for the steps that are not watched since their network's first block.
    """

    seen: Mapping[str, int]
    first: Mapping[str, tuple[int, int]]
    watched: Mapping[WatchedStep, Watched] = {}

    def watch_of(self, network: str, step: Step) -> Watched:
        """Since when events of ``step`` are watched on ``network``."""
        known = self.watched.get((network, step.contract, step.event.signature))
        return known or Watched(*self.first.get(network, (0, 0)))
