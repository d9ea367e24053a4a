"""What expressions compute at run time: slices, casts, hashes. Pure; bounded for every input.

Every function raises ``ValueError`` with the reason where the event has no such value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from chainwatch.support.abi.addresses import CHECKSUMS
from chainwatch.support.keccak import keccak256

MAX_SIZE = 65_536
"""Bytes of the largest value that an expression makes, or takes whole; text counts as its UTF-8."""

MAX_ELEMENTS = 1_024
"""Elements of the largest array that is searched or summed up."""

_WORD = 32
_ADDRESS = 20
_BYTES_PER_CHARACTER = 4
"""At most, in UTF-8."""
_HEX = re.compile("[0-9a-fA-F]*")


def cut(value: Any, start: int, stop: int | None) -> Any:
    """Return ``value[start:stop]`` of bytes or text, both ends within it; a negative one counts from its end."""
    length = len(value)
    begin = start if start >= 0 else length + start
    end = length if stop is None else stop if stop >= 0 else length + stop
    if not 0 <= begin <= end <= length:
        shown = "" if stop is None else str(stop)
        what = "characters" if isinstance(value, str) else "bytes"
        raise ValueError(f"[{start}:{shown}] is beyond the end of {length} {what}")
    return bounded(value[begin:end])


def natural(bound: int) -> int:
    """Return a computed bound of a slice, which must not be negative."""
    if bound < 0:
        raise ValueError(f"a slice cannot begin or end at {bound}")
    return bound


def bounded(value: Any) -> Any:
    """Return ``value``, bytes or text, of at most `MAX_SIZE`."""
    size = len(value)
    if isinstance(value, str) and size * _BYTES_PER_CHARACTER > MAX_SIZE and size <= MAX_SIZE:
        size = len(value.encode("utf-8", "surrogatepass"))
    if size > MAX_SIZE:
        raise ValueError(f"a value of {size} bytes, the largest that can be computed with has {MAX_SIZE}")
    return value


def few(array: Sequence[Any]) -> Sequence[Any]:
    """Return ``array``, of at most `MAX_ELEMENTS`."""
    if len(array) > MAX_ELEMENTS:
        raise ValueError(f"an array of {len(array)} elements, the largest has {MAX_ELEMENTS}")
    return array


def same(one: object, other: object) -> bool:
    """Return whether two values are the same; arrays where they have the same elements, in any order."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    return one == other


# --- integers ---


def unsigned_of_bytes(value: bytes) -> int:
    """Return 1 to 32 bytes as a big-endian number."""
    return int.from_bytes(_up_to_a_word(value))


def signed_of_bytes(value: bytes) -> int:
    """Return 1 to 32 bytes as a number in big-endian two's complement of as many bits."""
    return int.from_bytes(_up_to_a_word(value), signed=True)


def unsigned(value: int, bits: int) -> int:
    """Return ``value``, which must be a ``uint`` of so many bits."""
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{value} is no uint{bits}")
    return value


def signed(value: int, bits: int) -> int:
    """Return ``value``, which must be an ``int`` of so many bits."""
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"{value} is no int{bits}")
    return value


def integer_of_address(address: str) -> int:
    """Return the 20 bytes as a number."""
    return int(address, 16)


def _up_to_a_word(value: bytes) -> bytes:
    if not 0 < len(value) <= _WORD:
        raise ValueError(f"an integer has 1 to {_WORD} bytes, not {len(value)}")
    return value


# --- addresses and words ---


def address_of_bytes(value: bytes) -> str:
    """Return the checksummed address of 20 bytes, or of a word whose first 12 bytes are zero."""
    if len(value) == _WORD and not any(value[:-_ADDRESS]):
        return CHECKSUMS[value[-_ADDRESS:]]
    if len(value) != _ADDRESS:
        reason = "its first 12 are not zero" if len(value) == _WORD else f"there are {len(value)}"
        raise ValueError(f"an address is 20 bytes, or 32 that begin with 12 zeros: {reason}")
    return CHECKSUMS[value]


def address_of_integer(value: int) -> str:
    """Return the checksummed address of a number."""
    return CHECKSUMS[unsigned(value, 8 * _ADDRESS).to_bytes(_ADDRESS)]


def bytes_of_address(address: str) -> bytes:
    """Return the 20 bytes of an address."""
    return bytes.fromhex(address[2:])


def word_of_address(address: str) -> bytes:
    """Return 12 zeros and the address."""
    return bytes.fromhex(address[2:]).rjust(_WORD, b"\0")


def word_of_integer(value: int) -> bytes:
    """Return 32 bytes, big-endian."""
    return unsigned(value, 8 * _WORD).to_bytes(_WORD)


def word_of_bytes(value: bytes) -> bytes:
    """Return 32 bytes: ``value`` with zeros in front."""
    if len(value) > _WORD:
        raise ValueError(f"{len(value)} bytes do not fit into {_WORD}")
    return value.rjust(_WORD, b"\0")


# --- text and hashes ---


def text_of(value: bytes) -> str:
    """Return the string that UTF-8 makes of ``value``."""
    return bounded(value).decode()  # type: ignore[no-any-return]  # bytes stay bytes


def lower(text: str) -> str:
    """Return ``text`` in small letters."""
    return bounded(bounded(text).lower())  # type: ignore[no-any-return]  # some letters grow


def unhex(text: str) -> bytes:
    """Return the bytes that ``text`` writes in hex digits of either case, with or without 0x before them."""
    digits = bounded(text).removeprefix("0x").removeprefix("0X")
    if not _HEX.fullmatch(digits) or len(digits) % 2:
        raise ValueError("the text is not an even number of hex digits")
    return bytes.fromhex(digits)


def bytes_of_text(text: str) -> bytes:
    """Return ``text`` in UTF-8."""
    return bounded(text).encode()  # type: ignore[no-any-return]  # text stays text


def joined(parts: Sequence[bytes]) -> bytes:
    """Return ``parts`` one after the other."""
    size = sum(map(len, parts))
    if size > MAX_SIZE:
        raise ValueError(f"{size} bytes to hash, the most are {MAX_SIZE}")
    return b"".join(parts)


def packed_integer(value: int, size: int) -> bytes:
    """Return ``size`` bytes, big-endian, in two's complement where negative."""
    return value.to_bytes(size, signed=value < 0)


RUNTIME: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "len": len,
    "max": max,
    "min": min,
    "sum": sum,
    "number": int.from_bytes,
    "ratio": Fraction,
    "keccak": keccak256,
    **{
        function.__name__: function
        for function in (
            bounded,
            cut,
            natural,
            same,
            few,
            unsigned_of_bytes,
            signed_of_bytes,
            unsigned,
            signed,
            integer_of_address,
            address_of_bytes,
            address_of_integer,
            bytes_of_address,
            word_of_address,
            word_of_integer,
            word_of_bytes,
            text_of,
            lower,
            unhex,
            bytes_of_text,
            joined,
            packed_integer,
        )
    },
    "address_text": CHECKSUMS.__getitem__,
}
"""What the code of an expression may call, by the names under which it does."""
