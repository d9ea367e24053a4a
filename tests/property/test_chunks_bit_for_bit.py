"""Chunks of samples: whatever was encoded comes back bit for bit, and damaged bytes raise one kind of error."""

from __future__ import annotations

import struct
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.promql.series import STALE
from chainwatch.tsdb.chunks import DamagedChunk, count_samples, decode, encode, has_end
from chainwatch.tsdb.packing import Integers, accumulate, pack, pack_shorter, unpack

BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
WHOLE = st.integers(-(2**60), 2**60).map(float)
DECIMALS = st.builds(
    lambda digits, places: digits / 10**places, st.integers(-(10**9), 10**9), st.integers(0, 9)
)
WEI = st.integers(0, 10**6).map(lambda tenths: float(tenths * 10**17))
ODD = st.sampled_from([STALE, float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 1.7e308, -1.7e308])
KINDS: list[st.SearchStrategy[float]] = [
    BITS,
    WHOLE,
    DECIMALS,
    WEI,
    ODD,
    DECIMALS | ODD,
    WHOLE | DECIMALS | BITS,
]
VALUES = st.sampled_from(KINDS).flatmap(lambda kind: st.lists(kind, min_size=1, max_size=200))
STEPS = st.one_of(st.just(15_000), st.integers(14_990, 15_010), st.integers(1, 10**10))


@settings(max_examples=300, deadline=None)
@given(st.data(), VALUES)
def test_samples_come_back_bit_for_bit(data: st.DataObject, listed: list[float]) -> None:
    steps = data.draw(st.lists(STEPS, min_size=len(listed), max_size=len(listed)))
    times = array("q", np.cumsum([1_700_000_000_000, *steps[1:]]).tolist())
    values = array("d", listed)
    chunk = encode(times, values)
    got_times, got_values = decode(chunk)
    assert got_times == times
    assert got_values.tobytes() == values.tobytes()
    assert count_samples(chunk) == len(listed)
    assert has_end(chunk) is (struct.pack("<d", STALE) in [struct.pack("<d", value) for value in listed])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**61), 2**61), max_size=150))
def test_integers_come_back(numbers: list[int]) -> None:
    given_numbers: Integers = np.array(numbers, np.int64)
    data = b"before" + pack(given_numbers) + b"after"
    got, end = unpack(data, 6, len(numbers))
    assert got.tolist() == numbers
    assert data[end:] == b"after"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**53), 2**53), max_size=150))
def test_integers_come_back_from_differences(numbers: list[int]) -> None:
    order, data = pack_shorter(np.array(numbers, np.int64))
    got, _ = unpack(data, 0, len(numbers))
    assert accumulate(got, order).tolist() == numbers


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_bytes_raise_one_kind_of_error(values: list[float], place: int, byte: int, cut: bool) -> None:
    times = array("q", range(0, len(values) * 1000, 1000))
    chunk = bytearray(encode(times, array("d", values)))
    place %= len(chunk)
    damaged = bytes(chunk[:place]) if cut else bytes(chunk[:place] + bytes([byte]) + chunk[place + 1 :])
    try:
        got_times, got_values = decode(damaged)
    except DamagedChunk:
        return
    assert len(got_times) == len(got_values) > 0
    assert list(got_times) == sorted(set(got_times))


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 20, b"\xff" * 2 + b"\0" * 2000])
def test_no_chunk(data: bytes) -> None:
    with pytest.raises(DamagedChunk):
        decode(data)
