"""The typed parts of a condition: each knows its ABI type and the Python code that computes it.

The code holds nothing of the source's text: fields are ``p0``, ``p1``, …, constants ``k0``, ``k1``, …, and
the rest is operators and the five functions below. Sizes are bounded before anything is computed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chainwatch.checker.path import Path, array_of
from chainwatch.checker.syntax import ConditionError, Token
from chainwatch.support.keccak import checksum_address

MAX_BITS = 2048
"""Largest integer, at compile time and at run time: eight multiplied uint256."""

MAX_DIGITS = 600
"""Decimal digits of one number in the source: within ``MAX_BITS``."""

MAX_DEPTH = 40
"""Operations inside one another."""

FUNCTIONS: Mapping[str, Callable[..., Any]] = {"abs": abs, "len": len, "max": max, "min": min, "sum": sum}
"""What a condition may call."""

_MAX_LENGTH_BITS = 32
_EQUALITY = ("==", "!=")
_SIZED = re.compile(r"u?int([0-9]*)|bytes([0-9]+)")
_FOLDED: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": pow,
}


@dataclass(frozen=True)
class Term:
    """A part of a condition, from ``start`` to ``end`` in the source.

    ``bits`` bounds an integer's size. ``literal`` is the text of a constant that may still become an address
    or bytes, by the type of what it is compared with. ``value`` is an integer known at compile time.
    ``items`` are the elements of a list. ``note`` is what an error about the type should add.
    """

    code: str
    type: str
    start: int
    end: int
    bits: int = 0
    depth: int = 0
    literal: str | None = None
    value: int | None = None
    items: tuple[Term, ...] = ()
    note: str = ""

    @property
    def kind(self) -> str:
        """integer, boolean, address, string, bytes, array, tuple or list."""
        return kind_of(self.type)


def kind_of(abi_type: str) -> str:
    """Return the kind of an ABI type, or of ``int`` and ``list``, which stand for constants."""
    if array_of(abi_type):
        return "array"
    if abi_type.startswith(("int", "uint")):
        return "integer"
    if abi_type == "function" or abi_type.startswith("bytes"):
        return "bytes"
    return "boolean" if abi_type == "bool" else abi_type


def describe(abi_type: str) -> str:
    """Return a type in words, for errors."""
    kind = kind_of(abi_type)
    if kind in ("array", "bytes"):
        return abi_type
    return f"an {kind}" if kind in ("integer", "address") else f"a {kind}"


class TermBuilder:
    """Puts the terms of one source together; every method raises `ConditionError` where types do not fit."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.constants: list[Any] = []

    # --- leaves ---

    def integer(self, token: Token) -> Term:
        """Return a number, decimal or hex."""
        digits = token.text.replace("_", "").lower()
        base = 16 if token.kind == "hex" else 10
        if token.kind == "number" and len(digits) > MAX_DIGITS:
            raise self.error(token.column, "this number is too large", f"the largest has {MAX_DIGITS} digits")
        value = int(digits, base) if digits != "0x" else 0
        literal = token.text if token.kind == "hex" else None
        return self._integer(value, token.column, token.end, literal)

    def string(self, token: Token) -> Term:
        """Return the term of quoted text: a string, or an address or bytes where compared with one."""
        return self._constant(token.text, "string", token.column, token.end, literal=token.text)

    def boolean(self, token: Token) -> Term:
        """Return the term of ``true`` or ``false``."""
        return self._constant(token.text.lower() == "true", "bool", token.column, token.end)

    def field(self, index: int, path: Path, start: int, end: int) -> Term:
        """Return the value at ``path``, the ``index``-th that the condition reads."""
        return Term(f"p{index}", path.type, start, end, bits=_bits(path.type), note=path.note)

    def listing(self, items: Sequence[Term], start: int, end: int) -> Term:
        """Return a list of values, for the right side of ``in``."""
        return Term("", "list", start, end, depth=_depth(items), items=tuple(items))

    # --- booleans ---

    def logic(self, word: str, operands: Sequence[Term]) -> Term:
        """Join two or more booleans by ``and`` or ``or``."""
        for operand in operands:
            self.require_boolean(operand, f"`{word}`")
        code = f" {word} ".join(operand.code for operand in operands)
        return self._made(f"({code})", "bool", operands)

    def negation(self, operand: Term, start: int) -> Term:
        """Put ``not`` before a boolean."""
        self.require_boolean(operand, "`not`")
        return replace(self._made(f"(not {operand.code})", "bool", [operand]), start=start)

    def comparison(self, operands: Sequence[Term], operators: Sequence[Token]) -> Term:
        """Compare values of one type in a row, as ``a < b <= c``."""
        model = next((term for term in operands if term.literal is None), operands[0])
        terms = [self._fitted(term, model) for term in operands]
        for token, left, right in zip(operators, terms, terms[1:], strict=False):
            self._check_comparable(token, left, right)
        code = terms[0].code
        for token, term in zip(operators, terms[1:], strict=True):
            code += f" {token.text} {term.code}"
        return self._made(f"({code})", "bool", terms)

    def membership(self, left: Term, right: Term, *, negated: bool, column: int) -> Term:
        """Test ``left in right``, where ``right`` is a list of constants or fields, or an array argument."""
        if right.kind == "list":
            model = next((term for term in (left, *right.items) if term.literal is None), left)
            left = self._fitted(left, model)
            items = [self._fitted(item, model) for item in right.items]
            for item in items:
                self._check_same_type(left, item, item.start)
            code = "(" + "".join(f"{item.code}, " for item in items) + ")"
        elif array := array_of(right.type):
            code = right.code
            model = replace(right, type=array[0])
            left = self._fitted(left, model)
            self._check_same_type(left, model, column, f"an element of {self._text(right)}")
        else:
            raise self.error(
                right.start,
                f"{self._text(right)} is {describe(right.type)}, not a list or an array",
                right.note,
            )
        word = "not in" if negated else "in"
        return self._made(f"({left.code} {word} {code})", "bool", [left, right])

    def require_boolean(self, term: Term, where: str) -> None:
        """Refuse whatever is neither true nor false."""
        if term.kind != "boolean":
            what = f"{where} needs a boolean, {self._text(term)} is {describe(term.type)}"
            raise self.error(term.start, what, term.note or "compare it with something")

    # --- integers ---

    def arithmetic(self, token: Token, left: Term, right: Term) -> Term:
        """Compute ``left <operator> right`` on integers; of two constants the result is known here."""
        if token.text == "/":
            raise self.error(token.column, "`/` would round", "write `//`, a whole division rounded down")
        for term in (left, right):
            self._require_integer(term, token.text)
        if token.text in ("//", "%") and right.value == 0:
            raise self.error(right.start, "division by zero")
        bits = self._result_bits(token, left, right)
        if bits > MAX_BITS:
            raise self.error(
                token.column, f"the result can have {bits} bits", f"the largest allowed has {MAX_BITS}"
            )
        if left.value is not None and right.value is not None:
            return self._integer(_FOLDED[token.text](left.value, right.value), left.start, right.end)
        return self._made(f"({left.code} {token.text} {right.code})", "int256", [left, right], bits)

    def signed(self, operand: Term, sign: Token) -> Term:
        """Put ``-`` or ``+`` before an integer."""
        self._require_integer(operand, sign.text)
        if operand.value is not None:
            value = -operand.value if sign.text == "-" else operand.value
            return self._integer(value, sign.column, operand.end)
        made = self._made(f"({sign.text}{operand.code})", "int256", [operand], operand.bits)
        return replace(made, start=sign.column)

    def _result_bits(self, token: Token, left: Term, right: Term) -> int:
        """Return an upper bound of the result's size, from those of the operands."""
        match token.text:
            case "**":
                if left.value is None or right.value is None:
                    place = left if left.value is None else right
                    raise self.error(
                        place.start,
                        "`**` takes constants only",
                        "for a square write a multiplication: amount * amount",
                    )
                if right.value < 0:
                    raise self.error(right.start, "a negative power is not a whole number")
                return max(1, left.bits) * right.value
            case "*":
                return left.bits + right.bits
            case "%":
                return right.bits
            case _:
                return max(left.bits, right.bits) + 1

    # --- functions ---

    def call(self, name: Token, arguments: Sequence[Term], end: int) -> Term:
        """Call ``len(…)``, ``sum(array)``, ``abs(integer)``, or ``min`` or ``max`` of integers or of one array."""
        if name.text not in FUNCTIONS:
            raise self.error(
                name.column, f"there is no function {name.text}", f"there are {', '.join(FUNCTIONS)}"
            )
        several = name.text in ("min", "max") and len(arguments) > 1
        if len(arguments) != 1 and not several:
            raise self.error(name.column, f"{name.text} takes one argument, not {len(arguments)}")
        bits = max(term.bits for term in arguments)
        if name.text == "abs" or several:
            for term in arguments:
                self._require_integer(term, name.text)
        elif name.text == "len":
            self._require_kind(
                arguments[0], ("array", "bytes", "string"), "len measures an array, bytes or a string"
            )
            bits = _MAX_LENGTH_BITS
        else:
            element = array_of(arguments[0].type)
            if element is None or kind_of(element[0]) != "integer":
                self._require_kind(arguments[0], (), f"{name.text} takes an array of integers")
            bits = _bits(element[0] if element else "") + _MAX_LENGTH_BITS
        code = ", ".join(term.code for term in arguments)
        made = self._made(f"{name.text}({code})", "int256", arguments, bits)
        return replace(made, start=name.column, end=end)

    # --- shared ---

    def error(self, column: int, message: str, hint: str = "") -> ConditionError:
        """Return an error at ``column`` of this source."""
        return ConditionError(message, self.source, column, hint)

    def _made(self, code: str, abi_type: str, parts: Sequence[Term], bits: int = 0) -> Term:
        depth = _depth(parts)
        if depth > MAX_DEPTH:
            raise self.error(
                parts[-1].start, f"more than {MAX_DEPTH} operations inside one another", "split the condition"
            )
        return Term(code, abi_type, parts[0].start, parts[-1].end, bits=bits, depth=depth)

    def _constant(self, value: Any, abi_type: str, start: int, end: int, literal: str | None = None) -> Term:
        self.constants.append(value)
        return Term(f"k{len(self.constants) - 1}", abi_type, start, end, literal=literal)

    def _integer(self, value: int, start: int, end: int, literal: str | None = None) -> Term:
        term = self._constant(value, "int256", start, end, literal)
        return replace(term, value=value, bits=value.bit_length())

    def _text(self, term: Term) -> str:
        return f"`{self.source[term.start : term.end]}`"

    def _require_integer(self, term: Term, name: str) -> None:
        if term.kind != "integer":
            what = f"`{name}` works on integers, {self._text(term)} is {describe(term.type)}"
            raise self.error(term.start, what, term.note)

    def _require_kind(self, term: Term, kinds: Sequence[str], rule: str) -> None:
        if term.kind not in kinds:
            raise self.error(term.start, f"{rule}, {self._text(term)} is {describe(term.type)}", term.note)

    def _check_comparable(self, token: Token, left: Term, right: Term) -> None:
        self._check_same_type(left, right, token.column)
        if token.text not in _EQUALITY and left.kind != "integer":
            raise self.error(
                token.column,
                f"`{token.text}` orders integers only, {self._text(left)} is {describe(left.type)}",
            )

    def _check_same_type(self, left: Term, right: Term, column: int, right_name: str = "") -> None:
        for term in (left, right):
            if term.kind not in ("integer", "boolean", "address", "string", "bytes"):
                what = f"{self._text(term)} is {describe(term.type)}, which cannot be compared as a whole"
                raise self.error(term.start, what, "compare one of its fields or elements")
        lengths = {term.type for term in (left, right)} - {"bytes"}
        if left.kind != right.kind or (left.kind == "bytes" and len(lengths) > 1):
            name = right_name or self._text(right)
            sides = f"{self._text(left)} is {describe(left.type)} and {name} is {describe(right.type)}"
            raise self.error(column, f"{sides}: they cannot be compared", left.note or right.note)

    def _fitted(self, term: Term, model: Term) -> Term:
        """Return a literal as the type of ``model``, when that is an address or bytes; every other term as it is."""
        if term.literal is None or model.kind not in ("address", "bytes"):
            return term
        digits = term.literal[2:].replace("_", "")
        if not re.fullmatch(r"0[xX][0-9a-fA-F_]*", term.literal):
            what = f"{self._text(model)} is {describe(model.type)}"
            raise self.error(term.start, what, model.note or "compare it with hex: 0x and its digits")
        expected = 40 if model.kind == "address" else _bytes_length(model.type) * 2
        if len(digits) % 2 or (expected and len(digits) != expected):
            needed = f"has {expected} hex digits" if expected else "has an even number of hex digits"
            raise self.error(
                term.start, f"{describe(model.type)} {needed}, this has {len(digits)}", model.note
            )
        value = bytes.fromhex(digits)
        fitted: bytes | str = checksum_address(value) if model.kind == "address" else value
        return self._constant(fitted, model.type, term.start, term.end)


def _bits(abi_type: str) -> int:
    """Return the size of an integer type; 0 for every other."""
    match = _SIZED.fullmatch(abi_type)
    return int(match[1] or 256) if match and match[1] is not None else 0


def _bytes_length(abi_type: str) -> int:
    """Return N of ``bytesN``; 0 for ``bytes``, whose length varies."""
    match = _SIZED.fullmatch("bytes24" if abi_type == "function" else abi_type)
    return int(match[2]) if match and match[2] else 0


def _depth(parts: Sequence[Term]) -> int:
    return 1 + max(part.depth for part in parts)
