"""Reads the samples of many series at once, where each has a single one, as Prometheus sends them. Pure.

Protobuf writes such a sample in one of two ways: a zero is left out. Times from 1971 to 2109 have six bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIZE, ZERO_SIZE = 18, 9
"""The bytes of a sample as a field of its series, and of one whose value is 0."""
_SAMPLE, _ZERO, _TIME = (0x12, 0x10, 0x09), (0x12, 0x07, 0x10), 0x10
"""The tag and length of a sample with the tag of its value, or of its time where it has no value; the tag of a time."""
_DIGITS = 6
_SHIFTS = np.array([1 << 7 * place for place in range(_DIGITS)], np.int64)

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


class SingleSamples(NamedTuple):
    """For each series the size of its sample, 0 where there is none that is read here; its time (Unix ms); its value."""

    sizes: list[int]
    times: list[int]
    values: list[float]


def read_samples(pieces: Sequence[bytes], zero_at: int) -> SingleSamples:
    """Read pieces of up to ``SIZE`` bytes, each a sample, or at ``zero_at`` (its begin or its end) one whose value is 0."""
    content = b"".join(pieces)
    if len(content) < SIZE * len(pieces):  # padded by what ends no number
        pad = bytes.rjust if zero_at else bytes.ljust
        content = b"".join([pad(piece, SIZE, b"\xff") for piece in pieces])
    rows = np.frombuffer(content, np.uint8).reshape(-1, SIZE)
    times, zero_times = rows[:, -_DIGITS:], rows[:, zero_at + 3 : zero_at + ZERO_SIZE]
    is_full = _begin(rows, _SAMPLE) & (rows[:, -_DIGITS - 1] == _TIME) & _are_numbers(times)
    is_zero = _begin(rows[:, zero_at:], _ZERO) & _are_numbers(zero_times) & ~is_full
    digits = np.where(is_full[:, None], times, zero_times) & 127
    values = np.where(is_full, np.ascontiguousarray(rows[:, 3:11]).view("<f8")[:, 0], 0.0)
    sizes = np.where(is_full, SIZE, np.where(is_zero, ZERO_SIZE, 0))
    return SingleSamples(sizes.tolist(), (digits @ _SHIFTS).tolist(), values.tolist())


def read_references(packed: Sequence[bytes]) -> tuple[npt.NDArray[np.int64], list[int]] | None:
    """Return the references to symbols in all packed fields together, and where those of each begin, and the last end.

    None where one is malformed, or has more than three bytes.
    """
    content = np.frombuffer(b"".join(packed), np.uint8)
    bounds = np.cumsum([0, *map(len, packed)])
    ends = np.flatnonzero(content < 128)
    sizes = np.diff(ends, prepend=-1)
    edges = np.searchsorted(ends, bounds)  # how many end before
    inner = bounds[bounds > 0]
    if (content[inner - 1] > 127).any() or (len(sizes) and sizes.max() > 3):
        return None
    found = content[ends].astype(np.int64)
    for back in (1, 2):
        longer = np.flatnonzero(sizes > back)
        found[longer] = found[longer] << 7 | content[ends[longer] - back] & 127
    return found, edges.tolist()


def _begin(rows: Bytes, tags: tuple[int, int, int]) -> Bools:
    found: Bools = (rows[:, 0] == tags[0]) & (rows[:, 1] == tags[1]) & (rows[:, 2] == tags[2])
    return found


def _are_numbers(digits: Bytes) -> Bools:
    """Return which rows are one varint each."""
    are: Bools = (digits[:, :-1] > 127).all(axis=1) & (digits[:, -1] < 128)
    return are
