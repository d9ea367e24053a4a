"""Integers packed to as few bits as their spread needs, a few far ones apart. Pure; numpy does the work."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_HEAD = struct.Struct("<BBB")
"""How many bits each number has above the least, how many numbers are stored apart, the bytes of the least."""
_APART = struct.Struct("<Hq")
_ENOUGH = 8
"""Bytes that need not become fewer."""
_DROPPED = ((1, 0), (0, 1), (1, 1), (2, 2), (4, 4))
"""How many of the lowest and of the highest numbers may be stored apart."""
_ENDS = 5


def pack(numbers: Integers) -> bytes:
    """Return up to 65,535 numbers, whose differences fit 63 bits, as bytes for ``unpack``."""
    return _pack(numbers, _plan(numbers))


def pack_shorter(numbers: Integers) -> tuple[int, bytes]:
    """Pack the numbers (0) or their differences (1), whichever is shorter; return which, and it."""
    plan = _plan(numbers)
    if plan.size <= _ENOUGH:
        return 0, _pack(numbers, plan)
    different = differences(numbers)
    other = _plan(different)
    return (1, _pack(different, other)) if other.size < plan.size else (0, _pack(numbers, plan))


def accumulate(numbers: Integers, order: int) -> Integers:
    """Return the numbers of which these are the differences, or the differences of differences."""
    for _ in range(order):
        numbers = np.cumsum(numbers)
    return numbers


def differences(numbers: Integers) -> Integers:
    """Return the first number, then how much each is above the one before."""
    different = numbers.copy()
    different[1:] -= numbers[:-1]
    return different


class _Plan(NamedTuple):
    """How to pack: about how many bytes it takes, from the least to the most number that is not stored apart."""

    size: int
    least: int
    most: int
    has_far: bool


def _plan(numbers: Integers) -> _Plan:
    count = len(numbers)
    if not count:
        return _Plan(0, 0, 0, False)
    least, most = int(numbers.min()), int(numbers.max())
    best = _Plan((most - least).bit_length() * count // 8, least, most, False)
    if best.size > _APART.size and count > _ENDS:
        in_order = np.sort(numbers)
        lowest, highest = in_order[:_ENDS].tolist(), in_order[-_ENDS:].tolist()
        for low, high in _DROPPED:
            least, most = lowest[low], highest[-1 - high]
            size = (most - least).bit_length() * count // 8 + _APART.size * (low + high)
            if size < best.size:
                best = _Plan(size, least, most, True)
    return best


def _pack(numbers: Integers, plan: _Plan) -> bytes:
    _, least, most, has_far = plan
    count = len(numbers)
    far: list[int] = []
    apart = b""
    if has_far:
        far = np.flatnonzero((numbers < least) | (numbers > most)).tolist()
        apart = b"".join(_APART.pack(index, int(numbers[index])) for index in far)
        numbers = np.clip(numbers, least, most)
    width = (most - least).bit_length()
    head = (
        _HEAD.pack(width, len(far), size := least.bit_length() // 8 + 1)
        + least.to_bytes(size, "little", signed=True)
        + apart
    )
    if not width:
        return head
    above = (numbers - least).astype(">u8")
    if width % 8 == 0:
        return head + above.view(np.uint8).reshape(count, 8)[:, 8 - width // 8 :].tobytes()
    bits = np.unpackbits(above.view(np.uint8).reshape(count, 8), axis=1)
    return head + np.packbits(bits[:, 64 - width :]).tobytes()


def unpack(data: bytes, offset: int, count: int) -> tuple[Integers, int]:
    """Return the ``count`` numbers at ``offset``, and the offset behind them. Raises ``ValueError`` or ``struct.error``."""
    width, apart, size = _HEAD.unpack_from(data, offset)
    offset += _HEAD.size
    least = int.from_bytes(data[offset : offset + size], "little", signed=True)
    offset += size
    far = [_APART.unpack_from(data, offset + index * _APART.size) for index in range(apart)]
    offset += apart * _APART.size
    if width > 64:
        raise ValueError(f"{width} bits a number")
    if width:
        size = (count * width + 7) // 8
        packed = np.frombuffer(data, np.uint8, size, offset)
        bits = np.zeros((count, 64), np.uint8)
        bits[:, 64 - width :] = np.unpackbits(packed, count=count * width).reshape(count, width)
        numbers = np.packbits(bits, axis=1).view(">u8").reshape(count).astype(np.int64) + least
        offset += size
    else:
        numbers = np.full(count, least, np.int64)
    for index, number in far:
        if index >= count:
            raise ValueError("a number apart has no place")
        numbers[index] = number
    return numbers, offset
