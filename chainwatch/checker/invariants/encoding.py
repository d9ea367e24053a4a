"""Arguments of a call as ABI-encoded bytes, from values as a configuration file has them. Pure.

Source: the Solidity contract ABI specification, "Formal Specification of the Encoding".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chainwatch.model import AbiFunction, AbiParam
from chainwatch.support.keccak import checksum_address, keccak256

_WORD = 32
_INTEGER = re.compile(r"(u?)int([0-9]*)")
_BYTES = re.compile(r"bytes([0-9]+)")


class ArgumentError(ValueError):
    """An argument that does not fit its type; ``index`` is its position, None for a wrong number of them."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


def encode_call(function: AbiFunction, args: Sequence[int | str | bool]) -> bytes:
    """Return the calldata of ``function`` with ``args``. Raises `ArgumentError`."""
    if len(args) != len(function.inputs):
        raise ArgumentError(f"{function.signature} takes {len(function.inputs)} arguments, not {len(args)}")
    heads, tails = [], b""
    offset = _WORD * len(args)
    for index, (param, value) in enumerate(zip(function.inputs, args, strict=True)):
        try:
            word = _encode(param, value)
        except ValueError as error:
            raise ArgumentError(f"{param.type} {param.name}: {error}", index) from None
        if param.type in ("bytes", "string"):
            heads.append((offset + len(tails)).to_bytes(_WORD))
            tails += word
        else:
            heads.append(word)
    return keccak256(function.signature.encode())[:4] + b"".join(heads) + tails


def _encode(param: AbiParam, value: int | str | bool) -> bytes:
    """Return a value as one word; bytes and strings as their length and contents."""
    if integer := _INTEGER.fullmatch(param.type):
        return _integer(value, int(integer[2] or 256), is_signed=not integer[1])
    if param.type == "bool":
        if not isinstance(value, bool):
            raise ValueError("expected true or false")
        return int(value).to_bytes(_WORD)
    if not isinstance(value, str):
        raise ValueError("expected text")
    if param.type == "address":
        return _address(value).rjust(_WORD, b"\0")
    if sized := _BYTES.fullmatch(param.type):
        data = _hex(value)
        if len(data) != int(sized[1]):
            raise ValueError(f"expected {sized[1]} bytes, found {len(data)}")
        return data.ljust(_WORD, b"\0")
    if param.type in ("bytes", "string"):
        data = _hex(value) if param.type == "bytes" else value.encode()
        return len(data).to_bytes(_WORD) + data.ljust(-(-len(data) // _WORD) * _WORD, b"\0")
    raise ValueError("arguments of this type cannot be written in a configuration")


def _integer(value: int | str | bool, bits: int, *, is_signed: bool) -> bytes:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,78}|0x[0-9a-fA-F]{1,64}", value):
        value = int(value, 16 if value.startswith("0x") else 10)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected an integer")
    low = -(1 << bits - 1) if is_signed else 0
    if not low <= value < low + (1 << bits):
        raise ValueError("it does not fit")
    return (value % (1 << 8 * _WORD)).to_bytes(_WORD)


def _address(text: str) -> bytes:
    if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
        raise ValueError("expected an address: 0x and 40 hex digits")
    data = bytes.fromhex(text[2:])
    if text not in (checksum_address(data), text.lower()):
        raise ValueError("its EIP-55 checksum is wrong: copy it again, or write it all in lower case")
    return data


def _hex(text: str) -> bytes:
    if not re.fullmatch("0x(?:[0-9a-fA-F]{2})*", text):
        raise ValueError("expected bytes: 0x and an even number of hex digits")
    return bytes.fromhex(text[2:])
