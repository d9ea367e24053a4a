"""What was appended and is not on disk yet, in the order in which it came."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from chainwatch.tsdb.stored import StoredSeries


class Entries(NamedTuple):
    """Samples as columns: the series of each, its time, its value."""

    series: list[StoredSeries]
    times: array[int]
    values: array[float]


def no_entries() -> Entries:
    """Return columns without samples."""
    return Entries([], array("q"), array("d"))
