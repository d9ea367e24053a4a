"""The compiled decoders against eth_abi's strict decoder, on random types, values and faults."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_abi.grammar import ABIType, BasicType, TupleType, parse
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.chain.decode._codegen import Doubt
from chainwatch.chain.decode.decoder import DecodeError, EventDecoder
from chainwatch.model import AbiEvent, AbiParam

SIZES = st.integers(1, 32)
LEAVES = st.one_of(
    st.sampled_from(["address", "bool", "bytes", "string", "uint256", "int256", "bytes32", "function"]),
    SIZES.map(lambda n: f"uint{8 * n}"),
    SIZES.map(lambda n: f"int{8 * n}"),
    SIZES.map(lambda n: f"bytes{n}"),
    st.tuples(st.sampled_from(["fixed", "ufixed"]), SIZES, st.integers(1, 80)).map(
        lambda parts: f"{parts[0]}{8 * parts[1]}x{parts[2]}"
    ),
)


def _in_array(params: st.SearchStrategy[AbiParam]) -> st.SearchStrategy[AbiParam]:
    dimension = st.sampled_from(["[]", "[]", "[1]", "[2]", "[3]"])
    return st.builds(lambda p, d: AbiParam(p.name, p.type + d, False, p.components), params, dimension)


def _in_tuple(params: st.SearchStrategy[AbiParam]) -> st.SearchStrategy[AbiParam]:
    return st.lists(params, min_size=1, max_size=4).map(lambda ps: _tuple_param("t", ps))


def _tuple_param(name: str, params: list[AbiParam]) -> AbiParam:
    members = tuple(AbiParam(f"m{i}", p.type, False, p.components) for i, p in enumerate(params))
    return AbiParam(name, "tuple", False, members)


PARAMS = st.recursive(
    LEAVES.map(lambda text: AbiParam("leaf", text)),
    lambda inner: st.one_of(_in_array(inner), _in_tuple(inner)),
    max_leaves=8,
)
FIELDS = st.lists(PARAMS, max_size=4).map(lambda ps: _tuple_param("", ps).components)


def values_of(kind: ABIType) -> st.SearchStrategy[Any]:
    if kind.arrlist is not None:
        dimension = kind.arrlist[-1]
        sizes = {"min_size": dimension[0], "max_size": dimension[0]} if dimension else {"max_size": 4}
        return st.lists(values_of(kind.item_type), **sizes)
    if isinstance(kind, TupleType):
        return st.tuples(*(values_of(c) for c in kind.components))
    assert isinstance(kind, BasicType)
    match kind.base, kind.sub:
        case "uint", int(bits):
            return st.integers(0, 2**bits - 1)
        case "int", int(bits):
            return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        case "ufixed", (bits, places):
            return st.integers(0, 2**bits - 1).map(lambda n: _decimal(n, places))
        case "fixed", (bits, places):
            return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(lambda n: _decimal(n, places))
        case "bytes", int(size):
            return st.binary(min_size=size, max_size=size)
        case "bytes", _:
            return st.binary(max_size=70)
        case "string", _:
            return st.text(max_size=40)
        case "bool", _:
            return st.booleans()
    assert kind.base == "address"
    return st.binary(min_size=20, max_size=20).map(to_checksum_address)


def _decimal(number: int, places: int) -> Decimal:
    return Decimal(number).scaleb(-places, Context(prec=200))


def eth_abi_type(param: AbiParam) -> str:
    """``function`` is 24 bytes; eth_abi reads it by that name only."""
    inner = ",".join(eth_abi_type(c) for c in param.components)
    return param.type.replace("tuple", f"({inner})", 1).replace("function", "bytes24")


def as_decoded(param: AbiParam, value: Any) -> Any:
    """A value as eth_abi has it → as the decoder has it."""
    if param.type.endswith("]"):
        item = AbiParam(param.name, param.type[: param.type.rindex("[")], False, param.components)
        return [as_decoded(item, v) for v in value]
    if param.type == "tuple":
        return {c.name: as_decoded(c, v) for c, v in zip(param.components, value, strict=True)}
    return to_checksum_address(value) if param.type == "address" else value


def by_eth_abi(fields: tuple[AbiParam, ...], data: bytes) -> dict[str, Any] | None:
    """What eth_abi makes of the data; None when it refuses it."""
    try:
        values = decode([eth_abi_type(f) for f in fields], data)
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None
    return {f.name: as_decoded(f, v) for f, v in zip(fields, values, strict=True)}


def by_us(decoder: EventDecoder, data: bytes) -> dict[str, Any] | None:
    try:
        return decoder.decode_raw([], data)
    except DecodeError:
        return None


def decoder_of(fields: tuple[AbiParam, ...]) -> EventDecoder:
    return EventDecoder(AbiEvent("E", fields, anonymous=True))


@st.composite
def encodings(draw: st.DrawFn) -> tuple[tuple[AbiParam, ...], bytes]:
    fields = draw(FIELDS)
    types = [eth_abi_type(f) for f in fields]
    values = [draw(values_of(parse(text))) for text in types]
    return fields, encode(types, values)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[tuple[AbiParam, ...], bytes]:
    """An encoding with up to three faults: a changed byte or word, a word put in or taken out, a cut, a tail."""
    fields, encoded = draw(encodings())
    data = bytearray(encoded)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        word = at // 32 * 32
        match draw(st.sampled_from(["byte", "word", "insert", "remove", "cut", "tail"])):
            case "byte":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "word":
                data[word : word + 32] = draw(words(len(data)))
            case "insert":
                data[word:word] = draw(words(len(data)))
            case "remove":
                del data[word : word + 32]
            case "cut":
                del data[at:]
            case "tail":
                data += draw(st.binary(max_size=40))
    return fields, bytes(data)


def words(size: int) -> st.SearchStrategy[bytes]:
    number = st.one_of(
        st.integers(0, 8).map(lambda n: 32 * n),
        st.integers(0, 70),
        st.sampled_from(
            [size, max(size - 32, 0), 2**32, 2**32 + 32, 2**60, 2**63, 2**64 - 1, 2**255, 2**256 - 1]
        ),
        st.integers(0, 2**256 - 1),
    )
    return number.map(lambda n: n.to_bytes(32, "big"))


@given(encodings())
@settings(deadline=None, max_examples=200)
def test_what_eth_abi_encodes_the_compiled_reader_reads_to_the_same_values(
    case: tuple[tuple[AbiParam, ...], bytes],
) -> None:
    fields, data = case
    decoder = decoder_of(fields)
    expected = by_eth_abi(fields, data)
    assert expected is not None
    assert decoder._read is not None
    assert decoder._read([], data) == expected
    assert decoder._read_strictly([], data) == expected
    assert list(decoder.decode_raw([], data)) == [f.name for f in fields]


@given(mutated())
@settings(deadline=None, max_examples=600)
def test_faulty_data_is_refused_exactly_when_eth_abi_refuses_it(
    case: tuple[tuple[AbiParam, ...], bytes],
) -> None:
    fields, data = case
    decoder = decoder_of(fields)
    expected = by_eth_abi(fields, data)
    assert by_us(decoder, data) == expected
    assert decoder._read is not None
    try:
        fast = decoder._read([], data)
    except (Doubt, UnicodeDecodeError):
        return
    assert fast == expected


@given(
    LEAVES.filter(lambda text: text not in ("bytes", "string")),
    st.one_of(
        words(64),
        st.binary(min_size=32, max_size=32),
        st.integers(-(2**20), -1).map(lambda n: n.to_bytes(32, "big", signed=True)),
    ),
)
@settings(deadline=None, max_examples=300)
def test_an_indexed_value_is_read_as_strictly_as_a_word_of_data(type_text: str, topic: bytes) -> None:
    field = AbiParam("v", type_text, indexed=True)
    decoder = decoder_of((field,))
    try:
        ours = decoder.decode_raw([topic], b"")
    except DecodeError:
        ours = None
    assert ours == by_eth_abi((field,), topic)


def paths_of(fields: tuple[AbiParam, ...]) -> list[tuple[str, ...]]:
    """The ways to all fields, through tuples but not into arrays."""
    below = [(f.name, *path) for f in fields if f.type == "tuple" for path in paths_of(f.components)]
    return [*((f.name,) for f in fields), *below]


def at_path(values: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        values = values[step]
    return values


@given(st.one_of(encodings(), mutated()), st.data())
@settings(deadline=None, max_examples=500)
def test_a_decoder_of_some_values_gives_these_and_refuses_what_one_of_all_refuses(
    case: tuple[tuple[AbiParam, ...], bytes], draw: st.DataObject
) -> None:
    fields, data = case
    paths = paths_of(fields)
    some = draw.draw(st.lists(st.sampled_from(paths), unique=True)) if paths else []
    event = AbiEvent("E", fields, anonymous=True)

    found = by_us(EventDecoder(event, frozenset(some)), data)

    everything = by_us(EventDecoder(event), data)
    assert (found is None) == (everything is None)
    for path in some:
        assert found is None or at_path(found, path) == at_path(everything, path)


@given(LEAVES.filter(lambda text: text not in ("bytes", "string")), st.binary(min_size=32, max_size=32))
@settings(deadline=None, max_examples=200)
def test_an_indexed_value_is_checked_though_nobody_wants_it(type_text: str, topic: bytes) -> None:
    event = AbiEvent("E", (AbiParam("v", type_text, indexed=True),), anonymous=True)
    for word in (topic, topic[:1] * 32):
        try:
            decoder_of(event.inputs).decode_raw([word], b"")
        except DecodeError:
            with pytest.raises(DecodeError):
                EventDecoder(event, frozenset()).decode_raw([word], b"")
        else:
            assert EventDecoder(event, frozenset()).decode_raw([word], b"") == {}
