"""Until when a network counts as seen while no new block comes (S5): pure."""

from __future__ import annotations

from chainwatch.config import NetworkSettings
from chainwatch.model import Header

SEEN_MARGIN = 2
"""Seconds by which a network is seen less far than now: a busy node shows a block some time after the second that its
timestamp names. One whose block time is longer is seen that much less far, as its next block may be under way."""


def seen_beyond(network: NetworkSettings, head: Header, proven: float, clock: float) -> int | None:
    """Until when (Unix seconds) ``network`` is seen by standing at ``head``; None when that proves no more than its blocks.

    It was asked for its head when the time was ``proven`` at least, and ``clock`` by the clock. A head that should have
    had a child long ago proves nothing: a stopped sequencer backdates its next blocks, and a stuck node hides them. Nor
    does one prove more than its child's usual time, by which that may be backdated already.
    """
    block_time = network.block_time or 0.0
    age = max(proven, clock) - head.timestamp
    if network.block_time is not None and age > 2 * block_time + SEEN_MARGIN:
        return None
    until = int(proven - max(block_time, SEEN_MARGIN) - network.backdated)
    return until if network.block_time is None else min(until, head.timestamp + int(block_time))
