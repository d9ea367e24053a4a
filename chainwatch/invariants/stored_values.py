"""Adds what follows from the database to what was read for a check: values of flows, of the past, and accepted ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.invariants.flow_measure import Moment
from chainwatch.checker.invariants.history_parser import KEPT_ACCEPTED, earlier
from chainwatch.checker.invariants.invariant import Invariant, Values, gather
from chainwatch.invariants.kept_accepted import KeptAccepted
from chainwatch.invariants.kept_transfers import KeptTransfers
from chainwatch.store import invariant_history, invariants
from chainwatch.store.invariant_history import Past
from chainwatch.store.invariants import Check, Place, Reading

BUCKETS = 60
"""Spans into which the shortest time is cut over which a condition reads a change: of each, one check is kept."""

REORGS = 1_800
"""Seconds for which values are kept beyond what is read: a reorg goes back to earlier blocks."""


def with_stored(
    connection: sa.Connection,
    invariant: Invariant,
    check: Check,
    readings: Mapping[Place, Reading],
    kept: KeptTransfers,
    accepted: KeptAccepted,
) -> Reading | None:
    """Return the reading at the block of ``check`` with these values, still wanted while transfers are loaded aside.

    None while anything else is not read.

    All networks are seen up to the check's time, so that the events up to then are known.
    """
    positions = check.positions or {}
    found = {network: readings.get((invariant.name, network, block)) for network, block in positions.items()}
    own = readings.get((invariant.name, check.network, check.block))
    if own is None or any(one is None or one.is_wanted or one.content is None for one in found.values()):
        return None
    moment = Moment(check.timestamp, positions)
    content: dict[str, Any] = {**(own.content or {})}
    for value in invariant.values:
        if value.flow is not None:
            measured = kept.measure(connection, value.flow, moment, check.network)
            if measured is None:
                return own._replace(is_wanted=True)
            content[value.name] = measured
    contents = {network: one.content or {} for network, one in found.items() if one is not None}
    try:
        values = gather(invariant, {**contents, check.network: content}, check.network)
    except KeyError:  # such as the last event of none
        values = {}
    if invariant.windows and values:
        content |= _past(connection, invariant, check, values)
    is_changed = content != own.content
    if invariant.reads_accepted and values:
        known = content[KEPT_ACCEPTED] = accepted.values_for(connection, invariant, check, values)
        is_changed |= known is not None and any(values[name] != value for name, value in known.items())
    reading = own._replace(content=content)
    if is_changed:  # where all is as it was accepted, as mostly, there is nothing to be shown of it
        invariants.replace_content(connection, reading)
    return reading


def _past(connection: sa.Connection, invariant: Invariant, check: Check, values: Values) -> dict[str, Any]:
    """Return the values as they were, by what conditions call them, and keep those of ``check`` for later ones."""
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
