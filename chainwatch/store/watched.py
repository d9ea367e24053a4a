"""Since when each contract's events are watched on a network, and which blocks are still to be read for them (back-fill)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.model import ANY_TOPIC, WITH_TRANSACTION, Checkpoint, EventSource, bare_topic, event_id
from chainwatch.store import bulk
from chainwatch.store.tables import logs, networks, watched_sets


class WatchedSet(NamedTuple):
    """One contract's events with one first topic on one network.

    All of its logs from ``first_block`` on are stored, except those of the gap: the blocks ``gap_first``..``gap_last``,
    which are still to be read. ``last_block`` is set when it is not watched any more: the last block that is stored.
    ``gap_timestamp`` is the chain time of ``gap_last``.
    """

    network_id: int
    address: bytes
    topic0: bytes
    first_block: int
    first_timestamp: int
    gap_first: int | None = None
    gap_last: int | None = None
    gap_timestamp: int | None = None
    last_block: int | None = None

    @property
    def source(self) -> EventSource:
        """Identifies it within its network."""
        return self.address, self.topic0


class Gap(NamedTuple):
    """Blocks of a network that are still to be read for ``sources``; they are no older than ``since`` (chain time)."""

    first: int
    last: int
    since: int
    sources: frozenset[EventSource]


def load(connection: sa.Connection) -> dict[str, dict[EventSource, WatchedSet]]:
    """Return what is or was watched, by network."""
    statement = sa.select(networks.c.name, *(watched_sets.c[f] for f in WatchedSet._fields)).join(
        networks, networks.c.id == watched_sets.c.network_id
    )
    found: dict[str, dict[EventSource, WatchedSet]] = {}
    for name, number, address, topic0, *rest in connection.execute(statement):
        row = WatchedSet(number, bytes(address), bytes(topic0), *rest)
        found.setdefault(name, {})[row.source] = row
    return found


def begin(
    connection: sa.Connection, number: int, sources: Iterable[EventSource], block: int, timestamp: int
) -> None:
    """Note that ``sources`` of the network with the id ``number`` are watched from ``block`` on."""
    _save(connection, [WatchedSet(number, *source, block, timestamp) for source in sources])


def follow(
    connection: sa.Connection,
    checkpoints: Mapping[str, Checkpoint],
    wanted: Mapping[str, frozenset[EventSource]],
) -> None:
    """Watch ``wanted`` from the networks' ``checkpoints`` on, and note as gaps what was read before without watching it.

    A network without rows was read by an older version, which noted nothing: it was watched for the same logs from its
    first block on, without their transactions.
    """
    known = load(connection)
    pruned = {r.id: (r.pruned_block, r.pruned_timestamp) for r in connection.execute(sa.select(networks))}
    ids = {r.name: r.id for r in connection.execute(sa.select(networks.c.name, networks.c.id))}
    for network, checkpoint in checkpoints.items():
        number, sources = ids[network], wanted.get(network, frozenset())
        rows = known.get(network, {})
        if not rows:
            logs_alone = [source for source in sources if bare_topic(source[1]) == source[1]]
            begin(connection, number, logs_alone, checkpoint.first_block, checkpoint.first_timestamp)
            rows = load(connection).get(network, {})
        first = checkpoint.first_block, checkpoint.first_timestamp
        if pruned[number][0] is not None and pruned[number][0] >= first[0]:
            first = pruned[number][0] + 1, pruned[number][1] + 1
        changed = []
        for source in sources:
            row = rows.get(source) or _like_any(rows, source)
            if row is None:
                row = WatchedSet(number, *source, *first, last_block=first[0] - 1)
            changed.append(_resumed(row, checkpoint))
        changed += [
            row._replace(last_block=checkpoint.last.number)
            for source, row in rows.items()
            if source not in sources and row.last_block is None
        ]
        _save(connection, [row for row in changed if rows.get(row.source) != row])


def gap(connection: sa.Connection, network: str) -> Gap | None:
    """Return the blocks of ``network`` that are to be back-filled next; None when there are none."""
    open_ones = [row for row in load(connection).get(network, {}).values() if is_open(row)]
    if not open_ones:
        return None
    lowest = min(open_ones, key=lambda row: (row.gap_first, row.gap_last))
    same = [r for r in open_ones if (r.gap_first, r.gap_last) == (lowest.gap_first, lowest.gap_last)]
    assert lowest.gap_first is not None
    assert lowest.gap_last is not None
    return Gap(
        lowest.gap_first,
        lowest.gap_last,
        min(row.first_timestamp for row in same),
        frozenset(row.source for row in same),
    )


def is_open(row: WatchedSet) -> bool:
    """Return whether ``row`` is watched and has blocks that are still to be read."""
    return row.gap_first is not None and row.last_block is None


def narrow(connection: sa.Connection, network: str, sources: Iterable[EventSource], read_to: int) -> None:
    """Note that the gap of ``sources`` was read up to the block ``read_to``."""
    rows = load(connection).get(network, {})
    _save(connection, [_read_to(rows[source], read_to) for source in sources if source in rows])


def skip_to(connection: sa.Connection, network: str, block: int, timestamp: int) -> None:
    """Let gaps of ``network`` begin at ``block``, which was made at ``timestamp``: earlier blocks count as not watched."""
    rows = [row for row in load(connection).get(network, {}).values() if is_open(row)]
    _save(
        connection,
        [
            _read_to(row, block - 1)._replace(first_block=block, first_timestamp=timestamp)
            for row in rows
            if row.gap_first is not None and row.gap_first < block
        ],
    )


def give_up(connection: sa.Connection, network: str) -> None:
    """Give up the gaps of ``network``: what has one counts as not watched up to its end."""
    rows = [row for row in load(connection).get(network, {}).values() if is_open(row)]
    _save(connection, [_after_gap(row) for row in rows])


def cut(connection: sa.Connection, network: str, block: int) -> None:
    """Note that blocks of ``network`` after ``block`` were dropped: they are read again for all that is watched now."""
    rows = load(connection).get(network, {}).values()
    changed = []
    for row in rows:
        after = row
        if row.gap_last is not None and row.gap_last > block:
            after = after._replace(gap_last=block)
            if after.gap_first is not None and after.gap_first > block:
                after = _without_gap(after)
        if row.last_block is not None and row.last_block > block:
            after = after._replace(last_block=block)
        if after != row:
            changed.append(after)
    _save(connection, changed)


def assume_pruned(connection: sa.Connection, before: int) -> None:
    """Note that logs from before ``before`` (chain time) may have been deleted: older versions did so without a note."""
    for row in connection.execute(sa.select(networks).where(networks.c.first_timestamp < before)).all():
        here = logs.c.id.between(event_id(row.id, 0, 0), event_id(row.id + 1, 0, 0) - 1)
        oldest = connection.execute(
            sa.select(logs.c.id, logs.c.timestamp).where(here).order_by(logs.c.id).limit(1)
        ).first()
        if oldest is not None:
            block = ((oldest.id >> 20) & 0xFFFFFFFF) - 1
            note_pruned(connection, row.id, block, min(oldest.timestamp, before) - 1)


def begin_after_pruned(connection: sa.Connection) -> None:
    """Count everything as watched only from where no logs were deleted, before transfers are made again.

    For when transfers are made again from the stored logs.
    """
    for network, rows in load(connection).items():
        block, at = connection.execute(
            sa.select(networks.c.pruned_block, networks.c.pruned_timestamp).where(networks.c.name == network)
        ).one()
        if block is not None:
            _save(
                connection,
                [
                    _read_to(row, block)._replace(first_block=block + 1, first_timestamp=at + 1)
                    for row in rows.values()
                    if row.first_block <= block
                ],
            )


def note_pruned(connection: sa.Connection, number: int, block: int, timestamp: int) -> None:
    """Note that logs of the network with the id ``number`` up to ``block``, made at ``timestamp``, were deleted."""
    connection.execute(
        sa.update(networks)
        .where(networks.c.id == number)
        .values(pruned_block=block, pruned_timestamp=timestamp)
    )


def _save(connection: sa.Connection, rows: list[WatchedSet]) -> None:
    bulk.upsert(connection, watched_sets, WatchedSet._fields, rows)


def _like_any(rows: Mapping[EventSource, WatchedSet], source: EventSource) -> WatchedSet | None:
    """Return the row of ``source`` where all logs of its contract were watched; None where they were not."""
    address, topic = source
    any_topic = ANY_TOPIC if bare_topic(topic) == topic else WITH_TRANSACTION + ANY_TOPIC
    row = rows.get((address, any_topic))
    return None if row is None else row._replace(topic0=source[1])


def _resumed(row: WatchedSet, checkpoint: Checkpoint) -> WatchedSet:
    """Return ``row`` watched from ``checkpoint`` on, with the blocks in which it was not watched as its gap."""
    if row.last_block is None:
        return row
    if row.last_block < checkpoint.last.number:
        first = row.last_block + 1 if row.gap_first is None else min(row.gap_first, row.last_block + 1)
        row = row._replace(
            gap_first=first, gap_last=checkpoint.last.number, gap_timestamp=checkpoint.last.timestamp
        )
    return row._replace(last_block=None)


def _read_to(row: WatchedSet, block: int) -> WatchedSet:
    if row.gap_first is None or row.gap_last is None or row.gap_first > block:
        return row
    return row._replace(gap_first=block + 1) if block < row.gap_last else _without_gap(row)


def _without_gap(row: WatchedSet) -> WatchedSet:
    return row._replace(gap_first=None, gap_last=None, gap_timestamp=None)


def _after_gap(row: WatchedSet) -> WatchedSet:
    assert row.gap_last is not None
    assert row.gap_timestamp is not None
    return _without_gap(row)._replace(first_block=row.gap_last + 1, first_timestamp=row.gap_timestamp + 1)
