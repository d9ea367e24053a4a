"""Events that invariants count. Times are chain time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from chainwatch.store import bulk, occurrences
from chainwatch.store.invariant_tables import invariant_events

Counted = tuple[str, int, int, str, str, int, dict[str, Any]]
"""An event: network, block, log index, contract, signature, timestamp, what is kept of it by name."""


def add_events(connection: sa.Connection, events: Iterable[Counted]) -> None:
    """Store events; those that are stored stay as they are."""
    columns = ("network", "block", "log_index", "contract", "signature", "timestamp", "args")
    rows = [(*event[:6], occurrences.encode_facts(dict(event[6]))) for event in events]
    bulk.insert(connection, invariant_events, columns, rows)


def events_after(
    connection: sa.Connection, network: str, kind: tuple[str, str], since: float
) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
    """Yield the events of ``kind`` after ``since``, in order: timestamp, block, log index, what is kept of each."""
    e = invariant_events.c
    here = (e.network == network, e.contract == kind[0], e.signature == kind[1], e.timestamp > since)
    query = sa.select(e.timestamp, e.block, e.log_index, e.args).where(*here)
    for row in connection.execute(query.order_by(e.timestamp, e.block, e.log_index)):
        yield row.timestamp, row.block, row.log_index, occurrences.decode_facts(row.args)


def blocks_of(
    connection: sa.Connection, network: str, kind: tuple[str, str], fact: str | None
) -> Iterator[int]:
    """Yield the blocks of ``network`` with an event of ``kind`` that has the ``fact``, if one is named."""
    for _, block, _, args in events_after(connection, network, kind, -1):
        if fact is None or fact in args:
            yield block


def drop_events(connection: sa.Connection, network: str, positions: Iterable[tuple[int, int]]) -> None:
    """Delete the events of ``network`` at ``positions`` (block, log index)."""
    e = invariant_events.c
    for block, log_index in positions:
        here = sa.and_(e.network == network, e.block == block, e.log_index == log_index)
        connection.execute(sa.delete(invariant_events).where(here))


def forget_events(connection: sa.Connection) -> None:
    """Delete all events."""
    connection.execute(sa.delete(invariant_events))


def prune_events(connection: sa.Connection, before: int, limit: int) -> int:
    """Delete up to ``limit`` events from before ``before`` (chain time); return how many."""
    e = invariant_events.c
    old = sa.select(e.network, e.block, e.log_index).where(e.timestamp < before).limit(limit)
    rows = connection.execute(old).all()
    for row in rows:
        drop_events(connection, row.network, [(row.block, row.log_index)])
    return len(rows)
