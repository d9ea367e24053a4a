"""Makes one Python function per event shape that reads a log's values at full speed.

The function checks everything the strict reader checks, but says nothing: at the first doubt it raises
``Doubt`` (or ``UnicodeDecodeError``), and the strict reader decides what was wrong, if anything. So it may
refuse too much, never too little.

How it is fast: the words of known length that follow each other (a *frame*) are unpacked by one ``struct``
call, and all their padding is checked at once, as one long integer against one mask.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from chainwatch.chain._addresses import CHECKSUMS
from chainwatch.chain._shape import WORD, Array, Blob, Leaf, Shape, Tuple, offset_floor
from chainwatch.chain._strict import FREE_BYTES, MAX_INFLATION, scaled

MAX_FRAME_WORDS = 256
"""Longer static types are left to the strict reader: their code would grow with their length."""
MAX_LOOPS = 8
"""Deeper nested arrays are left to the strict reader: Python allows 20 nested blocks in a function."""
MAX_TUPLES = 32
"""Deeper nested tuples as well: Python allows 200 nested brackets in an expression."""

ReadLog: TypeAlias = Callable[[Sequence[bytes], bytes], dict[str, Any]]


class Doubt(Exception):
    """The bytes are malformed, or odd enough to need the strict reader."""


def compile_reader(shape: Tuple, topics: Sequence[tuple[str, Leaf]], order: Sequence[str]) -> ReadLog | None:
    """The function from (indexed topics, data) to the values by name, in ``order``.

    ``topics`` are the indexed parameters, in order; ``shape`` holds the others. The function raises ``Doubt``
    or ``UnicodeDecodeError``. None where the shape is one that is not compiled.
    """
    if not _is_compiled(shape, 0, 0):
        return None
    return _Writer().reader(shape, topics, order)


def _is_compiled(shape: Shape, loops: int, tuples: int) -> bool:
    if shape.words is not None and shape.words > MAX_FRAME_WORDS:
        return False
    if isinstance(shape, Array):
        has_size = shape.item.words != 0  # as many items of no size as the data likes to claim
        return has_size and loops < MAX_LOOPS and _is_compiled(shape.item, loops + 1, tuples)
    if isinstance(shape, Tuple):
        return tuples < MAX_TUPLES and all(_is_compiled(m, loops, tuples + 1) for m in shape.members)
    return True


@dataclass(frozen=True, slots=True)
class _Word:
    """How one word of a frame is unpacked: its ``struct`` format, and the bits that must be zero."""

    format: str
    mask: int


_FULL = (1 << 256) - 1
_OFFSET = _Word("28xI", _FULL ^ 0xFFFFFFFF)
_SMALL_INTEGERS = ((8, "31xB"), (16, "30xH"), (32, "28xI"), (64, "24xQ"))


def _word(leaf: Leaf) -> _Word:
    mask = _FULL ^ ((1 << leaf.bits) - 1)
    match leaf.kind:
        case "address":
            return _Word("12x20s", mask)
        case "bool":
            return _Word("31x?", mask)
        case "bytes":
            size = leaf.bits // 8
            return _Word(f"{size}s{WORD - size}x", _FULL >> leaf.bits)
        case "int" | "fixed":
            return _Word("32s", 0)  # the sign is checked by value
    for bits, text in _SMALL_INTEGERS:
        if leaf.bits <= bits:
            return _Word(text, mask)
    return _Word("32s", mask)


class _Writer:
    """Writes the source of one reader, and gathers the constants that it uses."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 1
        self._names = 0
        self._loops = 0
        self._constants: dict[str, Any] = {
            "Doubt": Doubt,
            "CHECKSUMS": CHECKSUMS,
            "number": int.from_bytes,
            "scaled": scaled,
            "signed": _signed,
            "ZEROS": tuple(bytes(size) for size in range(WORD)),
        }

    def reader(self, shape: Tuple, topics: Sequence[tuple[str, Leaf]], order: Sequence[str]) -> ReadLog:
        values: dict[str, str] = {}
        for index, (name, leaf) in enumerate(topics):
            values[name] = self._topic(index, leaf)
        self._emit("size = len(data)")
        if _has_dynamic_items(shape):
            self._emit(f"left = {FREE_BYTES} + {MAX_INFLATION} * size")
        values.update(zip(shape.names, self._frame(shape, "0"), strict=True))
        self._emit(f"return {_dict_of((name, values[name]) for name in order)}")
        source = "\n".join(["def read(topics, data):", *self._lines])
        exec(compile(source, "<compiled event decoder>", "exec"), self._constants)  # noqa: S102  # our own text only
        reader: ReadLog = self._constants["read"]
        return reader

    # --- frames: words of known length, one after the other --------------------------------------

    def _topic(self, index: int, leaf: Leaf) -> str:
        topic = self._name("topic")
        self._emit(f"{topic} = topics[{index}]")
        if leaf == Leaf("bytes", 256):
            return topic
        return self._unpack([leaf], topic, "0")[0]

    def _frame(self, shape: Tuple, at: str) -> list[str]:
        """Reads the members of a tuple that begins at ``at``; the expressions of their values."""
        slots = list(_slots(shape.members))
        if not slots:
            return [self._assemble(m, iter(())) for m in shape.members]
        end = self._name("end")
        self._emit(f"{end} = {at} + {WORD * len(slots)}")
        self._doubt_if(f"{end} > size")
        if self._loops:
            self._charge(str(WORD * len(slots)))
        words = self._unpack(slots, "data", at, f"data[{at}:{end}]")
        floor = offset_floor(shape)
        values = iter([
            word if isinstance(slot, Leaf) else self._at_offset(slot, word, at, str(floor))
            for slot, word in zip(slots, words, strict=True)
        ])  # fmt: skip
        return [self._assemble(m, values) for m in shape.members]

    def _unpack(self, slots: Sequence[Shape], source: str, at: str, block: str | None = None) -> list[str]:
        """Unpacks words into variables, their padding checked; the expressions of their values."""
        formats = [_word(slot) if isinstance(slot, Leaf) else _OFFSET for slot in slots]
        self._check_mask(formats, block or source)
        names = [self._name("word") for _ in slots]
        unpack = self._constant("UNPACK", struct.Struct(_struct_format(formats)).unpack_from)
        self._emit(f"{', '.join(names)}, = {unpack}({source}, {at})")
        return [
            self._leaf_value(slot, name) if isinstance(slot, Leaf) else name
            for slot, name in zip(slots, names, strict=True)
        ]

    def _check_mask(self, formats: Sequence[_Word], block: str) -> None:
        mask = _joined_mask(formats)
        if mask:
            self._doubt_if(f"number({block}) & {self._constant('MASK', mask)}")

    def _leaf_value(self, leaf: Leaf, word: str) -> str:
        match leaf.kind:
            case "address":
                return f"CHECKSUMS[{word}]"
            case "int":
                return f"signed({word}, {1 << leaf.bits - 1})"
            case "fixed":
                return f"scaled(signed({word}, {1 << leaf.bits - 1}), {leaf.places})"
        value = f"number({word})" if leaf.kind in ("uint", "ufixed") and leaf.bits > 64 else word
        return f"scaled({value}, {leaf.places})" if leaf.kind == "ufixed" else value

    def _assemble(self, shape: Shape, values: Iterator[str]) -> str:
        """The expression of a member's value, from those of the slots that it was flattened to."""
        if shape.words is None or isinstance(shape, Leaf):
            return next(values)
        if isinstance(shape, Tuple):
            return _dict_of(
                (name, self._assemble(m, values)) for name, m in zip(shape.names, shape.members, strict=True)
            )
        assert isinstance(shape, Array)
        items = [self._assemble(shape.item, values) for _ in range(shape.length or 0)]
        return f"[{', '.join(items)}]"

    # --- what offsets point to ---------------------------------------------------------------------

    def _at_offset(self, shape: Shape, offset: str, frame: str, floor: str) -> str:
        at = self._name("at")
        self._emit(f"{at} = {frame} + {offset}")
        self._doubt_if(f"{offset} < {floor} or {at} >= size")
        if isinstance(shape, Blob):
            return self._blob(shape, at)
        if isinstance(shape, Tuple):
            return _dict_of(zip(shape.names, self._frame(shape, at), strict=True))
        assert isinstance(shape, Array)
        if shape.length is not None:
            return self._dynamic_items(shape.item, at, str(shape.length))
        begin, length = self._length(at)
        if shape.item.words is not None:
            return self._static_items(shape.item, begin, length, shape.item.words)
        return self._dynamic_items(shape.item, begin, length)

    def _length(self, at: str) -> tuple[str, str]:
        begin, length = self._name("begin"), self._name("length")
        self._emit(f"{begin} = {at} + {WORD}")
        self._doubt_if(f"{begin} > size")
        self._emit(f"{length} = number(data[{at}:{begin}])")
        return begin, length

    def _blob(self, shape: Blob, at: str) -> str:
        begin, length = self._length(at)
        end, padding, value = self._name("end"), self._name("padding"), self._name("value")
        self._emit(f"{end} = {begin} + {length}")
        self._emit(f"{padding} = -{length} & {WORD - 1}")
        self._doubt_if(f"{end} > size or data[{end}:{end} + {padding}] != ZEROS[{padding}]")
        if self._loops:
            self._charge(length)
        text = f"data[{begin}:{end}]"
        self._emit(f"{value} = {text}.decode()" if shape.text else f"{value} = {text}")
        return value

    def _items_block(self, begin: str, length: str, formats: Sequence[_Word]) -> str:
        """The bytes of ``length`` items of these words, their padding checked."""
        end, block = self._name("end"), self._name("block")
        self._emit(f"{end} = {begin} + {WORD * len(formats)} * {length}")
        self._doubt_if(f"{end} > size")
        if self._loops:
            self._charge(f"{WORD * len(formats)} * {length}")
        self._emit(f"{block} = data[{begin}:{end}]")
        mask = _joined_mask(formats)
        if mask:
            repeated = self._constant("MASK", mask.to_bytes(WORD * len(formats)))
            self._doubt_if(f"number({block}) & number({repeated} * {length})")
        return block

    def _static_items(self, item: Shape, begin: str, length: str, words: int) -> str:
        slots = [slot for slot in _slots([item]) if isinstance(slot, Leaf)]
        assert len(slots) == words
        formats = [_word(slot) for slot in slots]
        block = self._items_block(begin, length, formats)
        names = [self._name("word") for _ in slots]
        iterate = self._constant("ITERATE", struct.Struct(_struct_format(formats)).iter_unpack)
        leaves = [self._leaf_value(slot, name) for slot, name in zip(slots, names, strict=True)]
        value = self._assemble(item, iter(leaves))
        values = self._name("values")
        self._emit(f"{values} = [{value} for {', '.join(names)}, in {iterate}({block})]")
        return values

    def _dynamic_items(self, item: Shape, begin: str, length: str) -> str:
        self._loops += 1
        block = self._items_block(begin, length, [_OFFSET])
        floor, values, offset = self._name("floor"), self._name("values"), self._name("offset")
        iterate = self._constant("ITERATE", struct.Struct(_struct_format([_OFFSET])).iter_unpack)
        self._emit(f"{floor} = {WORD} * {length}")
        self._emit(f"{values} = []")
        self._emit(f"for {offset}, in {iterate}({block}):")
        self._indent += 1
        self._emit(f"{values}.append({self._at_offset(item, offset, begin, floor)})")
        self._indent -= 1
        self._loops -= 1
        return values

    # --- text --------------------------------------------------------------------------------------

    def _charge(self, size: str) -> None:
        """Counts what is read inside arrays, where offsets can make much out of little."""
        self._emit(f"left -= {size}")
        self._doubt_if("left < 0")

    def _doubt_if(self, condition: str) -> None:
        self._emit(f"if {condition}: raise Doubt")

    def _emit(self, line: str) -> None:
        self._lines.append("    " * self._indent + line)

    def _name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def _constant(self, stem: str, value: Any) -> str:
        name = self._name(stem)
        self._constants[name] = value
        return name


def _signed(word: bytes, half: int) -> int:
    """Two's complement of a word; ``Doubt`` unless ``-half <= value < half``."""
    value = int.from_bytes(word, signed=True)
    if not -half <= value < half:
        raise Doubt
    return value


def _slots(members: Sequence[Shape]) -> Iterator[Shape]:
    """The words of a frame, in order: leaves for static members, the shape itself where an offset stands."""
    for member in members:
        if member.words is None or isinstance(member, Leaf):
            yield member
        elif isinstance(member, Tuple):
            yield from _slots(member.members)
        elif isinstance(member, Array):
            yield from _slots([member.item] * (member.length or 0))


def _has_dynamic_items(shape: Shape) -> bool:
    if isinstance(shape, Array):
        return shape.item.words is None
    return isinstance(shape, Tuple) and any(_has_dynamic_items(m) for m in shape.members)


def _struct_format(words: Sequence[_Word]) -> str:
    return ">" + "".join(word.format for word in words)


def _joined_mask(words: Sequence[_Word]) -> int:
    mask = 0
    for word in words:
        mask = mask << 256 | word.mask
    return mask


def _dict_of(pairs: Any) -> str:
    return "{" + ", ".join(f"{name!r}: {value}" for name, value in pairs) + "}"
