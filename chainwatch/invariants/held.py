"""Finds the last block at which an invariant held before a breach: by bisection over history, after the alert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from chainwatch.chain.errors import ChainError, NodeError, NotThere
from chainwatch.chain.history import header_at
from chainwatch.chain.pool import Pool
from chainwatch.checker.expression import EvaluationError
from chainwatch.checker.invariants import judge as rules
from chainwatch.checker.invariants.extractor import INVARIANTS
from chainwatch.checker.invariants.invariant import Invariant, gather, of_block
from chainwatch.checker.invariants.judge import HELD_BLOCK, VIOLATED
from chainwatch.invariants import judging
from chainwatch.invariants.reads import answered, read_outcomes
from chainwatch.model import Header
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import invariants
from chainwatch.store.invariants import RaisedAlert

BLOCKS_MOST = 48
"""Blocks that are read for one breach: enough for a bisection of any chain, with steps back before it."""
BLOCKS_A_PASS = 4
"""Blocks that are read at a time: those of new blocks come between."""

Key = tuple[str, int, int]
"""A breach: the invariant, its first block, and when that was."""


class HeldFound(msgspec.Struct, frozen=True):
    """The last block at which the invariant ``name`` held before its breach at ``block`` of ``network``."""

    name: str
    network: str
    block: int
    held: Header

    @property
    def checker(self) -> str:
        """See ``chainwatch.model.ReadResult``."""
        return INVARIANTS


class Search(msgspec.Struct):
    """A search: ``held`` is the newest block known to hold, ``broken`` the oldest known not to, later than ``held``."""

    invariant: Invariant
    block: int
    broken: int
    held: int | None
    step: int = 1
    blocks_read: int = 0
    found: Header | None = None


class Searches:
    """The searches on one network that are under way; in memory, as each is short: after a restart it begins anew."""

    def __init__(self) -> None:
        self._open: dict[Key, Search] = {}
        self._done: set[Key] = set()

    def wanted(
        self, connection: sa.Connection, network: str, running: Mapping[str, Invariant]
    ) -> list[Search]:
        """Return the searches for breaches on ``network`` that are still to be made."""
        standing = {_key(alert): alert for alert in invariants.violated_on(connection, network)}
        self._done &= standing.keys()
        found = {}
        for key, alert in standing.items():
            invariant = running.get(alert.name)
            if key in self._done or invariant is None or not _is_searchable(invariant):
                continue
            held = alert.annotations.get(HELD_BLOCK)
            begun = Search(invariant, alert.block, alert.block, None if held is None else int(held))
            found[key] = self._open.get(key, begun)
        self._open = found
        return list(found.values())

    async def read(self, pool: Pool) -> AsyncIterator[HeldFound]:
        """Go on with what is wanted; yield what is found."""
        for key, search in list(self._open.items()):
            if await _go_on(pool, search):
                del self._open[key]
                self._done.add(key)
                if search.found is not None:
                    yield HeldFound(search.invariant.name, pool.network.name, search.block, search.found)


def apply(work: Work, found: HeldFound) -> None:
    """Add what was found to the alert about the breach, if that still stands."""
    connection = work.connection
    alert = invariants.raised(connection, found.name).get(VIOLATED)
    if alert is None or (alert.network, alert.block) != (found.network, found.block):
        return
    held = found.held
    annotations = rules.with_held(dict(alert.annotations), found.network, held.number, held.timestamp)
    judging.raise_alert(work, alert._replace(annotations=annotations), (held.number, held.timestamp))


def _key(alert: RaisedAlert) -> Key:
    return alert.name, alert.block, alert.starts_at


def _is_searchable(invariant: Invariant) -> bool:
    """Return whether what the invariant reads can be read of any block alone."""
    is_state = all(value.reads or value.block is not None for value in invariant.values)
    depends = invariant.reads_previous or invariant.windows
    return is_state and len(invariant.networks) == 1 and not depends


async def _go_on(pool: Pool, search: Search) -> bool:
    """Read some more blocks; return whether there is nothing more to be found."""
    for _ in range(BLOCKS_A_PASS):
        if search.held is None:
            number = search.broken - search.step
            search.step *= 2
        else:
            number = (search.held + search.broken) // 2
        if number < 0 or number == search.held or search.blocks_read >= BLOCKS_MOST:
            return True
        search.blocks_read += 1
        try:
            header = await header_at(pool, number)
            holds = await _holds(pool, search.invariant, header)
        except (
            NotThere,
            NodeError,
            EvaluationError,
            ValueError,
        ):  # the state is gone, or there was no contract yet
            return True
        except ChainError:  # no endpoint answers now
            return False
        if holds:
            search.held, search.found = number, header
        else:
            search.broken = number
    return False


async def _holds(pool: Pool, invariant: Invariant, header: Header) -> bool:
    """Return whether it holds at a block. Raises ``ChainError``, ``EvaluationError`` or ``ValueError`` for no answer."""
    network = pool.network.name
    values = [value for value in invariant.on(network) if network in value.reads]
    outcomes = await read_outcomes(pool, header, [value.reads[network] for value in values], 0.0)
    content: dict[str, Any] = of_block(invariant, header, network)
    for value, outcome in zip(values, outcomes, strict=True):
        content[value.name] = value.parse(answered(outcome))
    return invariant.holds(gather(invariant, {network: content}, network), None)
