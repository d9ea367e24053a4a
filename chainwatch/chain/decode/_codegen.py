"""Makes one Python function per event shape that reads a log's values at full speed.

The function checks everything the strict reader checks, but explains nothing: at the first doubt it raises ``Doubt``
(or ``ValueError``), and the strict reader decides what was wrong, if anything. So the function may refuse too much,
never too little.

Why it is fast: the words of known length that follow each other (a *frame*) are unpacked by one ``struct`` call, and
all their padding is checked at once, as one long integer against one mask.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from chainwatch.support.abi.addresses import CHECKSUMS
from chainwatch.support.abi.shape import WORD, Array, Blob, Leaf, Shape, Tuple, offset_floor
from chainwatch.support.abi.strict import FREE_BYTES, MAX_INFLATION, scaled

MAX_FRAME_WORDS = 256
"""Longer static types are left to the strict reader: their code would grow with their length."""
MAX_LOOPS = 8
"""Deeper nested arrays are left to the strict reader: Python allows 20 nested blocks in a function."""
MAX_TUPLES = 32
"""Deeper nested tuples as well: Python allows 200 nested brackets in an expression."""

ReadLog: TypeAlias = Callable[[Sequence[bytes], bytes], dict[str, Any]]

Wanted: TypeAlias = Mapping[str, "Wanted"] | None
"""Which members of a tuple are to be given, and what of each; None for all. All others are checked no less."""
_NOTHING: Wanted = {}


class Doubt(Exception):
    """The bytes are malformed, or odd enough to need the strict reader."""


def compile_reader(
    shape: Tuple,
    topics: Sequence[tuple[str, Leaf]],
    order: Sequence[str],
    topic0: bytes | None,
    wanted: Wanted = None,
) -> ReadLog | None:
    """Return the function from (topics, data) to the values that are ``wanted`` by name, in ``order``.

    ``topics`` are the indexed parameters, in order; ``shape`` holds the others. ``topic0`` is the event's, None when it is
    anonymous. The function raises ``Doubt`` or ``ValueError``. None where the shape is one that is not compiled.
    """
    if not _is_compiled(shape, 0, 0):
        return None
    return _Writer().reader(shape, topics, order, topic0, wanted)


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
_SKIPPED = _Word(f"{WORD}x", 0)
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

    def reader(
        self,
        shape: Tuple,
        topics: Sequence[tuple[str, Leaf]],
        order: Sequence[str],
        topic0: bytes | None,
        wanted: Wanted,
    ) -> ReadLog:
        words = self._topics(len(topics), topic0)
        values = {
            name: self._topic(word, leaf, _within(wanted, name))
            for (name, leaf), word in zip(topics, words, strict=True)
        }
        self._emit("size = len(data)")
        if _has_dynamic_items(shape):
            self._emit(f"left = {FREE_BYTES} + {MAX_INFLATION} * size")
        values.update(zip(shape.names, self._frame(shape, "0", wanted), strict=True))
        self._emit(f"return {_dict_of(((name, values[name]) for name in order), wanted)}")
        source = "\n".join(["def read(topics, data):", *self._lines])
        exec(compile(source, "<compiled event decoder>", "exec"), self._constants)  # noqa: S102  # our own text only
        reader: ReadLog = self._constants["read"]
        return reader

    # --- frames: words of known length, one after the other --------------------------------------

    def _topics(self, indexed: int, topic0: bytes | None) -> list[str]:
        """Take the topics apart; return the variables of those of indexed parameters."""
        words = [self._name("topic") for _ in range(indexed)]
        names = words if topic0 is None else [self._name("event"), *words]
        self._emit(f"[{', '.join(names)}] = topics")  # ValueError unless there are as many
        wrong = [f"len({word}) != {WORD}" for word in words]
        if topic0 is not None:
            wrong.append(f"{names[0]} != {self._constant('TOPIC', topic0)}")
        if wrong:
            self._doubt_if(" or ".join(wrong))
        return words

    def _topic(self, word: str, leaf: Leaf, wanted: Wanted) -> str:
        if leaf == Leaf("bytes", 256):
            return word
        return self._checked(leaf, self._unpack([(leaf, wanted)], word, "0")[0], wanted)

    def _frame(self, shape: Tuple, at: str, wanted: Wanted) -> list[str]:
        """Read the members of a tuple that begins at ``at``; return the expressions of their values."""
        members = _members(shape, wanted)
        slots = list(_slots(members))
        if not slots:
            return [self._assemble(m, iter(()), some) for m, some in members]
        end = self._name("end")
        self._emit(f"{end} = {at} + {WORD * len(slots)}")
        self._doubt_if(f"{end} > size")
        if self._loops:
            self._charge(str(WORD * len(slots)))
        words = self._unpack(slots, "data", at, f"data[{at}:{end}]")
        floor = offset_floor(shape)
        values = iter(
            [
                self._checked(slot, word, some)
                if isinstance(slot, Leaf)
                else self._at_offset(slot, word, at, str(floor), some)
                for (slot, some), word in zip(slots, words, strict=True)
            ]
        )
        return [self._assemble(m, values, some) for m, some in members]

    def _unpack(
        self, slots: Sequence[tuple[Shape, Wanted]], source: str, at: str, block: str | None = None
    ) -> list[str]:
        """Unpack words into variables, their padding checked; return the expressions of their values."""
        words = [_word(slot) if isinstance(slot, Leaf) else _OFFSET for slot, _ in slots]
        self._check_mask(words, block or source)
        names = [self._name("word") if _is_made(slot, wanted) else "" for slot, wanted in slots]
        if made := [name for name in names if name]:
            formats = [word if name else _SKIPPED for word, name in zip(words, names, strict=True)]
            unpack = self._constant("UNPACK", struct.Struct(_struct_format(formats)).unpack_from)
            self._emit(f"{', '.join(made)}, = {unpack}({source}, {at})")
        return [
            self._leaf_value(slot, name) if isinstance(slot, Leaf) and name else name or _UNWANTED
            for (slot, _), name in zip(slots, names, strict=True)
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

    def _checked(self, leaf: Leaf, value: str, wanted: Wanted) -> str:
        """Return the expression of a leaf's ``value``, evaluated only to check it, where the value itself is not needed."""
        if wanted is not None and leaf.kind in _CHECKED_BY_VALUE:
            self._emit(value)
        return value

    def _assemble(self, shape: Shape, values: Iterator[str], wanted: Wanted) -> str:
        """Return the expression of a member's value, from those of the slots that it was flattened to."""
        if shape.words is None or isinstance(shape, Leaf):
            return next(values)
        if isinstance(shape, Tuple):
            parts = [self._assemble(m, values, some) for m, some in _members(shape, wanted)]
            return _dict_of(zip(shape.names, parts, strict=True), wanted)
        assert isinstance(shape, Array)
        items = [self._assemble(shape.item, values, wanted) for _ in range(shape.length or 0)]
        return f"[{', '.join(items)}]"

    # --- what offsets point to ---------------------------------------------------------------------

    def _at_offset(self, shape: Shape, offset: str, frame: str, floor: str, wanted: Wanted) -> str:
        at = self._name("at")
        self._emit(f"{at} = {frame} + {offset}")
        self._doubt_if(f"{offset} < {floor} or {at} >= size")
        if isinstance(shape, Blob):
            return self._blob(shape, at, wanted)
        if isinstance(shape, Tuple):
            return _dict_of(zip(shape.names, self._frame(shape, at, wanted), strict=True), wanted)
        assert isinstance(shape, Array)
        if shape.length is not None:
            return self._dynamic_items(shape.item, at, str(shape.length), wanted)
        begin, length = self._length(at)
        if shape.item.words is not None:
            return self._static_items(shape.item, begin, length, wanted)
        return self._dynamic_items(shape.item, begin, length, wanted)

    def _length(self, at: str) -> tuple[str, str]:
        begin, length = self._name("begin"), self._name("length")
        self._emit(f"{begin} = {at} + {WORD}")
        self._doubt_if(f"{begin} > size")
        self._emit(f"{length} = number(data[{at}:{begin}])")
        return begin, length

    def _blob(self, shape: Blob, at: str, wanted: Wanted) -> str:
        begin, length = self._length(at)
        end, padding = self._name("end"), self._name("padding")
        self._emit(f"{end} = {begin} + {length}")
        self._emit(f"{padding} = -{length} & {WORD - 1}")
        self._doubt_if(f"{end} > size or data[{end}:{end} + {padding}] != ZEROS[{padding}]")
        if self._loops:
            self._charge(length)
        if wanted is not None and not shape.text:
            return _UNWANTED
        return self._value(f"data[{begin}:{end}]" + (".decode()" if shape.text else ""))

    def _items_block(self, begin: str, length: str, formats: Sequence[_Word]) -> str:
        """Return the bytes of ``length`` items of these words, their padding checked."""
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

    def _static_items(self, item: Shape, begin: str, length: str, wanted: Wanted) -> str:
        slots = [slot for slot, _ in _slots([(item, None)]) if isinstance(slot, Leaf)]
        assert len(slots) == item.words
        formats = [_word(slot) for slot in slots]
        block = self._items_block(begin, length, formats)
        if wanted is not None and not any(slot.kind in _CHECKED_BY_VALUE for slot in slots):
            return _UNWANTED
        names = [self._name("word") for _ in slots]
        iterate = self._constant("ITERATE", struct.Struct(_struct_format(formats)).iter_unpack)
        leaves = [self._leaf_value(slot, name) for slot, name in zip(slots, names, strict=True)]
        value = self._assemble(item, iter(leaves), None)
        return self._value(f"[{value} for {', '.join(names)}, in {iterate}({block})]")

    def _dynamic_items(self, item: Shape, begin: str, length: str, wanted: Wanted) -> str:
        self._loops += 1
        block = self._items_block(begin, length, [_OFFSET])
        floor, values, offset = self._name("floor"), self._name("values"), self._name("offset")
        iterate = self._constant("ITERATE", struct.Struct(_struct_format([_OFFSET])).iter_unpack)
        self._emit(f"{floor} = {WORD} * {length}")
        if wanted is None:
            self._emit(f"{values} = []")
        self._emit(f"for {offset}, in {iterate}({block}):")
        self._indent += 1
        value = self._at_offset(item, offset, begin, floor, wanted)
        if wanted is None:
            self._emit(f"{values}.append({value})")
        self._indent -= 1
        self._loops -= 1
        return values

    # --- text --------------------------------------------------------------------------------------

    def _charge(self, size: str) -> None:
        """Count what is read inside arrays, where offsets can make much out of little."""
        self._emit(f"left -= {size}")
        self._doubt_if("left < 0")

    def _doubt_if(self, condition: str) -> None:
        self._emit(f"if {condition}: raise Doubt")

    def _emit(self, line: str) -> None:
        self._lines.append("    " * self._indent + line)

    def _value(self, expression: str) -> str:
        value = self._name("value")
        self._emit(f"{value} = {expression}")
        return value

    def _name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._names}"

    def _constant(self, stem: str, value: Any) -> str:
        name = self._name(stem)
        self._constants[name] = value
        return name


def _signed(word: bytes, half: int) -> int:
    """Return two's complement of a word; ``Doubt`` unless ``-half <= value < half``."""
    value = int.from_bytes(word, signed=True)
    if not -half <= value < half:
        raise Doubt
    return value


_CHECKED_BY_VALUE = ("int", "fixed")
"""The kinds of leaves that no mask of zeros checks."""
_UNWANTED = "None"
"""In place of a value that is not made; it is in no result."""


def _is_made(slot: Shape, wanted: Wanted) -> bool:
    return wanted is None or not isinstance(slot, Leaf) or slot.kind in _CHECKED_BY_VALUE


def _within(wanted: Wanted, name: str) -> Wanted:
    return None if wanted is None else wanted.get(name, _NOTHING)


def _members(shape: Tuple, wanted: Wanted) -> list[tuple[Shape, Wanted]]:
    """Return the members of a tuple, with what is wanted of each."""
    return [(m, _within(wanted, name)) for name, m in zip(shape.names, shape.members, strict=True)]


def _slots(members: Iterable[tuple[Shape, Wanted]]) -> Iterator[tuple[Shape, Wanted]]:
    """Yield the words of a frame, in order: leaves for static members, the shape itself where an offset stands."""
    for member, wanted in members:
        if member.words is None or isinstance(member, Leaf):
            yield member, wanted
        elif isinstance(member, Tuple):
            yield from _slots(_members(member, wanted))
        elif isinstance(member, Array):
            yield from _slots([(member.item, wanted)] * (member.length or 0))


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


def _dict_of(pairs: Iterable[tuple[str, str]], wanted: Wanted) -> str:
    some = (f"{name!r}: {value}" for name, value in pairs if wanted is None or name in wanted)
    return "{" + ", ".join(some) + "}"
