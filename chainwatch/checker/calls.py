"""The functions of expressions, slices and elements: checks the types of what goes in, and says what comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chainwatch.checker import protocols
from chainwatch.checker.abi_values import TypeTextError, parse_type, reader_of, words_of
from chainwatch.checker.path import MAX_INDEX, array_of
from chainwatch.checker.syntax import Token
from chainwatch.checker.terms import (
    Term,
    TermBuilder,
    bits_of,
    bytes_length,
    describe,
    kind_of,
    size_of,
)
from chainwatch.checker.values import MAX_SIZE
from chainwatch.model import AbiParam
from chainwatch.support.spelling import did_you_mean

AGGREGATES = ("abs", "len", "max", "min", "sum")
CASTS = ("uint", "int", "address", "bytes32", "text")
CONTRACT = "contract"
FUNCTIONS = (*AGGREGATES, *CASTS, CONTRACT, "decode", "keccak", "lower", "unhex")
"""All but those of protocols."""

_INTEGER = re.compile(r"(u?)int([0-9]*)")
_WIDTHS = range(8, 257, 8)
_MAX_LENGTH_BITS = 32
_ADDRESS_BITS = 160
_WORD = 32

_CAST_COST, _ARRAY_COST, _WORD_COST = 3.0, 40.0, 2.0
"""Microseconds: of any cast, of going through an array, of each value that is decoded."""
_BYTES_HASHED, _BYTES_CHANGED = 300, 600
"""In a microsecond: how many bytes are hashed, and how many become text or other letters."""


class Calls:
    """Makes the terms of functions, slices and elements; every method raises `ConditionError` where types do not fit."""

    def __init__(self, build: TermBuilder) -> None:
        self._build = build

    def call(self, name: Token, arguments: Sequence[Term], end: int) -> Term:
        """Return the term of ``name(arguments)``."""
        if name.text in AGGREGATES:
            made = self._aggregate(name, arguments)
        elif name.text in protocols.FUNCTIONS:
            made = self._protocol(name, arguments)
        elif name.text == "keccak":
            made = self._keccak(name, arguments)
        elif name.text == "decode":
            made = self._decode(name, arguments)
        else:
            made = self._cast(name, arguments)
        return replace(made, start=name.column, end=end)

    def slice(self, term: Term, start: Term | None, stop: Term | None, end: int) -> Term:
        """Return ``term[start:stop]`` of bytes or a string; either bound may be missing."""
        rule = "bytes and strings have slices"
        hint = "bytes32(…) makes bytes of it" if term.kind in ("address", "integer") else ""
        if term.kind not in ("bytes", "string"):
            what = f"{rule}, {self._build.text(term)} is {describe(term.type)}"
            raise self._build.error(term.start, what, term.note or hint)
        bounds = [bound for bound in (start, stop) if bound is not None]
        for bound in bounds:
            self._build.require_integer(bound, "a slice")
        size, exact = self._slice_size(term, start, stop, end)
        codes = [self._bound_code(bound) for bound in (start, stop)]
        code = f"cut({term.code}, {'0' if start is None else codes[0]}, {codes[1]})"
        is_word = term.kind == "bytes" and exact and 0 < size <= _WORD
        abi_type = f"bytes{size}" if is_word else "string" if term.kind == "string" else "bytes"
        made = self._build.made(code, abi_type, [term, *bounds], size=min(size, MAX_SIZE), cost=1)
        length = size if exact and term.kind == "bytes" else 0
        return replace(made, start=term.start, end=end, length=length)

    def item(self, term: Term, index: int, column: int, end: int) -> Term:
        """Return ``term[index]`` of a tuple that was decoded, or of an array."""
        name = self._build.text(term)
        if term.type == "tuple":
            place = index + len(term.components) if index < 0 else index
            if not 0 <= place < len(term.components):
                raise self._build.error(column, f"{name} has {len(term.components)} values only")
            param = term.components[place]
            return self._element(term, f"{term.code}[{param.name!r}]", param, end)
        array = array_of(term.type)
        if array is None:
            what = f"{name} is {describe(term.type)}, not an array"
            hint = f"one byte is a slice: [{index}:{index + 1}]" if term.kind in ("bytes", "string") else ""
            raise self._build.error(column, what, hint or term.note)
        element, length = array
        if length is not None and not -length <= index < length:
            raise self._build.error(column, f"{name} has {length} elements only")
        if abs(index) > MAX_INDEX:
            raise self._build.error(column, f"an index above {MAX_INDEX}")
        param = AbiParam("", element, components=term.components)
        return self._element(term, f"{term.code}[{index}]", param, end)

    def _element(self, term: Term, code: str, param: AbiParam, end: int) -> Term:
        size = size_of(param.type, MAX_SIZE)
        made = self._build.made(code, param.type, [term], bits_of(param.type), size)
        return replace(made, components=param.components, end=end)

    # --- slices ---

    def _slice_size(self, term: Term, start: Term | None, stop: Term | None, end: int) -> tuple[int, bool]:
        """Return the bytes of a slice at most, and whether it always has as many."""
        first = 0 if start is None else start.value
        last = None if stop is None else stop.value
        total = bytes_length(term.type) if term.kind == "bytes" else 0
        if total:
            first = first + total if first is not None and first < 0 else first
            last = total if stop is None else last + total if last is not None and last < 0 else last
            for bound, place in ((start, first), (stop, last)):
                if bound is not None and place is not None and not 0 <= place <= total:
                    what = f"{self._build.text(term)} has {total} bytes: the slice is beyond its end"
                    raise self._build.error(bound.start, what)
        elif stop is None and first is not None and first < 0:
            return (-first, True) if term.kind == "bytes" else (MAX_SIZE, False)
        if first is None or last is None or (first < 0) != (last < 0):
            return min(total or term.size, MAX_SIZE), False
        if first > last:
            raise self._build.error(start.start if start else end, "the slice ends before it begins")
        if term.kind == "string":
            return MAX_SIZE, False
        if last - first > MAX_SIZE:
            raise self._build.error(start.start if start else end, f"a slice has at most {MAX_SIZE} bytes")
        return last - first, True

    def _bound_code(self, bound: Term | None) -> str:
        if bound is None:
            return "None"
        return bound.code if bound.value is not None else f"natural({bound.code})"

    # --- functions of integers and arrays ---

    def _aggregate(self, name: Token, arguments: Sequence[Term]) -> Term:
        """Return ``len(…)``, ``sum(array)``, ``abs(integer)``, ``min`` and ``max`` of integers or of one array."""
        several = name.text in ("min", "max") and len(arguments) > 1
        if not several:
            self._require_one(name, arguments)
        bits = max(term.bits for term in arguments)
        code = ", ".join(term.code for term in arguments)
        cost = 0.0
        if name.text == "abs" or several:
            for term in arguments:
                self._build.require_integer(term, name.text)
        elif name.text == "len":
            rule = "len measures an array, bytes or a string"
            self._build.require_kind(arguments[0], ("array", "bytes", "string"), rule)
            bits = _MAX_LENGTH_BITS
        else:
            element = array_of(arguments[0].type)
            if element is None or kind_of(element[0]) != "integer":
                self._build.require_kind(arguments[0], (), f"{name.text} takes an array of integers")
            bits = bits_of(element[0] if element else "") + _MAX_LENGTH_BITS
            code, cost = f"few({code})", _ARRAY_COST
        return self._build.made(f"{name.text}({code})", "int", arguments, bits, cost=cost)

    # --- casts ---

    def _cast(self, name: Token, arguments: Sequence[Term]) -> Term:
        casts: Mapping[str, Callable[[Term], Term]] = {
            "address": self._address,
            "bytes32": self._word,
            "text": self._text,
            "lower": self._lower,
            "unhex": self._unhex,
        }
        integer = _INTEGER.fullmatch(name.text)
        if name.text not in casts and integer is None:
            known = [*FUNCTIONS, *protocols.FUNCTIONS]
            near = did_you_mean(name.text, known)
            hint = f"there are {', '.join(known)}"
            what = f"there is no function {name.text}"
            raise self._build.error(name.column, what, f"{near} {hint}" if near else hint)
        self._require_one(name, arguments)
        if integer is None:
            return casts[name.text](arguments[0])
        bits = int(integer[2][:4] or 256)
        if bits not in _WIDTHS or integer[2].startswith("0"):
            what = f"there is no integer type {name.text}"
            raise self._build.error(name.column, what, "widths are 8, 16, … 256")
        return self._integer(arguments[0], f"{integer[1]}int{bits}", bits, is_signed=not integer[1])

    def _integer(self, term: Term, abi_type: str, bits: int, *, is_signed: bool) -> Term:
        if term.value is not None:
            low = -(1 << bits - 1) if is_signed else 0
            if not low <= term.value < low + (1 << bits):
                raise self._build.error(term.start, f"{term.value} is no {abi_type}")
            return replace(term, type=abi_type, literal=None)
        if term.kind == "integer":
            fits = term.type == abi_type or _is_within(term.type, bits, is_signed=is_signed)
            code, width = term.code, min(term.bits, bits)
        elif term.kind == "bytes":
            self._require_word(term)
            length = bytes_length(term.type)
            reads = "signed_of_bytes" if is_signed else "unsigned_of_bytes"
            code = f"number({term.code})" if length and not is_signed else f"{reads}({term.code})"
            fits = 0 < 8 * length <= bits or bits == 8 * _WORD
            width = min(8 * (length or _WORD), bits)
        elif term.kind == "address" and not is_signed:
            code, fits, width = f"integer_of_address({term.code})", bits >= _ADDRESS_BITS, _ADDRESS_BITS
        else:
            rule = "integers are made of bytes, addresses and integers"
            raise self._refused(term, rule if not is_signed else "int takes bytes and integers")
        if not fits:
            code, width = f"{'signed' if is_signed else 'unsigned'}({code}, {bits})", bits
        return self._build.made(code, abi_type, [term], width, cost=_CAST_COST)

    def _require_word(self, term: Term) -> None:
        if term.length > _WORD:
            what = f"{self._build.text(term)} has {term.length} bytes, at most {_WORD} fit"
            raise self._build.error(term.start, what, "a slice [a:b] has b - a bytes")

    def _address(self, term: Term) -> Term:
        if (term.kind == "string" and term.adapts) or (term.literal is not None and len(term.literal) == 42):
            return self._build.fitted(term, replace(term, type="address"))
        match term.kind:
            case "address":
                return term
            case "integer":
                code = f"address_of_integer({term.code})"
            case "bytes" if (bytes_length(term.type) or term.length) in (0, 20, _WORD):
                code = f"address_of_bytes({term.code})"
            case "bytes":
                what = "an address is 20 bytes, or 32 that begin with 12 zeros, "
                what += f"{self._build.text(term)} has {bytes_length(term.type) or term.length} bytes"
                raise self._build.error(term.start, what, term.note)
            case _:
                raise self._refused(term, "addresses are made of bytes and integers")
        return self._build.made(code, "address", [term], cost=_CAST_COST)

    def _word(self, term: Term) -> Term:
        if term.kind == "string" and term.adapts:
            return self._padded_hex(term)
        match term.kind:
            case "address":
                code = f"word_of_address({term.code})"
            case "integer":
                code = f"word_of_integer({term.code})"
            case "bytes":
                self._require_word(term)
                code = f"word_of_bytes({term.code})"
            case _:
                raise self._refused(term, "bytes32 takes an address, an integer, or at most 32 bytes")
        return self._build.made(code, "bytes32", [term], size=_WORD, cost=_CAST_COST)

    def _padded_hex(self, term: Term) -> Term:
        """Return quoted hex, or an attribute that is hex, with zeros in front."""
        as_bytes = self._build.fitted(term, replace(term, type="bytes", literal=None, choices={}))
        code = f"word_of_bytes({as_bytes.code})"
        return self._build.made(code, "bytes32", [as_bytes], size=_WORD, cost=_CAST_COST)

    def _text(self, term: Term) -> Term:
        self._build.require_kind(term, ("bytes", "string"), "text is made of bytes")
        size = min(term.size, MAX_SIZE)
        cost = 1 + size / _BYTES_CHANGED
        if term.kind == "string":
            return self._build.made(f"bounded({term.code})", "string", [term], size=size, cost=cost)
        return self._build.made(f"text_of({term.code})", "string", [term], size=size, cost=cost)

    def _lower(self, term: Term) -> Term:
        if term.kind != "string":
            raise self._refused(term, "lower takes a string")
        cost = 1 + min(term.size, MAX_SIZE) / _BYTES_CHANGED * 2
        return self._build.made(f"lower({term.code})", "string", [term], size=MAX_SIZE, cost=cost)

    def _unhex(self, term: Term) -> Term:
        if term.kind != "string":
            raise self._refused(term, "unhex takes a string of hex digits")
        size = min(term.size, MAX_SIZE)
        cost = 1 + size / _BYTES_CHANGED
        return self._build.made(f"unhex({term.code})", "bytes", [term], size=size, cost=cost)

    # --- hashes and encodings ---

    def _keccak(self, name: Token, arguments: Sequence[Term]) -> Term:
        """Return the hash of its arguments packed, as by Solidity's ``abi.encodePacked``."""
        if not arguments:
            raise self._build.error(name.column, "keccak takes one argument or more")
        parts = [self._packed(term) for term in arguments]
        size = sum(term.size or _WORD for term in arguments)
        is_bounded = size <= MAX_SIZE
        code = " + ".join(parts) if is_bounded else f"joined(({''.join(f'{part}, ' for part in parts)}))"
        cost = 2 + len(parts) + min(size, MAX_SIZE) / _BYTES_HASHED
        return self._build.made(f"keccak({code})", "bytes32", arguments, size=_WORD, cost=cost)

    def _packed(self, term: Term) -> str:
        """Return the code that makes bytes of it."""
        match term.kind:
            case "bytes":
                return term.code
            case "string":
                return f"bytes_of_text({term.code})"
            case "address":
                return f"bytes_of_address({term.code})"
            case "boolean":
                return f"packed_integer({term.code}, 1)"
            case "integer" if term.type != "int":
                return f"packed_integer({term.code}, {bits_of(term.type) // 8})"
            case "integer":
                what = f"{self._build.text(term)} has no stated width, which keccak needs"
                raise self._build.error(
                    term.start, what, f"write uint256{self._in_brackets(term)}, or uint64, …"
                )
        raise self._refused(term, "keccak takes bytes, strings, addresses, integers and booleans")

    def _in_brackets(self, term: Term) -> str:
        return f"({self._build.source[term.start : term.end]})"

    def _decode(self, name: Token, arguments: Sequence[Term]) -> Term:
        """Return the values of ABI-encoded bytes: ``decode("(uint32,address)", body)[1]``."""
        if len(arguments) != 2 or arguments[0].kind != "string" or arguments[0].literal is None:
            what = "decode takes a type in quotes and bytes"
            raise self._build.error(name.column, what, 'such as decode("(uint32,address)", body)')
        types, data = arguments
        if data.kind != "bytes":
            raise self._refused(data, "decode takes bytes")
        try:
            param = parse_type(types.literal or "")
        except TypeTextError as error:
            raise self._build.error(types.start + 1, str(error)) from error
        reader = self._build.constant(reader_of(param), "", types.start, types.end)
        size, cost = size_of(param.type, MAX_SIZE), 5 + words_of(param) * _WORD_COST
        made = self._build.made(
            f"{reader.code}({data.code})", param.type, [data], bits_of(param.type), size, cost
        )
        return replace(made, components=param.components)

    # --- what only a protocol can compute ---

    def _protocol(self, name: Token, arguments: Sequence[Term]) -> Term:
        function = protocols.FUNCTIONS[name.text]
        wanted = function.parameters
        fits = len(arguments) == len(wanted) and all(
            (term.type, term.components) == (param.type, param.components)
            for term, param in zip(arguments, wanted, strict=True)
        )
        if not fits:
            types = ", ".join(param.canonical_type for param in wanted)
            given = ", ".join(describe(term.type) for term in arguments)
            what = f"{name.text} takes {types}, not {given or 'nothing'}"
            raise self._build.error(name.column, what)
        compute = self._build.constant(function.compute, "", name.column, name.end)
        code = f"{compute.code}({', '.join(term.code for term in arguments)})"
        result = function.result
        size = size_of(result, MAX_SIZE)
        return self._build.made(code, result, arguments, bits_of(result), size, function.cost)

    def _require_one(self, name: Token, arguments: Sequence[Term]) -> None:
        if len(arguments) != 1:
            what = f"{name.text} takes one argument, not {len(arguments)}"
            raise self._build.error(name.column, what)

    def _refused(self, term: Term, rule: str) -> Exception:
        what = f"{rule}, {self._build.text(term)} is {describe(term.type)}"
        return self._build.error(term.start, what, term.note)


def _is_within(abi_type: str, bits: int, *, is_signed: bool) -> bool:
    """Return whether every value of an integer type of stated width is one of the other."""
    if abi_type == "int":
        return False
    unsigned = abi_type.startswith("u")
    if is_signed:
        return bits_of(abi_type) + unsigned <= bits
    return unsigned and bits_of(abi_type) <= bits
