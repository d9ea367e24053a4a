"""The strict reader: walks an encoding along its shape, and reports where and why it is malformed.

It accepts what ``eth_abi.abi.decode(types, data, strict=True)`` accepts, and reads some further shapes. The compiled
readers are its fast path: what they refuse is read here.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from chainwatch.support.abi.addresses import CHECKSUMS
from chainwatch.support.abi.shape import WORD, Blob, Leaf, Shape, Tuple, head_size, offset_floor

FREE_BYTES = 2**20
MAX_INFLATION = 16


def read_limit(size: int) -> int:
    """Return how many bytes may be read in all from ``size`` bytes of data.

    Offsets may point to the same place again and again, so that a short log could decode to gigabytes.
    Solidity never encodes so; the limit leaves room for encoders that share equal parts.
    """
    return FREE_BYTES + MAX_INFLATION * size


class Malformed(ValueError):
    """The bytes are no encoding of the shape: ``path`` is the field (``params.routers[3]``)."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def read_data(shape: Tuple, data: bytes, limit: int | None = None) -> tuple[Any, ...]:
    """The members' values from their encoding; bytes behind it are ignored. Raises ``Malformed``.

    ``limit`` is how many bytes may be read in all; by default `read_limit`.
    """
    reader = _Reader(data, read_limit(len(data)) if limit is None else limit)
    return tuple(reader.members(shape, 0, ""))


def read_word(leaf: Leaf, word: bytes, path: str) -> Any:
    """Return the value of one 32-byte word. Raises ``Malformed``."""
    number = int.from_bytes(word)
    match leaf.kind:
        case "bytes":
            size = leaf.bits // 8
            if any(word[size:]):
                raise Malformed(path, f"bytes{size} has bytes after its end: 0x{word.hex()}")
            return word[:size]
        case "int" | "fixed":
            number -= (number >> 255) << 256
            if not -(1 << leaf.bits - 1) <= number < 1 << leaf.bits - 1:
                raise Malformed(path, f"not {_EXPECTED[leaf.kind].format(leaf.bits)}: 0x{word.hex()}")
        case _:
            if number >> leaf.bits:
                raise Malformed(path, f"not {_EXPECTED[leaf.kind].format(leaf.bits)}: 0x{word.hex()}")
    match leaf.kind:
        case "address":
            return CHECKSUMS[word[12:]]
        case "bool":
            return bool(number)
        case "fixed" | "ufixed":
            return scaled(number, leaf.places)
    return number


def scaled(number: int, places: int) -> Decimal:
    """Return ``number`` with its last ``places`` digits behind the point, exactly."""
    return Decimal(number).scaleb(-places, _EXACT)


_EXACT = Context(prec=200)
_EXPECTED = {
    "uint": "a uint of {} bits",
    "int": "an int of {} bits",
    "ufixed": "a ufixed of {} bits",
    "fixed": "a fixed of {} bits",
    "address": "an address of 20 bytes",
    "bool": "a bool (0 or 1)",
}


class _Reader:
    """Reads from ``data``; keeps count of what it has read against the limit."""

    def __init__(self, data: bytes, limit: int) -> None:
        self._data = data
        self._left = limit

    def members(self, shape: Tuple, at: int, path: str) -> list[Any]:
        self._require(head_size(shape), at, path)
        self._charge(head_size(shape), path)
        floor = offset_floor(shape)
        values: list[Any] = []
        position = at
        for name, member in zip(shape.names, shape.members, strict=True):
            values.append(self._member(member, at, position, floor, f"{path}.{name}" if path else name))
            position += WORD if member.words is None else WORD * member.words
        return values

    def _member(self, shape: Shape, frame: int, position: int, floor: int, path: str) -> Any:
        """Return the value whose head is at ``position`` of a tuple or array that begins at ``frame``."""
        if shape.words is not None:
            return self._value(shape, position, path)
        offset = self._word(position, path)
        if offset < floor:
            raise Malformed(path, f"its offset {offset} points before the end of the head ({floor} bytes)")
        if frame + offset > len(self._data):
            raise Malformed(path, f"its offset {offset} points outside the data ({len(self._data)} bytes)")
        return self._value(shape, frame + offset, path)

    def _value(self, shape: Shape, at: int, path: str) -> Any:
        if isinstance(shape, Leaf):
            self._require(WORD, at, path)
            return read_word(shape, self._data[at : at + WORD], path)
        if isinstance(shape, Blob):
            return self._blob(shape, at, path)
        if isinstance(shape, Tuple):
            return dict(zip(shape.names, self.members(shape, at, path), strict=True))
        if shape.length is not None:
            return self._items(shape.item, shape.length, at, path)
        return self._items(shape.item, self._word(at, path), at + WORD, path)

    def _items(self, item: Shape, length: int, at: int, path: str) -> list[Any]:
        step = WORD if item.words is None else WORD * item.words
        if length * step > len(self._data) - at:
            left = len(self._data) - at
            raise Malformed(path, f"{length} items of {step} bytes do not fit into the {left} bytes left")
        self._charge(length * max(step, WORD), path)
        return [
            self._member(item, at, at + index * step, length * WORD, f"{path}[{index}]")
            for index in range(length)
        ]

    def _blob(self, shape: Blob, at: int, path: str) -> bytes | str:
        length = self._word(at, path)
        begin = at + WORD
        padding = -length % WORD
        if length + padding > len(self._data) - begin:
            left = len(self._data) - begin
            raise Malformed(path, f"its {length} bytes with padding do not fit into the {left} bytes left")
        self._charge(length, path)
        end = begin + length
        if any(self._data[end : end + padding]):
            raise Malformed(path, f"the padding after its {length} bytes is not zero")
        value = self._data[begin:end]
        if not shape.text:
            return value
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Malformed(path, f"not valid UTF-8: {error.reason} at byte {error.start}") from None

    def _word(self, at: int, path: str) -> int:
        self._require(WORD, at, path)
        return int.from_bytes(self._data[at : at + WORD])

    def _require(self, size: int, at: int, path: str) -> None:
        if size > len(self._data) - at:
            end = len(self._data)
            raise Malformed(path, f"needs {size} bytes at byte {at}, but the data ends at byte {end}")

    def _charge(self, size: int, path: str) -> None:
        self._left -= size
        if self._left < 0:
            raise Malformed(path, "it would decode to far more than the log holds: its offsets overlap")
