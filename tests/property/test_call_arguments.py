"""Arguments of calls are encoded as eth_abi does, whatever their types."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.checker.invariants.encoding import ArgumentError, encode_call
from chainwatch.model import AbiFunction, AbiParam

ADDRESS = st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex())
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "uint256": st.integers(0, 2**256 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "address": ADDRESS,
    "bytes4": st.binary(min_size=4, max_size=4),
    "bytes": st.binary(max_size=70),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
}


def params(depth: int = 2) -> st.SearchStrategy[AbiParam]:
    leaf = st.sampled_from(sorted(LEAVES)).map(lambda name: AbiParam("x", name))
    if not depth:
        return leaf
    inner = params(depth - 1)
    arrays = st.tuples(inner, st.sampled_from(["[]", "[2]"])).map(
        lambda both: AbiParam("x", both[0].type + both[1], components=both[0].components)
    )
    tuples = st.lists(inner, min_size=1, max_size=3).map(
        lambda some: AbiParam(
            "x",
            "tuple",
            components=tuple(
                AbiParam(f"c{n}", one.type, components=one.components) for n, one in enumerate(some)
            ),
        )
    )
    return leaf | arrays | tuples


def values(param: AbiParam) -> st.SearchStrategy[Any]:
    if param.type.endswith("]"):
        base, _, length = param.type.rpartition("[")
        inner = values(AbiParam("", base, components=param.components))
        number = int(length[:-1]) if length != "]" else None
        return st.lists(inner, min_size=number or 0, max_size=3 if number is None else number)
    if param.type == "tuple":
        return st.tuples(*map(values, param.components))
    return LEAVES[param.type]


@st.composite
def calls(draw: st.DrawFn) -> tuple[tuple[AbiParam, ...], list[Any], bool]:
    inputs = tuple(draw(st.lists(params(), max_size=3)))
    return inputs, [draw(values(param)) for param in inputs], draw(st.booleans())


def written(param: AbiParam, value: Any, *, by_name: bool) -> Any:
    """The value as a configuration file has it."""
    if param.type.endswith("]"):
        inner = AbiParam("", param.type.rpartition("[")[0], components=param.components)
        return [written(inner, item, by_name=by_name) for item in value]
    if param.type == "tuple":
        items = [
            written(one, item, by_name=by_name) for one, item in zip(param.components, value, strict=True)
        ]
        return dict(zip((one.name for one in param.components), items, strict=True)) if by_name else items
    return "0x" + value.hex() if isinstance(value, bytes) else value


@given(calls())
def test_calls_are_encoded_as_eth_abi_does(call: tuple[tuple[AbiParam, ...], list[Any], bool]) -> None:
    inputs, given_values, by_name = call
    types = [param.canonical_type for param in inputs]
    args = [written(one, v, by_name=by_name) for one, v in zip(inputs, given_values, strict=True)]
    assert encode_call(AbiFunction("f", inputs), args)[4:] == encode(types, given_values)


ANYTHING = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=10) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(params(), max_size=3), st.lists(ANYTHING, max_size=3))
def test_what_does_not_fit_is_a_typed_error(inputs: list[AbiParam], args: list[Any]) -> None:
    index = None
    try:
        encode_call(AbiFunction("f", tuple(inputs)), args)
    except ArgumentError as error:
        index = error.index
    assert index is None or 0 <= index < len(inputs)


def test_an_error_names_the_argument() -> None:
    function = AbiFunction("f", (AbiParam("a", "uint8[2]"),))
    with pytest.raises(ArgumentError, match="expected 2 elements, found 1"):
        encode_call(function, [[1]])
