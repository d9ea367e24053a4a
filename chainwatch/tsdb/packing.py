"""Integers packed to as few bits as their spread needs, a few far ones apart. Pure; numpy does the work."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

_HEAD = struct.Struct("<BBB")
"""How many bits each number has above the least, how many numbers are stored apart, the bytes of the least."""
_APART = struct.Struct("<Hq")
_ENOUGH = 8
"""Bytes that need not become fewer."""
_DROPPED = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (4, 0), (0, 4), (4, 4))
"""How many of the lowest and of the highest numbers may be stored apart."""


def pack(numbers: Integers) -> bytes:
    """Return up to 65,535 numbers, whose differences fit 63 bits, as bytes for ``unpack``."""
    return _pack(numbers, _plan(numbers))


def pack_shortest(numbers: Integers) -> tuple[int, bytes]:
    """Pack the numbers, their differences or the differences of these, whichever is shortest; return which, and it."""
    tried = numbers
    best = None
    for order in range(3):
        if order:
            tried = differences(tried)
        plan = _plan(tried)
        if best is None or plan[0] < best[1][0]:
            best = order, plan, tried
        if plan[0] <= _ENOUGH:
            break
    assert best is not None
    order, plan, tried = best
    return order, _pack(tried, plan)


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


def _plan(numbers: Integers) -> tuple[int, int, int]:
    """Return about how many bytes it takes to pack the numbers, and the least and the most that is not stored apart."""
    count = len(numbers)
    if not count:
        return 0, 0, 0
    in_order = np.sort(numbers).tolist()
    best = ((in_order[-1] - in_order[0]).bit_length() * count // 8, in_order[0], in_order[-1])
    if best[0] > _APART.size:
        for low, high in _DROPPED:
            if low + high < count:
                least, most = in_order[low], in_order[count - 1 - high]
                size = (most - least).bit_length() * count // 8 + _APART.size * (low + high)
                if size < best[0]:
                    best = size, least, most
    return best


def _pack(numbers: Integers, plan: tuple[int, int, int]) -> bytes:
    _, least, most = plan
    count = len(numbers)
    far = np.flatnonzero((numbers < least) | (numbers > most)).tolist()
    apart = b""
    if far:
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
