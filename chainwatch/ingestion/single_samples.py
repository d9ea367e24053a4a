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
_PLACES = np.arange(SIZE)
_PADDING = b"\xff" * (2 * SIZE + 2)
_SHIFTS = np.array([1 << 7 * place for place in range(_DIGITS)], np.int64)

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


Integers = npt.NDArray[np.int64]


class SingleSamples(NamedTuple):
    """For each series the size of its sample, 0 where there is none that is read here; its time (Unix ms); its value."""

    sizes: Integers
    times: list[int]
    values: list[float]


class Joined(NamedTuple):
    """The bytes of many series one after the other, and some that end no number; where each series starts and stops."""

    data: Bytes
    starts: Integers
    stops: Integers


def join(contents: Sequence[bytes]) -> Joined:
    """Return the series together."""
    sizes = np.fromiter(map(len, contents), np.int64, len(contents))
    stops = np.cumsum(sizes)
    return Joined(np.frombuffer(b"".join((*contents, _PADDING)), np.uint8), stops - sizes, stops)


def last_bytes(contents: Sequence[bytes]) -> Bytes:
    """Return the last ``SIZE`` bytes of each series as rows, for ``read_samples``."""
    pieces = [one[-SIZE:] for one in contents]
    together = b"".join(pieces)
    if len(together) < SIZE * len(pieces):
        together = b"".join([piece.rjust(SIZE, b"\xff") for piece in pieces])
    return np.frombuffer(together, np.uint8).reshape(-1, SIZE)


def bytes_from(data: Bytes, starts: Integers) -> Bytes:
    """Return the ``SIZE`` bytes from each start on as rows, for ``read_samples``."""
    found: Bytes = data[starts[:, None] + _PLACES]
    return found


def read_samples(rows: Bytes, zero_at: int) -> SingleSamples:
    """Read rows of ``SIZE`` bytes, each a sample, or at ``zero_at`` (its begin or its end) one whose value is 0."""
    times, zero_times = rows[:, -_DIGITS:], rows[:, zero_at + 3 : zero_at + ZERO_SIZE]
    is_full = _begin(rows, _SAMPLE) & (rows[:, -_DIGITS - 1] == _TIME) & _are_numbers(times)
    values = np.ascontiguousarray(rows[:, 3:11]).view("<f8")[:, 0]
    if is_full.all():
        return SingleSamples(np.full(len(rows), SIZE), ((times & 127) @ _SHIFTS).tolist(), values.tolist())
    is_zero = _begin(rows[:, zero_at:], _ZERO) & _are_numbers(zero_times) & ~is_full
    digits = np.where(is_full[:, None], times, zero_times) & 127
    sizes = np.where(is_full, SIZE, np.where(is_zero, ZERO_SIZE, 0))
    return SingleSamples(sizes, (digits @ _SHIFTS).tolist(), np.where(is_full, values, 0.0).tolist())


def read_references(data: Bytes, starts: Integers, stops: Integers) -> tuple[Integers, Integers] | None:
    """Return the references to symbols in all packed fields together, and where those of each begin, and the last end.

    None where one is malformed, or has more than three bytes.
    """
    sizes = stops - starts
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    content = data[np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], sizes)]
    ends = np.flatnonzero(content < 128)
    lengths = np.diff(ends, prepend=-1)
    inner = bounds[bounds > 0]
    if (content[inner - 1] > 127).any() or (len(lengths) and lengths.max() > 3):
        return None
    found = content[ends].astype(np.int64)
    for back in (1, 2):
        longer = np.flatnonzero(lengths > back)
        found[longer] = found[longer] << 7 | content[ends[longer] - back] & 127
    return found, np.searchsorted(ends, bounds)  # how many end before


def _begin(rows: Bytes, tags: tuple[int, int, int]) -> Bools:
    found: Bools = (rows[:, 0] == tags[0]) & (rows[:, 1] == tags[1]) & (rows[:, 2] == tags[2])
    return found


def _are_numbers(digits: Bytes) -> Bools:
    """Return which rows are one varint each."""
    are: Bools = (digits[:, :-1] > 127).all(axis=1) & (digits[:, -1] < 128)
    return are
