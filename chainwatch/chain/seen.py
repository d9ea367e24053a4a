"""Until when a network counts as seen while no new block arrives (S5): pure."""

from __future__ import annotations

from chainwatch.config import NetworkSettings
from chainwatch.model import Header

SEEN_MARGIN = 2
"""Seconds before now until which a network is seen: a busy node serves a block some time after its timestamp. Where the
block time is longer, the block time counts instead, as the next block may be under way."""


def seen_beyond(network: NetworkSettings, head: Header, proven: float, clock: float) -> int | None:
    """Return until when (Unix seconds) ``network`` is seen by standing at ``head``; None if no farther than its blocks.

    The head was asked for when the time was at least ``proven``, and ``clock`` by this machine's clock (Unix seconds).
    A head that should have had a child long ago proves nothing: a stopped sequencer backdates its next blocks, and a
    stuck node hides them. No head proves more than the usual time of its child, which may be backdated to that already.
    """
    block_time = network.block_time or 0.0
    age = max(proven, clock) - head.timestamp
    if network.block_time is not None and age > 2 * block_time + SEEN_MARGIN:
        return None
    until = int(proven - max(block_time, SEEN_MARGIN) - network.backdated)
    return until if network.block_time is None else min(until, head.timestamp + int(block_time))
