"""The bounds of a replay: turns block numbers or times, as users give them, into ranges of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from chainwatch.chain.history import block_at
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.plan import Plan
from chainwatch.replay.errors import ReplayError
from chainwatch.replay.reader.ranges import Range

FIRST_TIME = 1_000_000_000
"""Integers from here on are Unix seconds, smaller ones block numbers."""
HEAD_PATIENCE = 30.0
"""Seconds after which a replay gives up asking for the head."""


def parse_when(text: str) -> int | datetime:
    """Parse a block number or a moment.

    As in ``16233067``, ``1680682306`` (Unix seconds), ``2023-04-05``, ``2023-04-05T08:11:46Z``: integers below
    1,000,000,000 are block numbers. Times without a zone are UTC. Raises ``ValueError``.
    """
    if text.isdigit():
        number = int(text)
        try:
            return number if number < FIRST_TIME else datetime.fromtimestamp(number, UTC)
        except (OverflowError, OSError) as error:
            raise ValueError(f"{text} seconds is no time") from error
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def resolve_ranges(
    plan: Plan,
    pools: Mapping[str, Pool],
    start: Mapping[str, int | datetime],
    end: Mapping[str, int | datetime],
) -> list[Range]:
    """Return the block ranges between ``start`` and ``end``, given by network.

    A missing start is the network's ``start_block``, a missing end its head.
    Raises ``ReplayError`` for a range without blocks or a start that nothing names, ``ChainError`` where nothing answers.
    """
    ranges = []
    for network, pool in pools.items():
        newest = await pool.ask(Endpoint.head, HEAD_PATIENCE)
        begin: int | datetime | None = start.get(network, plan.settings.networks[network].start_block)
        if begin is None:
            raise ReplayError(
                f"nothing says where to begin on {network}: give --from, or networks.{network}.start_block in the config"
            )
        first = begin if isinstance(begin, int) else await block_at(pool, int(begin.timestamp()))
        until = end.get(network, newest.number)
        last = until if isinstance(until, int) else await block_at(pool, int(until.timestamp()) + 1) - 1
        last = min(last, newest.number)
        if first > last:
            raise ReplayError(
                f"the range of {network} holds no block: it begins at {first} and ends at {last}"
            )
        ranges.append(Range(network, first, last))
    return ranges
