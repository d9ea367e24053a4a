"""Events of steps as MessagePack, integers of any size among their facts."""

from __future__ import annotations

from typing import Any

import msgspec

from chainwatch.model import Occurrence

_BIG_INT = 1
_INT_MIN, _INT_END = -(2**63), 2**64
"""MessagePack holds integers from the first of these up to, but not including, the second."""


def encode(occurrence: Occurrence) -> bytes:
    """Return ``occurrence`` as MessagePack."""
    return _encode(packed(occurrence))


def packed(occurrence: Occurrence) -> Occurrence:
    """Return ``occurrence`` with facts that MessagePack can hold: `unpack` is the extension that reads them."""
    for value in occurrence.facts.values():
        kind = type(value)
        if kind is not str and (kind is not int or not _INT_MIN <= value < _INT_END):
            o = occurrence
            return Occurrence(
                o.step, o.network, o.block, o.log_index, o.timestamp, o.tx_hash, _packed(o.facts), o.item
            )
    return occurrence


def _packed(value: Any) -> Any:
    """Return ``value`` with the integers that MessagePack cannot hold as extension values: uint256 stays exact."""
    kind = type(value)
    if kind is int and not _INT_MIN <= value < _INT_END:
        return msgspec.msgpack.Ext(_BIG_INT, value.to_bytes(33, "big", signed=True))
    if kind is dict:
        return {k: v if type(v) is str else _packed(v) for k, v in value.items()}  # most are names
    if kind is list:
        return [_packed(v) for v in value]
    return value


def unpack(code: int, data: memoryview) -> Any:
    """Return the value of an extension of MessagePack; raises ``ValueError`` for one that this module never writes."""
    if code != _BIG_INT:
        raise ValueError(f"unknown MessagePack extension {code}: the database was written by something else")
    return int.from_bytes(data, "big", signed=True)


def encode_facts(facts: dict[str, Any]) -> bytes:
    """Return values by name as MessagePack, integers of any size among them."""
    return _encode(_packed(facts))


def decode_facts(content: bytes) -> dict[str, Any]:
    """Return what `encode_facts` was given."""
    found: dict[str, Any] = _decode_facts(content)
    return found


_encode = msgspec.msgpack.Encoder().encode
_decode_facts = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=unpack).decode
decode = msgspec.msgpack.Decoder(Occurrence, ext_hook=unpack).decode
"""Return the event that `encode` was given."""
