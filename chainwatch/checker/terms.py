"""The typed parts of an expression: each knows its ABI type and the Python code that computes it.

The code holds nothing of the source's text: values read are ``p0``, ``p1``, …, constants ``k0``, ``k1``, …, and the rest
is operators and the functions of `chainwatch.checker.values`. Sizes are bounded before anything is computed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chainwatch.checker.path import Path, array_of
from chainwatch.checker.syntax import ConditionError, Token
from chainwatch.model import AbiParam
from chainwatch.support.keccak import checksum_address

MAX_BITS = 2048
"""Largest integer, at compile time and at run time: eight multiplied uint256."""

MAX_DIGITS = 600
"""Decimal digits of one number in the source: within ``MAX_BITS``."""

MAX_DEPTH = 40
"""Operations inside one another."""

MAX_COST = 600.0
"""Microseconds that one expression may take at most, by `Term.cost`."""

UNBOUNDED = 2**32
"""The size of bytes and strings that an event has: no log is that long."""

_ARRAY_COST, _BLOB_COST, _ARITHMETIC_COST = 40.0, 40.0, 0.2
"""Microseconds to go through an array, to compare long values of the event, to compute with the largest integers."""
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

    ``type`` is an ABI type; ``int`` is an integer of no stated width, ``list`` a list of terms (``items``).
    ``bits`` bounds an integer's size, ``size`` the bytes of bytes and strings, ``cost`` the time in microseconds.
    ``length`` is how many bytes it always has; 0 where that is not known.
    ``literal`` is the text of a constant that may still become an address or bytes, by the type of what it is compared
    with; ``choices`` are such texts by network, of an attribute. ``value`` is an integer known at compile time.
    ``components`` are those of a tuple. ``note`` is what an error about the type should add.
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
    size: int = 0
    length: int = 0
    cost: float = 0.0
    components: tuple[AbiParam, ...] = ()
    choices: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def adapts(self) -> bool:
        """Whether it takes the type of what it is compared with."""
        return self.literal is not None or bool(self.choices)

    @property
    def kind(self) -> str:
        """integer, boolean, address, string, bytes, array, tuple or list."""
        return kind_of(self.type)


def kind_of(abi_type: str) -> str:
    """Return the kind of an ABI type, or of ``int`` and ``list``."""
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
        """Return quoted text: a string, or an address or bytes where compared with one."""
        return self.constant(token.text, "string", token.column, token.end, literal=token.text)

    def boolean(self, token: Token) -> Term:
        """Return ``true`` or ``false``."""
        return self.constant(token.text.lower() == "true", "bool", token.column, token.end)

    def field(self, index: int, path: Path, start: int, end: int) -> Term:
        """Return the value at ``path``, the ``index``-th that the condition reads."""
        param = path.param
        return Term(
            f"p{index}",
            path.type,
            start,
            end,
            bits=bits_of(path.type),
            note=path.note,
            size=size_of(path.type),
            components=param.components,
        )

    def choice(self, index: int, choices: Mapping[str, int | str], start: int, end: int) -> Term:
        """Return one of ``choices`` by the network that is the ``index``-th value read: all integers, or all texts."""
        values = list(choices.values())
        integers = [v for v in values if isinstance(v, int)]
        bits = max((v.bit_length() for v in integers), default=0)
        term = self.constant(dict(choices), "int" if integers else "string", start, end)
        size = 0 if integers else max(len(str(v).encode("utf-8", "surrogatepass")) for v in values)
        texts = {} if integers else choices
        return replace(term, code=f"{term.code}[p{index}]", bits=bits, size=size, choices=texts)

    def listing(self, items: Sequence[Term], start: int, end: int) -> Term:
        """Return a list of values, for the right side of ``in``."""
        cost = sum(item.cost for item in items)
        return Term("", "list", start, end, depth=_depth(items), items=tuple(items), cost=cost)

    # --- booleans ---

    def logic(self, word: str, operands: Sequence[Term]) -> Term:
        """Join two or more booleans by ``and`` or ``or``."""
        for operand in operands:
            self.require_boolean(operand, f"`{word}`")
        code = f" {word} ".join(operand.code for operand in operands)
        return self.made(f"({code})", "bool", operands)

    def negation(self, operand: Term, start: int) -> Term:
        """Put ``not`` before a boolean."""
        self.require_boolean(operand, "`not`")
        return replace(self.made(f"(not {operand.code})", "bool", [operand]), start=start)

    def comparison(self, operands: Sequence[Term], operators: Sequence[Token]) -> Term:
        """Return ``a < b <= c``: values of one type compared in a row."""
        model = next((term for term in operands if not term.adapts), operands[0])
        terms = [self.fitted(term, model) for term in operands]
        for token, left, right in zip(operators, terms, terms[1:], strict=False):
            self._check_comparable(token, left, right)
        code = terms[0].code
        for token, term in zip(operators, terms[1:], strict=True):
            code += f" {token.text} {term.code}"
        long = sum(term.size >= UNBOUNDED for term in terms)
        return self.made(f"({code})", "bool", terms, cost=_BLOB_COST * (long // 2))

    def membership(self, left: Term, right: Term, *, negated: bool, column: int) -> Term:
        """Return ``left in right`` where ``right`` is a list of constants or fields, or an array argument."""
        cost = 0.0
        if right.kind == "list":
            model = next((term for term in (left, *right.items) if not term.adapts), left)
            left = self.fitted(left, model)
            items = [self.fitted(item, model) for item in right.items]
            for item in items:
                self._check_same_type(left, item, item.start)
            code = "(" + "".join(f"{item.code}, " for item in items) + ")"
        elif array := array_of(right.type):
            code = f"few({right.code})"
            cost = _ARRAY_COST
            model = replace(right, type=array[0])
            left = self.fitted(left, model)
            self._check_same_type(left, model, column, f"an element of {self.text(right)}")
        else:
            raise self.error(
                right.start,
                f"{self.text(right)} is {describe(right.type)}, not a list or an array",
                right.note,
            )
        word = "not in" if negated else "in"
        return self.made(f"({left.code} {word} {code})", "bool", [left, right], cost=cost)

    def require_boolean(self, term: Term, where: str) -> None:
        """Refuse whatever is neither true nor false."""
        if term.kind != "boolean":
            what = f"{where} needs a boolean, {self.text(term)} is {describe(term.type)}"
            raise self.error(term.start, what, term.note or "compare it with something")

    # --- integers ---

    def arithmetic(self, token: Token, left: Term, right: Term) -> Term:
        """Compute ``left <operator> right`` on integers; of two constants the result is known here."""
        if token.text == "/":
            raise self.error(token.column, "`/` would round", "write `//`, a whole division rounded down")
        for term in (left, right):
            self.require_integer(term, token.text)
        if token.text in ("//", "%") and right.value == 0:
            raise self.error(right.start, "division by zero")
        bits = self._result_bits(token, left, right)
        if bits > MAX_BITS:
            raise self.error(
                token.column, f"the result can have {bits} bits", f"the largest allowed has {MAX_BITS}"
            )
        if left.value is not None and right.value is not None:
            return self._integer(_FOLDED[token.text](left.value, right.value), left.start, right.end)
        code = f"({left.code} {token.text} {right.code})"
        return self.made(code, "int", [left, right], bits, cost=_ARITHMETIC_COST)

    def signed(self, operand: Term, sign: Token) -> Term:
        """Return ``-operand`` or ``+operand``."""
        self.require_integer(operand, sign.text)
        if operand.value is not None:
            value = -operand.value if sign.text == "-" else operand.value
            return self._integer(value, sign.column, operand.end)
        made = self.made(f"({sign.text}{operand.code})", "int", [operand], operand.bits)
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

    # --- shared ---

    def error(self, column: int, message: str, hint: str = "") -> ConditionError:
        """Return an error at ``column`` of this source."""
        return ConditionError(message, self.source, column, hint)

    def made(
        self, code: str, abi_type: str, parts: Sequence[Term], bits: int = 0, size: int = 0, cost: float = 0.0
    ) -> Term:
        """Return the term of ``code``, which puts ``parts`` together and takes ``cost`` microseconds itself."""
        depth = _depth(parts)
        if depth > MAX_DEPTH:
            raise self.error(
                parts[-1].start, f"more than {MAX_DEPTH} operations inside one another", "split the condition"
            )
        cost += sum(part.cost for part in parts)
        if cost > MAX_COST:
            hint = "it hashes, decodes or searches too much: slice first, or split the condition"
            raise self.error(parts[0].start, "this can take more than a millisecond", hint)
        start, end = parts[0].start, parts[-1].end
        return Term(code, abi_type, start, end, bits=bits, depth=depth, size=size, cost=cost)

    def constant(self, value: Any, abi_type: str, start: int, end: int, literal: str | None = None) -> Term:
        """Return a value known now."""
        code = self.name(value)
        raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        size = len(raw) if isinstance(raw, bytes) else 0
        return Term(code, abi_type, start, end, literal=literal, size=size_of(abi_type, size))

    def name(self, value: Any) -> str:
        """Return the code that stands for ``value``, which only other code reads."""
        self.constants.append(value)
        return f"k{len(self.constants) - 1}"

    def _integer(self, value: int, start: int, end: int, literal: str | None = None) -> Term:
        term = self.constant(value, "int", start, end, literal)
        return replace(term, value=value, bits=value.bit_length())

    def text(self, term: Term) -> str:
        """Return a term as an error names it."""
        return f"`{self.source[term.start : term.end]}`"

    def require_integer(self, term: Term, name: str) -> None:
        """Refuse whatever is no integer."""
        if term.kind != "integer":
            what = f"`{name}` works on integers, {self.text(term)} is {describe(term.type)}"
            raise self.error(term.start, what, term.note)

    def require_kind(self, term: Term, kinds: Sequence[str], rule: str) -> None:
        """Refuse whatever is not of one of ``kinds``; ``rule`` says which are right."""
        if term.kind not in kinds:
            raise self.error(term.start, f"{rule}, {self.text(term)} is {describe(term.type)}", term.note)

    def _check_comparable(self, token: Token, left: Term, right: Term) -> None:
        self._check_same_type(left, right, token.column)
        if token.text not in _EQUALITY and left.kind != "integer":
            raise self.error(
                token.column,
                f"`{token.text}` orders integers only, {self.text(left)} is {describe(left.type)}",
            )

    def _cast_to_compare(self, left: Term, right: Term) -> str:
        """Return how to compare an address with 32 bytes that hold one; empty for other types."""
        by_type = {term.type: self.source[term.start : term.end] for term in (left, right)}
        return f"write bytes32({by_type['address']})" if by_type.keys() == {"address", "bytes32"} else ""

    def _check_same_type(self, left: Term, right: Term, column: int, right_name: str = "") -> None:
        for term in (left, right):
            if term.kind not in ("integer", "boolean", "address", "string", "bytes"):
                what = f"{self.text(term)} is {describe(term.type)}, which cannot be compared as a whole"
                raise self.error(term.start, what, "compare one of its fields or elements")
        lengths = {term.type for term in (left, right)} - {"bytes"}
        if left.kind != right.kind or (left.kind == "bytes" and len(lengths) > 1):
            name = right_name or self.text(right)
            sides = f"{self.text(left)} is {describe(left.type)} and {name} is {describe(right.type)}"
            mend = "" if right_name else self._cast_to_compare(left, right)
            raise self.error(column, f"{sides}: they cannot be compared", left.note or right.note or mend)

    def fitted(self, term: Term, model: Term) -> Term:
        """Return a literal as the type of ``model``, when that is an address or bytes; every other term as it is."""
        if not term.adapts or model.kind not in ("address", "bytes"):
            return term
        if term.literal is not None:
            value = self._from_hex(term.literal, term, model)
            return self.constant(value, model.type, term.start, term.end)
        values = {name: self._from_hex(str(text), term, model) for name, text in term.choices.items()}
        named = self.constant(values, model.type, term.start, term.end)
        code = named.code + term.code[term.code.index("[") :]
        size = max(map(len, values.values()))
        return replace(term, code=code, type=model.type, size=size_of(model.type, size), choices={})

    def _from_hex(self, text: str, term: Term, model: Term) -> bytes | str:
        """Return the address or bytes that ``text`` is, as ``model`` is one."""
        shown = f" ({text!r})" if term.choices else ""
        digits = text[2:].replace("_", "")
        if not re.fullmatch(r"0[xX][0-9a-fA-F_]*", text):
            what = f"{self.text(model)} is {describe(model.type)}"
            raise self.error(term.start, what, model.note or f"compare it with hex: 0x and its digits{shown}")
        expected = 40 if model.kind == "address" else bytes_length(model.type) * 2
        if len(digits) % 2 or (expected and len(digits) != expected):
            needed = f"has {expected} hex digits" if expected else "has an even number of hex digits"
            what = f"{describe(model.type)} {needed}, this has {len(digits)}{shown}"
            mend = f"write bytes32({self.text(term)[1:-1]})" if (expected, len(digits)) == (64, 40) else ""
            raise self.error(term.start, what, model.note or mend)
        value = bytes.fromhex(digits)
        return checksum_address(value) if model.kind == "address" else value


def bits_of(abi_type: str) -> int:
    """Return the size of an integer type; 0 for every other."""
    match = _SIZED.fullmatch(abi_type)
    return int(match[1] or 256) if match and match[1] is not None else 0


def bytes_length(abi_type: str) -> int:
    """Return N of ``bytesN``; 0 for ``bytes``, whose length varies."""
    match = _SIZED.fullmatch("bytes24" if abi_type == "function" else abi_type)
    return int(match[2]) if match and match[2] else 0


def size_of(abi_type: str, known: int = UNBOUNDED) -> int:
    """Return the bytes of a value: as many as are ``known`` for ``bytes`` and ``string``, N for ``bytesN``, else 0."""
    if abi_type in ("bytes", "string"):
        return known
    return bytes_length(abi_type)


def _depth(parts: Sequence[Term]) -> int:
    return 1 + max(part.depth for part in parts)
