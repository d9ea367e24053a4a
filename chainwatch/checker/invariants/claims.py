"""What a JSON document claims: a value by its path, exact, of a type. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

from chainwatch.support.keccak import checksum_address
from chainwatch.support.nesting import is_too_deep

TYPES = ("int256", "bool", "string", "address")
"""What a claim can be."""
DIGITS_MAX = 200
"""Digits of a number; 256 bits have 78."""
TEXT_MAX = 1_000
STEPS_MAX = 32
_STEP = re.compile(r"\.?([^.\[\]]+)|\[([0-9]{1,9})\]")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")


def parse_path(text: str) -> tuple[str | int, ...]:
    """Return the keys and indexes of ``data.chains[0].supply``. Raises ``ValueError``."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or len(steps) >= STEPS_MAX:
            raise ValueError(f"expected keys and indexes such as data.chains[0].supply, at most {STEPS_MAX}")
        steps.append(found[1] if found[2] is None else int(found[2]))
        at = found.end()
    return tuple(steps)


def reader_of(path: tuple[str | int, ...], abi_type: str, decimals: int) -> Callable[[Any], Any]:
    """Return what reads a claim of one of `TYPES` from a document as bytes; that function raises ``ValueError``."""

    def read(document: Any) -> Any:
        value = _parsed(document)
        for step in path:
            is_there = (
                step in value
                if isinstance(value, dict)
                else isinstance(step, int) and isinstance(value, list)
            )
            if not is_there or (isinstance(value, list) and int(step) >= len(value)):
                raise ValueError(f"the document has no {step!r} at its path")
            value = value[step]
        return _typed(value, abi_type, decimals)

    return read


def _parsed(document: bytes) -> Any:
    if is_too_deep(document):
        raise ValueError("the document is nested too deep")
    try:
        return json.loads(document, parse_int=_number, parse_float=_number, parse_constant=_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON that can be read: {error}"[:TEXT_MAX]) from None


def _number(text: str) -> Decimal:
    if len(text) > DIGITS_MAX or not _NUMBER.fullmatch(text):
        raise ValueError("a number that is too long, or none")
    return Decimal(text)


def _typed(value: Any, abi_type: str, decimals: int) -> Any:
    if abi_type == "int256":
        return _integer(value, decimals)
    if abi_type == "bool":
        if isinstance(value, bool):
            return value
        raise ValueError("expected true or false there")
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise ValueError(f"expected text of at most {TEXT_MAX} characters there")
    if abi_type == "string":
        if _HALF_A_PAIR.search(value):  # JSON can have it, and no encoding of text
            raise ValueError("expected text there, not half a pair of surrogates")
        return value
    if not re.fullmatch("0x[0-9a-fA-F]{40}", value):
        raise ValueError("expected an address there")
    return checksum_address(bytes.fromhex(value[2:]))


def _integer(value: Any, decimals: int) -> int:
    if isinstance(value, str) and len(value) <= DIGITS_MAX and _NUMBER.fullmatch(value):
        value = Decimal(value)
    if not isinstance(value, Decimal):
        raise ValueError("expected a number there")
    with localcontext(prec=2_000):
        scaled = value.scaleb(decimals)
        if abs(scaled) >= 2**255:
            raise ValueError("the number does not fit into 256 bits")
        if scaled != scaled.to_integral_value():
            raise ValueError(f"the number has more than {decimals} decimals")
        return int(scaled)
