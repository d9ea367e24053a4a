"""ABI types as trees: what a value's encoding looks like, word by word.

Source: the Solidity contract ABI specification ("Types", "Formal Specification of the Encoding").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chainwatch.model import AbiParam
from chainwatch.support.spelling import nearest

WORD = 32
MAX_DEPTH = 64
"""Types nested deeper are refused: no compiler makes them, and every walk over a type is recursive."""
MAX_STATIC_WORDS = 2**20
"""A static type of more words (32 MiB) does not fit into a log."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value of one word: ``bits`` of it mean something, ``places`` are a fixed-point number's decimals."""

    kind: str  # uint, int, address, bool, bytes, ufixed, fixed
    bits: int
    places: int = 0
    words: int = 1
    heads: int = 1


@dataclass(frozen=True, slots=True)
class Blob:
    """``bytes``, or ``string`` when ``text``: a length, the bytes, zeros up to the next word."""

    text: bool
    words: None = None
    heads: int = 1


@dataclass(frozen=True, slots=True)
class Array:
    """``length`` items, or as many as the data names when ``length`` is None."""

    item: Shape
    length: int | None
    words: int | None
    heads: int


@dataclass(frozen=True, slots=True)
class Tuple:
    """Named members, one after the other."""

    names: tuple[str, ...]
    members: tuple[Shape, ...]
    words: int | None
    heads: int


Shape: TypeAlias = Leaf | Blob | Array | Tuple
"""``words`` is the size of a static type's encoding, and None for a dynamic one, which an offset points to.

``heads`` is how many words a member counts for when a tuple checks that offsets point behind its head. It is
what eth_abi counts: a static tuple is one, a static array its outermost length. Counting them in full would
be right by the specification, but would refuse logs that eth_abi reads.
"""


class ShapeError(ValueError):
    """A type string that is not an ABI type. The message names what was expected."""


def shape_of(param: AbiParam, depth: int = 0) -> Shape:
    """Return the shape of a parameter's type. Raises ``ShapeError``."""
    if depth > MAX_DEPTH:
        raise ShapeError(f"tuples and arrays nest deeper than {MAX_DEPTH} levels")
    base, dimensions = _split(param.type)
    if depth + len(dimensions) > MAX_DEPTH:
        raise ShapeError(f"tuples and arrays nest deeper than {MAX_DEPTH} levels")
    shape: Shape
    if base == "tuple":
        shape = tuple_of(param.components, depth + len(dimensions))
    elif base == "string" or base == "bytes":
        shape = Blob(text=base == "string")
    else:
        shape = _leaf(base)
    for length in dimensions:
        shape = _array(shape, length)
    return shape


def tuple_of(params: Sequence[AbiParam], depth: int = 0) -> Tuple:
    """Return the shape of a tuple with these members. Raises ``ShapeError``."""
    members = tuple(shape_of(param, depth + 1) for param in params)
    words = _checked_size(sum(m.words for m in members if m.words is not None))
    is_dynamic = any(m.words is None for m in members)
    heads = 1 if is_dynamic else min(words, 1)
    return Tuple(tuple(p.name for p in params), members, None if is_dynamic else words, heads)


def canonical(type_text: str) -> str:
    """Return the type as signatures spell it, so ``uint256`` for ``uint``. Raises ``ShapeError`` if it is none."""
    base, dimensions = _split(type_text)
    return base + "".join("[]" if length is None else f"[{length}]" for length in dimensions)


def head_size(tuple_shape: Tuple) -> int:
    """Return the bytes of a tuple's head: its static members in place, one offset word for each dynamic one."""
    return WORD * sum(1 if m.words is None else m.words for m in tuple_shape.members)


def offset_floor(tuple_shape: Tuple) -> int:
    """Return the least offset, in bytes, that a dynamic member of the tuple may have."""
    return WORD * sum(m.heads for m in tuple_shape.members)


_TYPE = re.compile(r"([a-z]+(?: payable)?)(\d+(?:x\d+)?)?((?:\[(?:0|[1-9]\d*)?\])*)")
_ALIASES = {
    "uint": "uint256",
    "int": "int256",
    "byte": "bytes1",
    "fixed": "fixed128x18",
    "ufixed": "ufixed128x18",
    "address payable": "address",
}
_ELEMENTARY = {
    "address": Leaf("address", 160),
    "bool": Leaf("bool", 1),
    "function": Leaf("bytes", 8 * 24),  # an address and a selector
    **{f"bytes{size}": Leaf("bytes", 8 * size) for size in range(1, 33)},
    **{f"uint{bits}": Leaf("uint", bits) for bits in range(8, 257, 8)},
    **{f"int{bits}": Leaf("int", bits) for bits in range(8, 257, 8)},
}
_FIXED = re.compile(r"(u?fixed)([1-9]\d*)x([1-9]\d*)")


def _split(type_text: str) -> tuple[str, tuple[int | None, ...]]:
    """Split ``uint[2][]`` into ``("uint256", (2, None))``: the elementary type and the dimensions, innermost first."""
    match = _TYPE.fullmatch(type_text.strip())
    if match is None:
        raise ShapeError(f'"{type_text}" is not an ABI type; expected one like uint256, bytes32[], tuple[2]')
    base = match[1] + (match[2] or "")
    sizes = re.findall(r"\[(\d*)\]", match[3])
    return _ALIASES.get(base, base), tuple(int(size) if size else None for size in sizes)


def _leaf(base: str) -> Leaf:
    if base in _ELEMENTARY:
        return _ELEMENTARY[base]
    fixed = _FIXED.fullmatch(base)
    if fixed:
        bits, places = int(fixed[2]), int(fixed[3])
        if bits in range(8, 257, 8) and places <= 80:
            return Leaf(fixed[1], bits, places)
        raise ShapeError(f'"{base}" is not an ABI type: 8 to 256 bits in steps of 8, and 1 to 80 decimals')
    near = nearest(base, [*_ELEMENTARY, "string", "bytes", "tuple"])
    raise ShapeError(f'"{base}" is not an ABI type' + (f', did you mean "{near}"?' if near else ""))


def _array(item: Shape, length: int | None) -> Array:
    if length is None or item.words is None:
        return Array(item, length, None, 1)
    words = _checked_size(length * item.words)
    return Array(item, length, words, min(words, length))


def _checked_size(words: int) -> int:
    if words > MAX_STATIC_WORDS:
        raise ShapeError(f"a static value of {words} words do not fit into a log")
    return words
