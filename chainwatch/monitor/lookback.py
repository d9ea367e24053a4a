"""How far back a network is read that others were read before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chainwatch.checker.flow import Flow
from chainwatch.model import Checkpoint


def reach_back(
    checkpoints: Mapping[str, Checkpoint], flows: Iterable[Flow], network: str, now: float
) -> int | None:
    """Return the time from which on blocks of a network read for the first time may hold steps of open transfers.

    That is the time since when other networks are read, but no longer ago than a step may take.
    """
    longest = max((step.within for flow in flows for step in flow.expected), default=0)
    others = [c.first_timestamp for other, c in checkpoints.items() if other != network]
    return max(min(others), int(now) - longest) if others else None
