"""How samples are rows of the database: labels as JSON, chunks with a checksum."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from chainwatch.promql.series import Labels
from chainwatch.store.samples import StoredChunk
from chainwatch.tsdb.chunks import DamagedChunk, encode
from chainwatch.tsdb.stored import CHUNK, StoredSeries

_CHECKSUM = 4


@dataclass(frozen=True, slots=True)
class Saved:
    """How much of a series is in chunks on disk: up to ``last``. The newest begins at ``start``, with ``count`` samples."""

    start: int = 0
    count: int = 0
    last: int = 0


def chunks_of(series: StoredSeries, saved: Saved) -> tuple[list[StoredChunk], Saved]:
    """Return chunks of the samples that are not saved, and how much is saved with them.

    Few samples are added to the newest chunk, which is then written anew. Safe while the series is appended to.
    """
    if series.newest < saved.last:  # the clock was set back
        saved = Saved()
    times, values = series.reaching(saved.last)
    first, end = bisect_right(times, saved.last), len(times)
    if first == end:
        return [], saved
    if saved.count and saved.count + end - first <= CHUNK:
        times, values = series.reaching(saved.start - 1)
        first, end = bisect_left(times, saved.start), len(times)
        last = times[end - 1]
        chunk = StoredChunk(series.id, saved.start, last, seal(encode(times[first:end], values[first:end])))
        return [chunk], Saved(saved.start, end - first, last)
    chunks = []
    for start in range(first, end, CHUNK):
        stop = min(start + CHUNK, end)
        data = seal(encode(times[start:stop], values[start:stop]))
        chunks.append(StoredChunk(series.id, times[start], times[stop - 1], data))
    return chunks, Saved(chunks[-1].start, stop - start, chunks[-1].last)


def write_labels(labels: Labels) -> bytes:
    """Return labels as they are stored."""
    return json.dumps(dict(labels.pairs), separators=(",", ":")).encode()


def read_labels(data: bytes) -> Labels:
    """Return stored labels. Raises ``ValueError``."""
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("no labels")
    return Labels(found)


def seal(data: bytes) -> bytes:
    """Return the bytes of a chunk with their checksum."""
    return zlib.crc32(data).to_bytes(_CHECKSUM, "little") + data


def unseal(data: bytes) -> bytes:
    """Return what was sealed. Raises ``DamagedChunk``."""
    chunk = data[_CHECKSUM:]
    if not chunk or zlib.crc32(chunk).to_bytes(_CHECKSUM, "little") != data[:_CHECKSUM]:
        raise DamagedChunk("the checksum is another")
    return chunk
