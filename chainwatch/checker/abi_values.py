"""``decode("(uint32,address)", bytes)``: its type as text, and the reader of its values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from chainwatch.checker.values import MAX_SIZE, bounded
from chainwatch.model import AbiParam
from chainwatch.support.abi.shape import Array, Shape, ShapeError, Tuple, shape_of, tuple_of
from chainwatch.support.abi.strict import read_data

MAX_NESTING = 8
"""Tuples within one another."""

ARRAY_BYTES = 4_096
"""How much may be read of a type with arrays whose length varies: some hundred elements."""

_WORD = 32
_SUFFIX = re.compile(r"(?:\[[0-9]*\])*")
_ELEMENTARY = re.compile(r"\s*([a-z]+[0-9]*)\s*")


class TypeTextError(ValueError):
    """A text that is no ABI type; the message says why, for a person."""


def parse_type(text: str) -> AbiParam:
    """Parse ``(uint32,address)[]`` to a parameter whose components are named by their positions: ``0``, ``1``, ….

    Raises `TypeTextError`.
    """
    param, end = _parse(text.strip(), 0, 0, "0")
    if end != len(text.strip()):
        raise TypeTextError(f"{text.strip()[end:]!r} follows the end of the type")
    try:
        shape_of(param)
    except ShapeError as error:
        raise TypeTextError(str(error)) from error
    return param


def words_of(param: AbiParam) -> int:
    """Return at most how many values are read for ``param``."""
    shape = shape_of(param)
    return _leaves(shape) + (ARRAY_BYTES // _WORD if _varies(shape) else 0)


def reader_of(param: AbiParam) -> Callable[[bytes], Any]:
    """Return what decodes bytes as strictly as logs are: the values of a tuple by position, or one value of any other type.

    The function raises ``ValueError``.
    """
    is_tuple = param.type == "tuple"
    shape = tuple_of(param.components if is_tuple else (param,))
    limit = ARRAY_BYTES if _varies(shape) else MAX_SIZE

    def read(data: bytes) -> Any:
        values = read_data(shape, bounded(data), limit)
        return dict(zip(shape.names, values, strict=True)) if is_tuple else values[0]

    return read


def _parse(text: str, at: int, depth: int, name: str) -> tuple[AbiParam, int]:
    """Return the type that begins at ``at``, and where it ends."""
    if depth > MAX_NESTING:
        raise TypeTextError(f"more than {MAX_NESTING} tuples inside one another")
    if text[at : at + 1] != "(":
        found = _ELEMENTARY.match(text, at)
        if found is None:
            what = repr(text[at:]) if text[at:] else "the end"
            raise TypeTextError(f"expected a type such as uint32, address or bytes, not {what}")
        suffix = _suffix(text, found.end())
        return AbiParam(name, found[1] + suffix), found.end() + len(suffix)
    components: list[AbiParam] = []
    at += 1
    while True:
        component, at = _parse(text, at + _spaces(text, at), depth + 1, str(len(components)))
        components.append(component)
        at += _spaces(text, at)
        closing, at = text[at : at + 1], at + 1
        if closing == ")":
            break
        if closing != ",":
            raise TypeTextError(f"expected `,` or `)`, not {closing!r}" if closing else "a `)` is missing")
    suffix = _suffix(text, at)
    return AbiParam(name, f"tuple{suffix}", components=tuple(components)), at + len(suffix)


def _suffix(text: str, at: int) -> str:
    found = _SUFFIX.match(text, at)
    return found[0] if found else ""


def _spaces(text: str, at: int) -> int:
    return len(text) - at - len(text[at:].lstrip())


def _leaves(shape: Shape) -> int:
    if isinstance(shape, Tuple):
        return sum(map(_leaves, shape.members))
    if isinstance(shape, Array):
        return _leaves(shape.item) * max(1, shape.length or 0)
    return 1


def _varies(shape: Shape) -> bool:
    """Return whether there is an array whose length the data says."""
    if isinstance(shape, Tuple):
        return any(map(_varies, shape.members))
    return isinstance(shape, Array) and (shape.length is None or _varies(shape.item))
