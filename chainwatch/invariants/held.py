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
from chainwatch.checker.invariants.judge import VIOLATED
from chainwatch.invariants.reads import answered, read_outcomes
from chainwatch.model import Header, Signal
from chainwatch.pipeline.unit_of_work import Work
from chainwatch.store import invariant_breaches, invariants

BLOCKS_MOST = 48
"""Blocks that are read for one breach: enough for a bisection of any chain, with steps back before it."""
SEARCHES_AT_ONCE = 20
BLOCKS_A_PASS = 4
"""Blocks that are read at a time: those of new blocks come between."""


class HeldFound(msgspec.Struct, frozen=True):
    """The last block at which the invariant ``name`` held before its breach at ``block``; None where none was found."""

    name: str
    network: str
    block: int
    held: Header | None

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
        self._open: dict[tuple[str, int], Search] = {}

    def load(self, connection: sa.Connection, network: str, running: Mapping[str, Invariant]) -> bool:
        """Take up the breaches on ``network`` before which blocks are to be searched; return whether there are any."""
        found = {}
        for breach in invariant_breaches.unsearched(connection, network, SEARCHES_AT_ONCE):
            if (invariant := running.get(breach.name)) is not None:
                key = (breach.name, breach.block)
                begun = Search(invariant, breach.block, breach.block, breach.held_block)
                found[key] = self._open.get(key, begun)
        self._open = found
        return bool(found)

    async def read(self, pool: Pool) -> AsyncIterator[HeldFound]:
        """Go on with the searches; yield what is found."""
        for search in list(self._open.values()):
            if await _go_on(pool, search):
                yield HeldFound(search.invariant.name, pool.network.name, search.block, search.found)


def apply(work: Work, found: HeldFound) -> None:
    """Add what was found to the breach and to the alert about it, which may have ended meanwhile."""
    connection, held = work.connection, found.held
    breach = invariant_breaches.find(connection, found.name, found.network, found.block)
    if breach is None or breach.is_searched:
        return
    breach = breach._replace(is_searched=True)
    if held is not None:
        annotations = rules.with_held(dict(breach.annotations), found.network, held.number, held.timestamp)
        breach = breach._replace(annotations=annotations, held_block=held.number, held_at=held.timestamp)
        alert = invariants.raised(connection, found.name).get(VIOLATED)
        if alert is not None and (alert.network, alert.block) == (found.network, found.block):
            invariants.save_raised(connection, alert._replace(annotations=annotations))
        ends_at, reason = breach.ends_at, breach.reason or ""
        signal = Signal(breach.labels, breach.starts_at, annotations, ends_at, reason, source="invariant")
        work.signals.append(signal)
    invariant_breaches.save(connection, breach)


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
        except (NotThere, NodeError, EvaluationError, ValueError):
            return True  # the state is gone, or there was no contract yet
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
