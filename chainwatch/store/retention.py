"""Deletes what is old and finished, in steps so small that no other write waits long."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

import sqlalchemy as sa

from chainwatch.model import LOGS_A_BLOCK, event_id
from chainwatch.store import (
    access,
    definitions,
    invariant_breaches,
    invariant_events,
    step_events,
    step_ranges,
    transfer_index,
    transfer_totals,
    watched,
)
from chainwatch.store.alerting import alerts, incidents, limits, outbox, receipts, silences
from chainwatch.store.tables import PRUNABLE, deadlines, headers, logs, networks, transactions, transfers
from chainwatch.store.transfer_totals import Total, place


def horizon(connection: sa.Connection, keep_for: float, now: float) -> float:
    """Return the time before which rows may be deleted: ``keep_for`` seconds before ``now`` (Unix seconds).

    A clock that is ahead deletes nothing too early: what was seen of the networks last counts where that is before ``now``.
    """
    seen = connection.execute(sa.select(sa.func.max(networks.c.seen_until))).scalar_one()
    return (now if seen is None else min(now, seen)) - keep_for


def prune(connection: sa.Connection, before: int, wall_before: float, limit: int) -> int:
    """Delete up to ``limit`` rows of what is finished; return how many, 0 when nothing is left to delete.

    Transfers whose last event lies before ``before`` (chain time), unless they are unfinished or an alert about them
    fires; events that invariants counted before then, and their breaches that ended; logs of blocks before it, unless a
    reorg may still reach them (transfers carry what they need of their logs); notifications finished, incidents over and
    alerts resolved before ``wall_before`` (Unix seconds), unless a notification about them is still to be sent; silences
    that ended, and what was audited, before then.
    """
    gone = _prune_transfers(connection, before, limit)
    gone += _prune_logs(connection, before, limit - gone)
    gone += step_ranges.prune(connection, before, limit - gone)
    gone += invariant_events.prune_events(connection, before, limit - gone)
    gone += invariant_breaches.prune(connection, before, limit - gone)
    gone += definitions.prune(connection, wall_before, limit - gone)
    gone += transfer_index.prune(connection, before, limit - gone)
    gone += outbox.prune(connection, wall_before, limit - gone)
    gone += incidents.prune(connection, wall_before, limit - gone)
    gone += alerts.prune(connection, wall_before, limit - gone)
    gone += silences.prune(connection, wall_before, limit - gone)
    gone += limits.prune_notified_at(connection, wall_before, limit - gone)
    gone += receipts.prune(connection, wall_before, limit - gone)
    gone += access.prune(connection, wall_before, limit - gone)
    return gone


def _prune_transfers(connection: sa.Connection, before: int, limit: int) -> int:
    awaited = sa.exists().where(deadlines.c.transfer_id == transfers.c.id)
    old = sa.select(transfers.c.id).where(PRUNABLE, transfers.c.last_at < before, ~awaited).limit(limit)
    t = transfers.c
    gone = (
        sa.delete(transfers)
        .where(t.id.in_(old))
        .returning(t.id, t.digest, t.flow, t.origin, t.destination, t.status)
    )
    rows = connection.execute(gone).all()
    step_events.prune(connection, [row.digest for row in rows])
    transfer_index.forget(connection, [row.id for row in rows])
    fewer: Counter[Total] = Counter()
    for row in rows:
        fewer[Total(row.flow, place(row.origin), place(row.destination), row.status)] -= 1
    transfer_totals.add(connection, fewer.items())
    return len(rows)


def _prune_logs(connection: sa.Connection, before: int, limit: int) -> int:
    """Delete from the oldest log on: a network's logs are stored in the order of their blocks, so that needs no search."""
    window = sa.select(sa.func.min(headers.c.number)).where(headers.c.network_id == networks.c.id)
    gone = 0
    for number, oldest_header in connection.execute(sa.select(networks.c.id, window.scalar_subquery())).all():
        first = event_id(number, 0, 0)
        end = event_id(number + 1, 0, 0) if oldest_header is None else event_id(number, oldest_header + 1, 0)
        oldest = (
            sa.select(logs.c.id, logs.c.timestamp)
            .where(logs.c.id >= first, logs.c.id < end)
            .order_by(logs.c.id)
            .limit(limit - gone)
        )
        old = list(takewhile(lambda row: row.timestamp < before, connection.execute(oldest)))
        if old:
            gone += connection.execute(
                sa.delete(logs).where(logs.c.id.between(old[0].id, old[-1].id))
            ).rowcount
            end_of_block = old[-1].id - old[-1].id % LOGS_A_BLOCK  # more logs of that block may be left
            connection.execute(
                sa.delete(transactions).where(transactions.c.id.between(first, end_of_block - 1))
            )
            watched.note_pruned(connection, number, (old[-1].id >> 20) & 0xFFFFFFFF, old[-1].timestamp)
    return gone
