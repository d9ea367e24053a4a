"""Nesting that would end the process is seen before anything is parsed."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from chainwatch.support.nesting import DEEPEST, MOST_VALUES, is_too_deep, is_too_deep_or_large


@pytest.mark.parametrize(
    ("json", "too_deep"),
    [
        (b"", False),
        (b"[]{}" * 10_000, False),
        (b"[" * DEEPEST + b"]" * DEEPEST, False),
        (b"[" * (DEEPEST + 1), True),
        (b'{"a":[' * 100_000, True),
        (b"]" * 100_000 + b"[", False),
        (b'{"a": "\xff"}', False),
    ],
)
def test_only_what_no_service_says_is_too_deep(json: bytes, too_deep: bool) -> None:
    assert is_too_deep(json) is too_deep


@dataclass(repr=False)
class Linked:
    inner: object


class Struct(msgspec.Struct):
    inner: object


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {"a": inner},
        lambda inner: deque([inner]),
        Linked,
        Struct,
    ],
    ids=["list", "tuple", "dict", "deque", "dataclass", "struct"],
)
def test_a_value_may_be_nested_so_deep_and_no_deeper(wrap: Callable[[object], object]) -> None:
    value: object = 1
    for _ in range(DEEPEST - 1):
        value = wrap(value)
    assert not is_too_deep_or_large(value)
    assert is_too_deep_or_large(wrap(value))


def test_a_value_within_itself_is_too_deep() -> None:
    value: list[object] = []
    value.append({"again": value})
    assert is_too_deep_or_large(value)


def test_a_value_may_have_so_many_parts_and_no_more() -> None:
    assert not is_too_deep_or_large([0] * MOST_VALUES)
    assert is_too_deep_or_large([0] * (MOST_VALUES + 1))
    shared: object = 1
    for _ in range(40):
        shared = [shared, shared]  # few objects, 2 ** 40 parts
    assert is_too_deep_or_large(shared)


@pytest.mark.parametrize("value", ["x" * (MOST_VALUES + 1), b"x" * (MOST_VALUES + 1), None, 10**500, object])
def test_what_has_no_parts_is_never_too_deep(value: object) -> None:
    assert not is_too_deep_or_large(value)
