"""What the events of two transactions have in common: values of both, and the expressions that read them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainwatch.checker.flow_parts import words
from chainwatch.checker.terms import bits_of
from chainwatch.model import AbiEvent, AbiParam
from chainwatch.support.keccak import keccak256

_WORD, _ADDRESS = 32, 20
_PADDING = bytes(_WORD - _ADDRESS)
_SUFFIXES = 200
"""From how many positions of bytes on their rest is hashed."""
_MAX_HASHED = 8_192
WRITTEN = 1
"""The rank of what stands in an event as it is, at most; above are hashes and slices."""
_HEX = re.compile("0x[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class SeenLog:
    """One decoded log: the name of its contract's ABI, its address (``0x…``), its event and values."""

    contract: str
    address: str
    event: AbiEvent
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One transaction: its network, hash, block time (Unix seconds; 0 unknown), and those of its logs that decode."""

    network: str
    tx_hash: bytes
    timestamp: int
    logs: tuple[SeenLog, ...]


@dataclass(frozen=True)
class Value:
    """A value of an event: the expression that reads it, its last name, its ABI type.

    ``word``: the value as 32 bytes; None for text. ``rank``: how far the expression is from a plain argument.
    """

    text: str
    name: str
    type: str
    value: Any
    word: bytes | None
    rank: int = 0

    @property
    def is_id(self) -> bool:
        """Whether it can be no counter, amount or address, so that two equal ones are one transfer's."""
        if self.word is None or self.type == "address":
            return False
        return any(self.word[:12]) and len(set(self.word)) >= 8


def plain_values(log: SeenLog) -> list[Value]:
    """Return the arguments of an event, but no arrays and no bytes of any length."""
    return list(_plain(log.event.inputs, log.args, ""))


def _plain(params: Sequence[AbiParam], args: Mapping[str, Any], prefix: str) -> Iterator[Value]:
    for param in params:
        value, text = args.get(param.name), f"{prefix}{param.name}"
        if param.type == "tuple" and isinstance(value, Mapping):
            yield from _plain(param.components, value, f"{text}.")
        elif isinstance(value, str) and param.type == "string":
            yield Value(text, param.name, "string", value, None)
        elif (word := _word(value)) is not None and not param.type.endswith("]") and param.type != "bytes":
            abi_type = "bytes32" if param.indexed and param.type in ("string", "tuple") else param.type
            yield Value(text, param.name, abi_type, value, word)


def _word(value: Any) -> bytes | None:
    """Return an integer, address or up to 32 bytes as 32 bytes; None for every other value."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value.to_bytes(_WORD) if 0 <= value < 1 << 256 else None
    if isinstance(value, bytes) and len(value) == _WORD:
        return value
    if isinstance(value, str) and re.fullmatch("0x[0-9a-fA-F]{40}", value):
        return bytes.fromhex(value[2:]).rjust(_WORD, b"\0")
    return None


def payloads(log: SeenLog) -> list[tuple[str, bytes]]:
    """Return the arguments that are bytes of any length, by name."""
    return [
        (param.name, log.args[param.name])
        for param in log.event.inputs
        if param.type == "bytes" and not param.indexed and isinstance(log.args.get(param.name), bytes)
    ]


def ids(log: SeenLog) -> dict[bytes, Value]:
    """Return by its 32 bytes what may be an id: arguments, hashes of bytes and of their ends, hashes written as text."""
    found: dict[bytes, Value] = {}

    def add(value: Value) -> None:
        if value.word is not None and value.is_id and value.word not in found:
            found[value.word] = value

    for value in plain_values(log):
        add(value)
        if value.type == "string" and (match := _HEX.search(value.value)):
            raw = bytes.fromhex(match[0][2:])
            add(
                Value(
                    f"unhex({value.text}[{match.start()}:{match.end()}])",
                    value.name,
                    "bytes",
                    raw,
                    raw,
                    WRITTEN,
                )
            )
    for name, raw in payloads(log):
        for start in range(min(len(raw), _SUFFIXES) if len(raw) <= _MAX_HASHED else 1):
            hashed = keccak256(raw[start:])
            text = f"keccak({name}[{start}:])" if start else f"keccak({name})"
            add(Value(text, name, "bytes32", hashed, hashed, 2 + (start > 0)))
    return found


def slices(log: SeenLog, wanted: Value) -> list[Value]:
    """Return where ``wanted`` stands in the bytes of a log: big-endian, as wide as its type, addresses as 32 or 20 bytes.

    Of several places of a number those within padded addresses are left out: an address may hold its bytes by chance.
    """
    if wanted.word is None:
        return []
    if wanted.type == "address":
        return _slices(log, wanted, _WORD) or _slices(log, wanted, _ADDRESS)
    return _slices(log, wanted, (bits_of(wanted.type) or 256) // 8)


def _slices(log: SeenLog, wanted: Value, width: int) -> list[Value]:
    places = [
        (name, raw, start)
        for name, raw in payloads(log)
        for start in _positions(raw, (wanted.word or b"")[_WORD - width :])
    ]
    if kind(wanted) == "integer" and len(places) > 1:
        places = [one for one in places if not _is_in_an_address(*one[1:], width)] or places
    return [_slice(name, start, width, wanted) for name, _, start in places]


def _positions(raw: bytes, wanted: bytes) -> list[int]:
    return [m.start() for m in re.finditer(b"(?=" + re.escape(wanted) + b")", raw)]


def _is_in_an_address(raw: bytes, start: int, width: int) -> bool:
    """Return whether one of these bytes is among the 20 that follow the first twelve zeros of a run."""
    for zeros in re.finditer(_PADDING + b"\0*", raw):
        address = zeros.start() + len(_PADDING)
        if start < address + _ADDRESS and address < start + width:
            return True
    return False


def _slice(name: str, start: int, width: int, wanted: Value) -> Value:
    text = f"{name}[{start}:{start + width}]"
    if wanted.type == "address":
        text = f"address({text})"
    elif bits_of(wanted.type):
        text = f"uint({text})"
    return Value(text, "", wanted.type, wanted.value, wanted.word, 3)


def made_equal(one: Value, other: Value) -> tuple[str, str]:
    """Return the texts of two values with equal words, cast so that they are one text in a key."""
    types = {kind(one): one, kind(other): other}
    if len(types) == 1:
        return one.text, other.text
    if types.keys() == {"address", "bytes"}:
        cast = {types["address"].text: f"bytes32({types['address'].text})"}
    else:
        cast = {value.text: f"uint({value.text})" for value in (one, other) if kind(value) != "integer"}
    return cast.get(one.text, one.text), cast.get(other.text, other.text)


def kind(value: Value) -> str:
    """Return address, integer, bytes or string."""
    if value.type in ("address", "string"):
        return value.type
    return "integer" if bits_of(value.type) else "bytes"


def named(value: Value, among: frozenset[str]) -> bool:
    """Return whether one of the words of its name is ``among`` those given."""
    return bool(among & set(words(value.name)))
