"""Adds what follows from the database to what was read for a check: values of flows, and values of the past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from chainwatch.checker.invariants.flow_measure import Counted, FlowMeasure, Moment, count, measure
from chainwatch.checker.invariants.history_parser import earlier
from chainwatch.checker.invariants.invariant import Invariant, gather
from chainwatch.store import invariant_history, invariants, transfers
from chainwatch.store.invariant_history import Past
from chainwatch.store.invariants import Check, Place, Reading

BUCKETS = 60
"""Spans into which the shortest time is cut over which a condition reads a change: of each, one check is kept."""

REORGS = 1_800
"""Seconds for which values are kept beyond what is read: a reorg goes back to earlier blocks."""


Counts: TypeAlias = WeakKeyDictionary[FlowMeasure, dict[int, tuple[tuple[str, bytes], Counted | None]]]
"""By measure and transfer, what it counted as when its state was this."""


def with_stored(
    connection: sa.Connection,
    invariant: Invariant,
    check: Check,
    readings: Mapping[Place, Reading],
    counts: Counts,
) -> Reading | None:
    """Return the reading at the block of ``check`` with these values; None while anything else is not read.

    All networks are seen up to the check's time, so that the events up to then are known. ``counts`` is kept from one time
    to the next.
    """
    positions = check.positions or {}
    found = {network: readings.get((invariant.name, network, block)) for network, block in positions.items()}
    own = readings.get((invariant.name, check.network, check.block))
    if own is None or any(one is None or one.is_wanted or one.content is None for one in found.values()):
        return None
    moment = Moment(check.timestamp, positions)
    content: dict[str, Any] = {**(own.content or {})}
    content |= {
        value.name: _measure(connection, value.flow, moment, counts)
        for value in invariant.values
        if value.flow is not None
    }
    if invariant.windows:
        contents = {network: one.content or {} for network, one in found.items() if one is not None}
        content |= _past(connection, invariant, check, {**contents, check.network: content})
    reading = own._replace(content=content)
    invariants.replace_content(connection, reading)
    return reading


def _measure(connection: sa.Connection, wanted: FlowMeasure, moment: Moment, counts: Counts) -> int:
    """Return what is taken of transfers; of those that have not changed since the last time, ``counts`` has it."""
    known = counts.get(wanted, {})
    found = {}
    for alive in transfers.alive_since(connection, wanted.flow.name, moment.timestamp - wanted.within):
        before = known.get(alive.id)
        if before is None or before[0] != alive.state:
            before = (alive.state, count(wanted, alive.decode()))
        found[alive.id] = before
    counts[wanted] = found
    return measure(wanted, (one for _, one in found.values() if one is not None), moment)


def _past(
    connection: sa.Connection, invariant: Invariant, check: Check, contents: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the values as they were, by what conditions call them, and keep those of ``check`` for later ones."""
    try:
        values = gather(invariant, contents, check.network)
    except KeyError:  # such as the last event of none
        return {}
    span = max(1, min(invariant.windows) // BUCKETS)
    past = Past(
        check.network, check.block, check.timestamp, {one.name: values[one.name] for one in invariant.values}
    )
    invariant_history.note(connection, invariant.name, check.timestamp // span, past)
    oldest = check.timestamp - max(invariant.windows) - REORGS
    invariant_history.drop_before(connection, invariant.name, oldest)
    return {
        earlier(seconds): invariant_history.newest_until(
            connection, invariant.name, check.timestamp - seconds
        )
        for seconds in invariant.windows
    }
