"""Values of invariants that are taken of stored events."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from chainwatch.checker.invariants.invariant import Invariant
from chainwatch.invariants.kept_events import KeptEvents
from chainwatch.store import invariants


def measure(
    connection: sa.Connection,
    kept: KeptEvents,
    invariant: Invariant,
    network: str,
    timestamp: int,
    block: int,
) -> dict[str, Any]:
    """Return the values of stored events up to ``block`` of ``network``, whose time is ``timestamp``."""
    found: dict[str, Any] = {}
    for value in invariant.on(network):
        if value.events is not None:
            taken = kept.measure(connection, value.events, network, timestamp, block)
            if taken is not None:
                found[value.name] = taken
    return found


def measure_again(
    connection: sa.Connection, kept: KeptEvents, invariant: Invariant, networks: Collection[str]
) -> None:
    """Replace the values of events in what was read of ``networks``."""
    for network in networks:
        for reading in invariants.readings(connection, invariant.name, network):
            if reading.content is not None:
                content = {
                    **reading.content,
                    **measure(connection, kept, invariant, network, reading.timestamp, reading.block),
                }
                invariants.replace_content(connection, reading._replace(content=content))
