"""Values of invariants that are taken of stored events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.invariants.event_facts import EventMeasure
from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.store import invariant_events, invariants


def measure(
    connection: sa.Connection, invariant: Invariant, network: str, timestamp: int, block: int
) -> dict[str, Any]:
    """Return the values of stored events up to ``block`` of ``network``, whose time is ``timestamp``."""
    found: dict[str, Any] = {}
    for value in invariant.on(network):
        if (events := value.events) is not None:
            asked = (connection, network, events.kind, timestamp - events.within, timestamp, block)
            if events.take == "count" and events.where is None:
                found[value.name] = invariant_events.count_between(*asked)
                continue
            counted = invariant_events.events_between(*asked)
            if (taken := _take(events, counted)) is not None:
                found[value.name] = taken
    return found


def _take(events: EventMeasure, counted: Sequence[Mapping[str, Any]]) -> Any:
    """Return what is taken of events; None for the last of none."""
    if events.where is not None:
        counted = [args for args in counted if events.where in args]
    if events.argument is None:
        return len(counted)
    numbers = [args[events.argument] for args in counted if events.argument in args]
    if events.take == "sum":
        return sum(numbers)
    return numbers[-1] if numbers else None


def measure_again(connection: sa.Connection, invariant: Invariant, networks: Collection[str]) -> None:
    """Replace the values of events in what was read of ``networks``."""
    for network in networks:
        for reading in invariants.readings(connection, invariant.name, network):
            if reading.content is not None:
                content = {
                    **reading.content,
                    **measure(connection, invariant, network, reading.timestamp, reading.block),
                }
                invariants.replace_content(connection, reading._replace(content=content))
