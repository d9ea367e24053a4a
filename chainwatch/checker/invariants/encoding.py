"""Arguments of a call as ABI-encoded bytes, from values as a configuration file has them. Pure.

Source: the Solidity contract ABI specification, "Formal Specification of the Encoding".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from chainwatch.checker.path import array_of
from chainwatch.model import AbiFunction, AbiParam
from chainwatch.support.keccak import checksum_address, keccak256

_WORD = 32
_INTEGER = re.compile(r"(u?)int([0-9]*)")
_BYTES = re.compile(r"bytes([0-9]+)")

Given: TypeAlias = Any
"""An argument as a file has it: an integer, a boolean, text, a list for an array or tuple, a table for a tuple."""


class ArgumentError(ValueError):
    """An argument that does not fit its type; ``index`` is its position, None for a wrong number of them."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


def encode_call(function: AbiFunction, args: Sequence[Given]) -> bytes:
    """Return the calldata of ``function`` with ``args``. Raises `ArgumentError`."""
    if len(args) != len(function.inputs):
        raise ArgumentError(f"{function.signature} takes {len(function.inputs)} arguments, not {len(args)}")
    parts = []
    for index, (param, value) in enumerate(zip(function.inputs, args, strict=True)):
        try:
            parts.append((_encode(param, value), _is_dynamic(param)))
        except ValueError as error:
            raise ArgumentError(f"{param.type} {param.name}: {error}", index) from None
    return keccak256(function.signature.encode())[:4] + _joined(parts)


def _joined(parts: Sequence[tuple[bytes, bool]]) -> bytes:
    """Return encodings one after the other: offsets in the place of dynamic ones, and these behind all of them."""
    head_size = sum(_WORD if is_dynamic else len(part) for part, is_dynamic in parts)
    heads, tails = b"", b""
    for part, is_dynamic in parts:
        if is_dynamic:
            heads += (head_size + len(tails)).to_bytes(_WORD)
            tails += part
        else:
            heads += part
    return heads + tails


def _is_dynamic(param: AbiParam) -> bool:
    """Return whether the encoding's length depends on the value."""
    if array := array_of(param.type):
        element, length = array
        return length is None or _is_dynamic(_element(param, element))
    return param.type in ("bytes", "string") or (
        param.type == "tuple" and any(map(_is_dynamic, param.components))
    )


def _element(param: AbiParam, element: str) -> AbiParam:
    return AbiParam("", element, components=param.components)


def _encode(param: AbiParam, value: Given) -> bytes:
    if array := array_of(param.type):
        return _array(_element(param, array[0]), array[1], value)
    if param.type == "tuple":
        return _tuple(param, value)
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


def _array(element: AbiParam, length: int | None, value: Given) -> bytes:
    if not isinstance(value, list):
        raise ValueError("expected a list")
    if length is not None and len(value) != length:
        raise ValueError(f"expected {length} elements, found {len(value)}")
    is_dynamic = _is_dynamic(element)
    contents = _joined([(_encode(element, item), is_dynamic) for item in value])
    return contents if length is not None else len(value).to_bytes(_WORD) + contents


def _tuple(param: AbiParam, value: Given) -> bytes:
    names = [component.name for component in param.components]
    if isinstance(value, dict):
        if value.keys() != set(names):
            raise ValueError(f"expected the keys {', '.join(names)}")
        value = [value[name] for name in names]
    if not isinstance(value, list) or len(value) != len(names):
        raise ValueError(f"expected a list of {len(names)}, or a table with the keys {', '.join(names)}")
    return _joined(
        [(_encode(one, item), _is_dynamic(one)) for one, item in zip(param.components, value, strict=True)]
    )


def _integer(value: Given, bits: int, *, is_signed: bool) -> bytes:
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
