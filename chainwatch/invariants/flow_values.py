"""Adds what invariants read of flows to what was read at the blocks of a check: as of the check's moment."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from chainwatch.checker.invariants.flow_measure import FlowMeasure, Moment, measure
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.store import invariants, transfers
from chainwatch.store.invariants import Check, Place, Reading


def measured(
    connection: sa.Connection,
    invariant: Invariant,
    check: Check,
    readings: Mapping[Place, Reading],
) -> Reading | None:
    """Return the reading at the block of ``check`` with the values of flows; None while anything else is not read.

    All networks are seen up to the check's time, so that the events up to then are known.
    """
    positions = check.positions or {}
    found = [readings.get((invariant.name, network, block)) for network, block in positions.items()]
    own = readings.get((invariant.name, check.network, check.block))
    if own is None or any(one is None or one.is_wanted or one.content is None for one in found):
        return None
    moment = Moment(check.timestamp, positions)
    values = {
        value.name: _measure(connection, value.flow, moment)
        for value in invariant.values
        if value.flow is not None
    }
    reading = own._replace(content={**(own.content or {}), **values})
    invariants.replace_content(connection, reading)
    return reading


def _measure(connection: sa.Connection, wanted: FlowMeasure, moment: Moment) -> int:
    alive = transfers.alive_since(connection, wanted.flow.name, moment.timestamp - wanted.within)
    return measure(wanted, alive, moment)
