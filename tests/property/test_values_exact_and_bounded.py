"""Computed values equal those of independent implementations, and nothing that an event holds makes them large or slow."""

import contextlib
import time
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_abi.packed import encode_packed
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chainwatch.checker.expression import ConditionError, EvaluationError, compile_condition, compile_value
from chainwatch.checker.keys import key_text
from chainwatch.model import AbiEvent, AbiParam, Event, RawLog

MAX_SIZE = 65_536
SLOWEST_SECONDS = 0.001
REPEATS = 7
"""How often a computation is measured: the fastest time counts, for other processes make some slower."""

EVENT = AbiEvent(
    "E",
    (
        AbiParam("a", "bytes"),
        AbiParam("b", "bytes"),
        AbiParam("w", "bytes32"),
        AbiParam("s", "string"),
        AbiParam("n", "uint256"),
        AbiParam("i", "int256"),
        AbiParam("to", "address"),
        AbiParam("list", "uint256[]"),
    ),
)
ADDRESS = "0x" + "11" * 20
ARGS: dict[str, Any] = {
    "a": b"",
    "b": b"",
    "w": bytes(32),
    "s": "",
    "n": 0,
    "i": 0,
    "to": ADDRESS,
    "list": [],
}
NETWORKS: dict[str, dict[str, int | str]] = {"net": {"domain": 5, "bridge": ADDRESS}}
LOG = RawLog(1, b"", 2, 0, bytes(32), bytes(20), (), b"")


def event_of(**args: Any) -> Event:
    return Event("net", "c", "E", "", ARGS | args, LOG)


def value_of(source: str, **args: Any) -> Any:
    return compile_value(source, EVENT, NETWORKS).read(event_of(**args))


def answer(source: str, **args: Any) -> Any:
    """The value, or None where there is none."""
    try:
        return value_of(source, **args)
    except EvaluationError:
        return None


bounds = st.none() | st.integers(-70, 70)
words = st.integers(0, 2**256 - 1)


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=64), text=st.text(max_size=20), start=bounds, stop=bounds)
def test_slices_are_pythons_within_the_value_and_trouble_beyond_it(
    raw: bytes, text: str, start: int | None, stop: int | None
) -> None:
    written = f"[{'' if start is None else start}:{'' if stop is None else stop}]"
    for name, value in (("a", raw), ("s", text)):
        size = len(value)
        begin = 0 if start is None else start if start >= 0 else size + start
        end = size if stop is None else stop if stop >= 0 else size + stop
        is_within = 0 <= begin <= end <= size
        try:
            found = answer(name + written, **{name: value})
        except ConditionError:
            assert not is_within
            continue
        assert found == (value[start:stop] if is_within else None)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=40), number=words, signed=st.integers(-(2**255), 2**255 - 1))
def test_casts_are_exact_or_refuse(raw: bytes, number: int, signed: int) -> None:
    fits = 0 < len(raw) <= 32
    assert answer("uint(a)", a=raw) == (int.from_bytes(raw) if fits else None)
    assert answer("int(a)", a=raw) == (int.from_bytes(raw, signed=True) if fits else None)
    assert answer("uint64(a)", a=raw) == (
        int.from_bytes(raw) if fits and int.from_bytes(raw) < 2**64 else None
    )
    assert answer("bytes32(a)", a=raw) == (raw.rjust(32, b"\0") if len(raw) <= 32 else None)
    assert answer("int16(i)", i=signed) == (signed if -(2**15) <= signed < 2**15 else None)
    assert answer("uint(i)", i=signed) == (signed if signed >= 0 else None)
    assert value_of("bytes32(n)", n=number) == number.to_bytes(32)
    assert value_of("uint(bytes32(n))", n=number) == number
    address = to_checksum_address((number % 2**160).to_bytes(20))
    assert answer("address(n)", n=number) == (address if number < 2**160 else None)
    assert value_of("address(bytes32(to))", to=address) == address
    assert value_of("address(uint(to))", to=address) == address


@settings(max_examples=200, deadline=None)
@given(
    a=st.binary(max_size=300),
    s=st.text(max_size=50),
    n=words,
    i=st.integers(-(2**255), 2**255 - 1),
    small=st.integers(0, 2**32 - 1),
)
def test_hashes_are_those_of_values_packed_by_eth_abi(a: bytes, s: str, n: int, i: int, small: int) -> None:
    types = ["bytes", "string", "uint256", "int256", "address", "uint32", "bytes32"]
    packed = encode_packed(types, [a, s, n, i, ADDRESS, small, bytes(32)])
    source = f"keccak(a, s, n, i, to, uint32({small}), w)"
    assert value_of(source, a=a, s=s, n=n, i=i) == keccak(packed)
    assert value_of("keccak(a)", a=a) == keccak(a)


TYPES = ["uint32", "address", "bytes32", "bytes", "string", "bool", "int16", "uint8[2]", "uint64[]"]


@settings(max_examples=200, deadline=None)
@given(types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=5), data=st.data())
def test_bytes_decode_as_by_eth_abi_whatever_they_are(types: list[str], data: st.DataObject) -> None:
    makers: dict[str, st.SearchStrategy[Any]] = {
        "uint32": st.integers(0, 2**32 - 1),
        "address": st.binary(min_size=20, max_size=20).map(to_checksum_address),
        "bytes32": st.binary(min_size=32, max_size=32),
        "bytes": st.binary(max_size=40),
        "string": st.text(max_size=10),
        "bool": st.booleans(),
        "int16": st.integers(-(2**15), 2**15 - 1),
        "uint8[2]": st.lists(st.integers(0, 255), min_size=2, max_size=2),
        "uint64[]": st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    }
    raw = encode(types, [data.draw(makers[one]) for one in types])
    if data.draw(st.booleans()):  # spoil it
        position = data.draw(st.integers(0, len(raw) - 1))
        raw = raw[:position] + data.draw(st.binary(max_size=2)) + raw[position + 1 :]
    expected: tuple[Any, ...] | None
    try:
        expected = decode(types, raw)
    except (DecodingError, OverflowError, UnicodeDecodeError):
        expected = None
    for index, one in enumerate(types):
        element = "[0]" if one.endswith("]") else ""
        found = answer(f"decode('({','.join(types)})', a)[{index}]{element}", a=raw)
        if expected is None or (element and not expected[index]):
            assert found is None
        else:
            wanted = expected[index][0] if element else expected[index]
            assert found == (to_checksum_address(wanted) if one == "address" else wanted)


@given(st.text(max_size=40))
def test_every_text_is_a_type_to_decode_or_a_typed_error(text: str) -> None:
    assume(not set(text) & set('"\\\n'))
    with contextlib.suppress(ConditionError):
        compile_value(f'decode("{text}", a)', EVENT, NETWORKS)


pieces = st.recursive(
    st.sampled_from(["a", "b", "w", "s", "n", "i", "to", "list", "1", "emitter", "network.bridge"]),
    lambda inner: (
        st.builds(
            "{}({})".format,
            st.sampled_from(
                [
                    *("uint", "uint32", "int", "address", "bytes32", "text", "keccak", "lower", "unhex"),
                    *("len", "sum"),
                    *("decode('(bytes,uint8[])', ", "decode('string', "),
                ]
            ),
            inner,
        ).map(lambda text: text.replace(", (", ", "))
        | st.builds(
            "{}[{}:{}]".format, inner, st.sampled_from(["", "1", "-4"]), st.sampled_from(["", "5", "-1"])
        )
        | st.builds("{}[0]".format, inner)
        | st.builds("keccak({}, {})".format, inner, inner)
        | st.builds("{} + {}".format, inner, inner)
        | st.builds("{} * {}".format, inner, inner)
    ),
    max_leaves=8,
)
long_bytes = st.builds(
    lambda unit, size: (unit * (size // max(1, len(unit)) + 1))[:size],
    st.sampled_from(
        [b"\0", b"\xff", b"\x20" + bytes(31), bytes(31) + b"\x20", "é".encode(), b"\xed\xa0\x80"]
    ),
    st.sampled_from([0, 1, 31, 32, 33, 4096, 65_535, 65_536, 65_537, 2_000_000]),
)
long_text = st.builds(
    lambda unit, size: unit * size,
    st.sampled_from(["x", "İ", "\ud800", "\0", "€", "𐐀"]),
    st.sampled_from([0, 1, 16_384, 21_846, 65_536, 65_537, 1_000_000]),
)


@settings(max_examples=500, deadline=None)
@given(
    source=pieces,
    a=long_bytes,
    b=long_bytes,
    s=long_text,
    n=st.sampled_from([0, 2**64, 2**256 - 1]),
    i=st.sampled_from([-(2**255), -1, 2**255 - 1]),
    size=st.sampled_from([0, 1, 1_024, 1_025, 50_000]),
)
def test_no_expression_makes_much_of_any_event_or_takes_long(
    source: str, a: bytes, b: bytes, s: str, n: int, i: int, size: int
) -> None:
    try:
        value = compile_value(source, EVENT, NETWORKS)
    except ConditionError:
        return
    assume(value.path is None)  # a plain path makes nothing
    event = event_of(a=a, b=b, s=s, n=n, i=i, list=[2**256 - 1] * size)
    made = _outcome(value.read, event)
    if isinstance(made, bytes):
        assert len(made) <= MAX_SIZE
    if isinstance(made, str):
        assert len(made.encode("utf-8", "surrogatepass")) <= MAX_SIZE
    part = _outcome(key_text(value), event)
    assert part is None or len(part) <= MAX_SIZE
    assert _fastest(value.read, event) < SLOWEST_SECONDS
    assert _fastest(key_text(value), event) < SLOWEST_SECONDS


@settings(max_examples=300, deadline=None)
@given(left=pieces, right=pieces, a=st.binary(max_size=70), s=st.text(max_size=5), n=words)
def test_a_condition_says_the_same_of_an_event_and_of_the_facts_kept_of_it(
    left: str, right: str, a: bytes, s: str, n: int
) -> None:
    try:
        condition = compile_condition(f"{left} == {right}", EVENT, EVENT, NETWORKS)
    except ConditionError:
        return
    event = event_of(a=a, b=a[:5], s=s, n=n, list=[n])
    by_facts: bool | None
    try:
        by_facts = condition.evaluate_facts(condition.facts(event), {})
    except EvaluationError:
        by_facts = None
    assert _outcome(condition.evaluate, event) == by_facts


OFFSETS = b"".join((32 * 4).to_bytes(32) for _ in range(4))
MANY = OFFSETS + (27).to_bytes(32) + bytes(32 * 2_000)


@pytest.mark.parametrize(
    "source",
    [
        "keccak(a[:65536]) in (keccak(b[0:65535], w), w)",
        "lower(text(a[:65536]))[0:1]",
        "lower(s)[0:9]",
        "unhex(text(a[:65536]))[0:1]",
        "decode('uint256[]', a)[0] + decode('uint256', b)",
        "decode('address[128]', b)[5]",
        "decode('(uint8[],uint8[],uint8[],uint8[])', a)[0][0]",
        "uint(sum(list) + max(list) + min(list))",
        "1 in list or 2 in list or 3 in list or 4 in list or 5 in list",
        "a == b or a != b",
        "uint(keccak(uint(keccak(uint(keccak(uint(keccak(a))))))))",
        " * ".join(["n"] * 8) + " % 12345678901234567890 * 1 // 3",
        " and ".join(["n * n * n // 7 % 10 == 1"] * 300),
    ],
)
def test_the_most_work_that_is_allowed_takes_less_than_a_millisecond(source: str) -> None:
    value = compile_value(source, EVENT, NETWORKS)
    full = b"\xc3\x84" * (MAX_SIZE // 2)
    for a in (full, MANY[:MAX_SIZE], (32).to_bytes(32) + (120).to_bytes(32) + bytes(120 * 32)):
        event = event_of(
            a=a, b=bytes(MAX_SIZE), s="Ä" * (MAX_SIZE // 2), n=2**256 - 1, list=[2**256 - 1] * 1_024
        )
        assert _fastest(value.read, event) < SLOWEST_SECONDS


def _outcome(read: Any, event: Event) -> Any:
    try:
        return read(event)
    except EvaluationError:
        return None


def _fastest(read: Any, event: Event) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.thread_time()
        _outcome(read, event)
        times.append(time.thread_time() - began)
        if times[-1] < SLOWEST_SECONDS:
            break
    return min(times)
