"""The samples of the last process, from what it stored."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from chainwatch.promql.series import Labels, Samples
from chainwatch.rule_engine.sample_rows import Saved, read_labels, unseal
from chainwatch.store import samples
from chainwatch.tsdb.chunks import DamagedChunk, count_samples, decode, encode
from chainwatch.tsdb.journal import Columns, DamagedBatch, decode_batch
from chainwatch.tsdb.packing import Integers
from chainwatch.tsdb.stored import Chunk, StoredSeries

_SIZE = 8
"""Bytes of a time or value."""
_NEVER = 2**63 - 1


@dataclass(slots=True)
class Restored:
    """What was stored: the series with their samples, and which batches are needed still.

    ``unsaved`` has by series the number of the first batch with samples that are in no chunk, and how many there are.
    """

    series: list[StoredSeries] = field(default_factory=list)
    saved: dict[StoredSeries, Saved] = field(default_factory=dict)
    unsaved: dict[StoredSeries, tuple[int, int]] = field(default_factory=dict)
    batches: dict[int, int] = field(default_factory=dict)
    """How many bytes each batch has."""
    next_series: int = 1
    damaged: int = 0
    """Rows that were skipped."""
    gone: set[int] = field(default_factory=set)
    """Series of which there is nothing to be put back, to be deleted."""


def restore(connection: sa.Connection) -> Restored:
    """Return what is stored; damaged rows are skipped and counted."""
    restored = Restored()
    known: dict[int, StoredSeries] = {}
    numbers: dict[Labels, int] = {}
    for number, labels in samples.series(connection):
        restored.next_series = max(restored.next_series, number + 1)
        try:
            series = StoredSeries(read_labels(labels), 0, stagger=number)
        except ValueError:
            restored.damaged += 1
            restored.gone.add(number)
            continue
        series.id = number
        known[number] = series
        before = numbers.get(series.labels)
        if before is not None:  # forgotten before the end of the last process, and not deleted yet
            del known[before]
            restored.gone.add(before)
        numbers[series.labels] = number
    _restore_chunks(connection, known, restored)
    _restore_batches(connection, known, restored)
    for series in known.values():
        if series.chunks and not series.times:
            try:
                series.restore((), _reopened(series))
            except DamagedChunk:
                restored.damaged += 1
    restored.series = [series for series in known.values() if series.times]
    restored.gone.update(series.id for series in known.values() if not series.times)
    return restored


def _restore_chunks(connection: sa.Connection, known: dict[int, StoredSeries], restored: Restored) -> None:
    chunks: dict[StoredSeries, list[Chunk]] = {}
    for stored in samples.chunks(connection):
        series = known.get(stored.series)
        if series is None:
            restored.gone.add(stored.series)
            continue
        kept = chunks.setdefault(series, [])
        try:
            data = _later(unseal(bytes(stored.samples)), stored.start, kept[-1].last if kept else 0)
            count = count_samples(data) if data else 0
        except ValueError:
            restored.damaged += 1
            continue
        if count:
            kept.append(Chunk(stored.last, data))
            restored.saved[series] = Saved(stored.start, count, stored.last)
    for series, kept in chunks.items():
        series.chunks = tuple(kept)


def _reopened(series: StoredSeries) -> Samples:
    """Return the newest samples of a series that has all of its samples in chunks, no longer in a chunk."""
    newest = series.chunks[-1].data
    series.chunks = series.chunks[:-1]
    return decode(newest)


def _later(data: bytes, start: int, last: int) -> bytes:
    """Return the samples after ``last``. Two chunks overlap where one was stored and that did not become known."""
    if start > last:
        return data
    times, values = decode(data)
    first = bisect_right(times, last)
    return encode(times[first:], values[first:]) if first < len(times) else b""


def _restore_batches(connection: sa.Connection, known: dict[int, StoredSeries], restored: Restored) -> None:
    """Add what came after the chunks: samples of each series in the order of the batches, which is that of their times.

    Of a batch that was written twice one counts. Samples later than those that followed are of a clock that was ahead.
    """
    columns: list[Columns] = []
    numbers: list[int] = []
    for number, data in samples.batches(connection):
        restored.batches[number] = len(data)
        try:
            batch = decode_batch(bytes(data))
        except DamagedBatch:
            restored.damaged += 1
            continue
        columns.append(batch)
        numbers.append(number)
    if not columns:
        return
    ids = np.concatenate([one.series for one in columns])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    times = np.concatenate([one.times for one in columns])[order]
    kept = _later_than_saved(ids, times, known, restored.saved)
    ids, times, order = ids[kept], times[kept], order[kept]
    if not len(ids):
        return
    values = np.concatenate([one.values for one in columns])[order].tobytes()
    batches = np.repeat(np.array(numbers), [len(one.series) for one in columns])[order]
    starts = _starts(ids)
    moments = times.tobytes()
    for number, batch, start, end in zip(
        ids[starts].tolist(),
        batches[starts].tolist(),
        starts.tolist(),
        [*starts[1:].tolist(), len(ids)],
        strict=True,
    ):
        series = known[number]
        restored.unsaved[series] = batch, end - start
        part = slice(start * _SIZE, end * _SIZE)
        series.restore((), (array("q", moments[part]), array("d", values[part])))


def _later_than_saved(
    ids: Integers, times: Integers, known: Mapping[int, StoredSeries], saved: Mapping[StoredSeries, Saved]
) -> npt.NDArray[np.bool_]:
    """Return which samples are later than those in chunks, and earlier than those after them; ``ids`` are in order."""
    starts = _starts(ids)
    lengths = np.diff(starts, append=len(ids))
    nothing = Saved()
    lasts = [
        saved.get(known[number], nothing).last if number in known else _NEVER
        for number in ids[starts].tolist()
    ]
    kept = times > np.repeat(np.array(lasts, np.int64), lengths)
    rising = (np.diff(times) > 0) | (np.diff(ids) != 0)
    if not rising.all():
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            some = times[start : start + length]
            after = np.minimum.accumulate(np.append(some[1:], _NEVER)[::-1])[::-1]
            kept[start : start + length] &= some < after
    return kept


def _starts(ids: Integers) -> Integers:
    """Return where each series begins."""
    return np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
