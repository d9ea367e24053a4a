"""Samples of one series as few bytes, bit for bit: after Facebook's Gorilla (VLDB 2015), by columns of a whole chunk.

Times are differences of differences. Values that are whole numbers, or decimal fractions of few digits (as nearly all are),
are differences of integers; others are the bits that differ from the value before, deflated.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from chainwatch.promql.series import STALE, Samples
from chainwatch.tsdb.packing import Integers, accumulate, differences, pack, pack_shorter, unpack

SAMPLES_MAX = 32_767

_HEAD = struct.Struct("<HqB")
"""How many samples, with ``_ENDS`` where a staleness marker is among them; the first time; how the values are written."""
_ENDS = 0x8000
_ODD = struct.Struct("<HQ")
_DEFLATED = 0xFF
_CONSTANT = 0xFE
_PLAIN = 0xFD
_EXPONENTS_MAX = 12
_DIVIDED = 13
"""How values are written; below ``_DIVIDED`` as integers times ten to the power of minus that."""
_DIVISOR = struct.Struct("<HQ")
_ORDER = 4
_EXACT = 2**53
_LOOKED_AT = 8
"""Values whose digits are counted to guess how many all have."""
_CACHED = 32_768
"""Chunks that stay decoded, of those decoded last: of 120 samples each, 70 MB."""

_STALE_BITS = struct.unpack("<Q", struct.pack("<d", STALE))[0]

Floats = npt.NDArray[np.float64]
Scaled = tuple[Integers, int, bytes]


def encode(times: array[int], values: array[float]) -> bytes:
    """Return samples, at least one and at most ``SAMPLES_MAX``, as bytes for ``decode``. Times are Unix milliseconds."""
    moments = np.frombuffer(times, np.int64)
    numbers = np.frombuffer(values, np.float64)
    with np.errstate(over="ignore"):
        kind, written = _encode_values(numbers)
    ends = _ENDS if has_marker(values) else 0
    return _HEAD.pack(len(times) | ends, times[0], kind) + _encode_steps(moments[1:] - moments[:-1]) + written


@lru_cache(maxsize=_CACHED)
def decode(chunk: bytes) -> Samples:
    """Return the samples of a chunk; they are shared, so not to be changed. Raises ``DamagedChunk``."""
    try:
        count, first, kind = _HEAD.unpack_from(chunk)
        count &= ~_ENDS
        if not count:
            raise DamagedChunk("no samples")
        order = chunk[_HEAD.size]
        steps, offset = unpack(chunk, _HEAD.size + 1, count - 1)
        times = np.empty(count, np.int64)
        times[0] = first
        times[1:] = accumulate(steps, min(order, 1) + 1) + first
        with np.errstate(over="ignore"):
            values = _decode_values(chunk, offset, count, kind)
    except (ValueError, IndexError, struct.error, zlib.error, OverflowError) as error:
        raise DamagedChunk(str(error)) from error
    if count > 1 and not (times[1:] > times[:-1]).all():
        raise DamagedChunk("times do not rise")
    return array("q", times.tobytes()), array("d", values.tobytes())


def count_samples(chunk: bytes) -> int:
    """Return how many samples a chunk has. Raises ``DamagedChunk`` for what is too short to be one."""
    if len(chunk) < _HEAD.size:
        raise DamagedChunk("too short")
    return int(_HEAD.unpack_from(chunk)[0]) & ~_ENDS


def has_end(chunk: bytes) -> bool:
    """Return whether a staleness marker is among the samples of a chunk."""
    return bool(_HEAD.unpack_from(chunk)[0] & _ENDS)


def has_marker(values: array[float]) -> bool:
    """Return whether a staleness marker is among the values."""
    return bool((np.frombuffer(values.tobytes(), np.uint64) == _STALE_BITS).any())


class DamagedChunk(ValueError):
    """Bytes are no chunk of samples."""


def _encode_steps(steps: Integers) -> bytes:
    """Return the steps from each time to the next, which are equal (0) or written as differences (1)."""
    if (steps == steps[:1]).all():
        return b"\0" + pack(steps)
    return b"\1" + pack(differences(steps))


def _encode_values(values: Floats) -> tuple[int, bytes]:
    bits = values.view(np.uint64)
    if (bits == bits[0]).all():
        return _CONSTANT, bits[:1].tobytes()
    odd = ~np.isfinite(values)
    places = np.flatnonzero(odd).tolist()
    if len(places) <= 16 and len(places) * 4 <= len(values):
        plain = _carried_on(values, odd) if places else values
        scaled = _scaled(plain)
        if scaled is not None:
            integers, scale, divisor = scaled
            order, packed = pack_shorter(integers)
            specials = b"".join(_ODD.pack(place, int(bits[place])) for place in places)
            return scale | order << _ORDER, bytes([len(places)]) + specials + divisor + packed
    different = np.bitwise_xor(bits[1:], bits[:-1])
    columns = np.concatenate((bits[:1], different)).view(np.uint8).reshape(-1, 8).T
    deflated = zlib.compress(columns.tobytes(), 6)
    return (_DEFLATED, deflated) if len(deflated) < len(values) * 8 else (_PLAIN, values.tobytes())


def _decode_values(chunk: bytes, offset: int, count: int, kind: int) -> Floats:
    if kind == _CONSTANT:
        return np.frombuffer(chunk, np.uint64, 1, offset).repeat(count).view(np.float64)
    if kind == _PLAIN:
        return np.frombuffer(chunk, np.float64, count, offset)
    if kind == _DEFLATED:
        inflated = zlib.decompressobj().decompress(chunk[offset:], count * 8 + 1)
        columns = np.frombuffer(inflated, np.uint8).reshape(8, count)
        different = np.ascontiguousarray(columns.T).view(np.uint64).reshape(count)
        return np.bitwise_xor.accumulate(different).view(np.float64)
    scale = kind & 15
    if scale > _DIVIDED or kind >> _ORDER > 1:
        raise DamagedChunk(f"values of the kind {kind}")
    odd = chunk[offset]
    offset += 1
    specials = [_ODD.unpack_from(chunk, offset + index * _ODD.size) for index in range(odd)]
    offset += odd * _ODD.size
    shift = 0
    divisor = 1
    if scale == _DIVIDED:
        shift, divisor = _DIVISOR.unpack_from(chunk, offset)
        offset += _DIVISOR.size
    integers, _ = unpack(chunk, offset, count)
    integers = accumulate(integers, kind >> _ORDER)
    values = np.ldexp(integers * float(divisor), shift) if scale == _DIVIDED else integers / 10.0**scale
    for index, bits in specials:
        values.view(np.uint64)[index] = bits
    return values


def _carried_on(values: Floats, odd: npt.NDArray[np.bool_]) -> Floats:
    """Return the values with the one before in place of each odd one."""
    known = np.where(odd, 0, np.arange(len(values)))
    np.maximum.accumulate(known, out=known)
    carried = values[known]
    carried[~np.isfinite(carried)] = values[~odd][0]
    return carried


def _scaled(values: Floats) -> Scaled | None:
    """Return integers and the power of ten by which they are divided to give exactly these values."""
    most = float(np.abs(values).max())
    if most >= _EXACT:
        return _divided(values, most)
    integers = values.astype(np.int64)
    if _are(integers.astype(np.float64), values):
        return integers, 0, b""
    looked_at = values[:: max(1, len(values) // _LOOKED_AT)].tolist()
    exponent = max(1, *map(_digits, looked_at))
    for tried in range(exponent, min(exponent + 2, _EXPONENTS_MAX + 1)):
        power = 10.0**tried
        if most * power < _EXACT:
            integers = np.rint(values * power).astype(np.int64)
            if _are(integers / power, values):
                return integers, tried, b""
    return None


def _divided(values: Floats, most: float) -> Scaled | None:
    """Return the great integers that these values are, such as amounts in wei, divided by what divides all of them."""
    shift = math.frexp(most)[1] - 53
    integers = np.ldexp(values, -shift).astype(np.int64)
    divisor = int(np.gcd.reduce(integers))
    quotients = integers // divisor
    if not _are(np.ldexp(quotients * float(divisor), shift), values):
        return None
    return quotients, _DIVIDED, _DIVISOR.pack(shift, divisor)


def _are(numbers: Floats, values: Floats) -> bool:
    """Return whether these are the same, bit for bit."""
    return bool((numbers.view(np.uint64) == values.view(np.uint64)).all())


def _digits(value: float) -> int:
    """Return how many digits a value has behind its point."""
    if value.is_integer():
        return 0
    text = repr(value)
    return _EXPONENTS_MAX + 1 if "e" in text else len(text) - text.index(".") - 1
