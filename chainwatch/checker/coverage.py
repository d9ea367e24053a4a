"""How far networks have been read: with its events all that a transfer is judged by. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainwatch.checker.flow import Step, WatchedStep


class Watched(NamedTuple):
    """The first block in which a step's events are watched, and that block's time (seconds).

    ``unread_until``: blocks up to this time were read before the events were watched, and are to be read again; None where
    there are no such blocks.
    """

    block: int
    timestamp: int
    unread_until: int | None = None


class Coverage(NamedTuple):
    """By network: until which chain time it was ``seen``, and the ``first`` block that was read with its time.

    ``watched`` holds the steps that were not watched from their network's first block on.
    """

    seen: Mapping[str, int]
    first: Mapping[str, tuple[int, int]]
    watched: Mapping[WatchedStep, Watched] = {}

    def watch_of(self, network: str, step: Step) -> Watched:
        """Return since when events of ``step`` are watched on ``network``."""
        known = self.watched.get((network, step.contract, step.watched_as))
        return known or Watched(*self.first.get(network, (0, 0)))
