"""XXH64 (xxhash.com, doc/xxhash_spec.md): the hash of labels by which Prometheus chooses series in ``limit_ratio``."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_MASK = (1 << 64) - 1
_PRIMES = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)


def hash_labels(pairs: Iterable[tuple[str, str]]) -> int:
    """Return the hash of sorted labels in Prometheus' encoding (model/labels, stringlabels): 64 bits."""
    return xxh64(b"".join(_with_size(text.encode("utf-8", "replace")) for pair in pairs for text in pair))


def xxh64(data: bytes) -> int:
    """Return the hash with seed 0."""
    p1, p2, p3, p4, p5 = _PRIMES
    place = len(data) // 32 * 32
    if place:
        lanes = [(p1 + p2) & _MASK, p2, 0, -p1 & _MASK]
        for index, lane in enumerate(struct.unpack(f"<{place // 8}Q", data[:place])):
            lanes[index % 4] = _round(lanes[index % 4], lane)
        value = sum(map(_rotated, lanes, (1, 7, 12, 18))) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * p1 + p4) & _MASK
    else:
        value = p5
    value = (value + len(data)) & _MASK
    while len(data) - place >= 8:
        value ^= _round(0, struct.unpack_from("<Q", data, place)[0])
        value = (_rotated(value, 27) * p1 + p4) & _MASK
        place += 8
    if len(data) - place >= 4:
        value ^= struct.unpack_from("<I", data, place)[0] * p1 & _MASK
        value = (_rotated(value, 23) * p2 + p3) & _MASK
        place += 4
    for byte in data[place:]:
        value = _rotated(value ^ (byte * p5 & _MASK), 11) * p1 & _MASK
    value = (value ^ (value >> 33)) * p2 & _MASK
    value = (value ^ (value >> 29)) * p3 & _MASK
    return value ^ (value >> 32)


def _round(value: int, lane: int) -> int:
    return _rotated((value + lane * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _with_size(data: bytes) -> bytes:
    size = bytes([len(data)]) if len(data) < 255 else b"\xff" + len(data).to_bytes(3, "little")
    return size + data
