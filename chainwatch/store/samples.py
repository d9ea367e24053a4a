"""Samples as rows: series, the batches that were appended last, and chunks of one series' samples each.

A batch is deleted once all of its samples are in chunks. What is in the bytes is the caller's. Times are Unix milliseconds.
All functions work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from chainwatch.store import bulk
from chainwatch.store.sample_tables import sample_batches, sample_chunks, sample_series


class StoredChunk(NamedTuple):
    """Samples of one series from ``start`` to ``last``."""

    series: int
    start: int
    last: int
    samples: bytes


def series(connection: sa.Connection) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the labels of each series, by number."""
    yield from bulk.select(connection, "SELECT id, labels FROM sample_series ORDER BY id")


def chunks(connection: sa.Connection) -> Iterator[StoredChunk]:
    """Yield all chunks by series and time."""
    statement = "SELECT series_id, start, last, samples FROM sample_chunks ORDER BY series_id, start"
    yield from map(StoredChunk._make, bulk.select(connection, statement))


def batches(connection: sa.Connection) -> Iterator[tuple[int, bytes]]:
    """Yield the batches in the order in which they came."""
    yield from bulk.select(connection, "SELECT id, samples FROM sample_batches ORDER BY id")


def add(connection: sa.Connection, new: Sequence[tuple[int, bytes]], batch: int, samples: bytes) -> None:
    """Store a batch, and the series that are new in it."""
    add_series(connection, new)
    bulk.insert(connection, sample_batches, ("id", "samples"), [(batch, samples)])


def add_series(connection: sa.Connection, new: Sequence[tuple[int, bytes]]) -> None:
    """Store the labels of series."""
    bulk.insert(connection, sample_series, ("id", "labels"), new)


def save(
    connection: sa.Connection, saved: Sequence[StoredChunk], kept: Sequence[tuple[int, int, int]]
) -> None:
    """Store chunks, in place of those that begin with the same sample.

    ``kept`` has series and two times: chunks that end before the first or begin after the second are deleted.
    """
    bulk.upsert(connection, sample_chunks, ("series_id", "start", "last", "samples"), saved)
    bulk.change(
        connection, "DELETE FROM sample_chunks WHERE series_id = ? AND (last <= ? OR start > ?)", kept
    )


def delete_series(connection: sa.Connection, gone: Sequence[int]) -> None:
    """Delete series with their chunks."""
    for table, column in ((sample_chunks, "series_id"), (sample_series, "id")):
        bulk.delete(connection, table, (column,), [(number,) for number in gone])


def delete_chunks(connection: sa.Connection, numbers: Sequence[int]) -> None:
    """Delete all chunks of series."""
    bulk.delete(connection, sample_chunks, ("series_id",), [(number,) for number in numbers])


def delete_batches(connection: sa.Connection, before: int) -> None:
    """Delete the batches with smaller numbers than ``before``."""
    bulk.change(connection, "DELETE FROM sample_batches WHERE id < ?", [(before,)])
