"""What was appended and is not on disk yet, in the order in which it came; and how it is written there."""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chainwatch.tsdb.packing import Integers, differences
from chainwatch.tsdb.stored import StoredSeries

_HEAD = struct.Struct("<I")
SAMPLES_MAX = 2_000_000
"""Samples of one batch."""


class Entries(NamedTuple):
    """Samples as columns: the series of each, its time, its value."""

    series: list[StoredSeries]
    times: array[int]
    values: array[float]

    def extend(self, more: Entries) -> None:
        """Add entries behind these."""
        self.series.extend(more.series)
        self.times.extend(more.times)
        self.values.extend(more.values)


class Columns(NamedTuple):
    """Samples as they were read: the number of the series of each, its time, its value."""

    series: Integers
    times: Integers
    values: npt.NDArray[np.float64]


class DamagedBatch(ValueError):
    """Bytes are no batch of samples."""


def no_entries() -> Entries:
    """Return columns without samples."""
    return Entries([], array("q"), array("d"))


def encode_batch(series: Iterable[int], times: array[int], values: array[float]) -> bytes:
    """Return samples as bytes for ``decode_batch``: columns of bytes of differences, deflated."""
    numbers = np.fromiter(series, np.int64, len(times))
    columns = (
        differences(numbers),
        differences(np.frombuffer(times, np.int64)),
        np.frombuffer(values, np.int64),
    )
    parts = [column.view(np.uint8).reshape(-1, 8).T.tobytes() for column in columns]
    return _HEAD.pack(len(times)) + zlib.compress(b"".join(parts), 1)


def decode_batch(data: bytes) -> Columns:
    """Return the samples of a batch, bit for bit. Raises ``DamagedBatch``."""
    try:
        (count,) = _HEAD.unpack_from(data)
        if not 0 < count <= SAMPLES_MAX:
            raise DamagedBatch(f"{count} samples")
        deflated = zlib.decompressobj()
        inflated = deflated.decompress(data[_HEAD.size :], count * 24 + 1)
        if len(inflated) != count * 24 or not deflated.eof:  # its checksum is at its end
            raise DamagedBatch(f"{len(inflated)} bytes for {count} samples")
        parts = np.frombuffer(inflated, np.uint8).reshape(3, 8, count)
        numbers, times, values = (
            np.ascontiguousarray(part.T).view(np.int64).reshape(count) for part in parts
        )
    except (ValueError, struct.error, zlib.error) as error:
        raise DamagedBatch(str(error)) from error
    return Columns(np.cumsum(numbers), np.cumsum(times), values.view(np.float64))
