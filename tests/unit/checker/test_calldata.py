"""What expressions read of an event's transaction and its calldata, encoded here by eth_abi."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.decode.functions import parse_function
from chainwatch.checker.calldata import Calldata, TransactionUnread
from chainwatch.checker.expression import (
    ConditionError,
    EvaluationError,
    Scope,
    compile_condition,
    compile_value,
)
from chainwatch.model import AbiEvent, AbiParam, Event, RawLog, Transaction
from chainwatch.support.keccak import keccak256
from tests.support.effort import effort_within

EVENT = AbiEvent("Done", (AbiParam("id", "bytes32"), AbiParam("amount", "uint256")))
FINALIZE = parse_function("function finalize((uint256 nonce, address sender) tx, bytes32[] proof) external")
SELECTOR = keccak256(b"finalize((uint256,address),bytes32[])")[:4]
CALLED = SELECTOR + encode(
    ["(uint256,address)", "bytes32[]"], [(7, "0x" + "ab" * 20), [b"\x01" * 32, b"\x02" * 32]]
)
SENDER, TARGET = "0x" + "11" * 20, "0x" + "22" * 20


def transaction(data: bytes = CALLED, **changes: Any) -> Transaction:
    whole = Transaction(bytes.fromhex(SENDER[2:]), bytes.fromhex(TARGET[2:]), 10**18, data, len(data))
    return whole._replace(**changes)


def event_of(one: Transaction | None) -> Event:
    log = RawLog(1, b"", 2, 0, b"\xcd" * 32, bytes(20), (), b"", one)
    return Event("net", "c", "Done", EVENT.signature, {"id": b"\x05" * 32, "amount": 7}, log)


def scope() -> Scope:
    return Scope(EVENT, call=Calldata(FINALIZE))


def value(source: str, one: Transaction | None) -> Any:
    return compile_value(source, scope(), {}).read(event_of(one))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("transaction.from", SENDER),
        ("transaction.to", TARGET),
        ("transaction.value", 10**18),
        ("transaction.value + amount", 10**18 + 7),
        ("transaction.input[0:4]", SELECTOR),
        ("keccak(transaction.input)", keccak256(CALLED)),
        ("call.tx.nonce", 7),
        ("lower(text(bytes32(call.tx.sender)[12:14]))", None),
        ("call.tx.sender", "0xabABabAbABabABabAbABABAbAbabABababAbaBab"),
        ("call.proof[-1]", b"\x02" * 32),
        ("call.proof[0][0:2]", b"\x01\x01"),
        ("len(call.proof)", 2),
        ("keccak(call.tx.nonce, call.proof[0])", keccak256((7).to_bytes(32) + b"\x01" * 32)),
    ],
)
def test_values_of_the_transaction_and_of_its_calldata(source: str, expected: Any) -> None:
    if expected is None:
        with pytest.raises(EvaluationError):  # abab is no UTF-8
            value(source, transaction())
        return
    found = value(source, transaction())
    assert found.lower() == expected.lower() if isinstance(expected, str) else found == expected


def test_a_creation_compares_as_the_zero_address() -> None:
    condition = compile_condition(f"transaction.to == 0x{'00' * 20}", EVENT)
    assert condition.evaluate(event_of(transaction(to=None)))
    assert not condition.evaluate(event_of(transaction()))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "calls no function of 0x2222"),
        (b"\x12\x34", "calls the function 0x1234 of 0x2222"),
        (b"\x12\x34\x56\x78" + CALLED[4:], "came through another function or contract"),
        (SELECTOR, "does not decode"),
        (CALLED[:-40], "does not decode"),
        (SELECTOR + b"\xff" * 200, "does not decode"),
    ],
)
def test_calldata_of_another_function_or_that_does_not_decode_is_trouble(data: bytes, reason: str) -> None:
    with pytest.raises(EvaluationError, match=reason):
        value("call.tx.nonce", transaction(data))


def test_calldata_whose_offsets_repeat_the_same_place_is_not_read_for_long() -> None:
    table = parse_function("function f(bytes32[][][] table)")
    word = 32
    rows = 1_000
    inner = word.to_bytes(32) + rows.to_bytes(32) + (word * rows).to_bytes(32) * rows
    again = (word * rows + 32).to_bytes(32) + rows.to_bytes(32) + (word * rows).to_bytes(32) * rows
    data = keccak256(b"f(bytes32[][][])")[:4] + inner + again + rows.to_bytes(32) + bytes(word * rows)
    step = Scope(EVENT, call=Calldata(table))
    with effort_within(0.5), pytest.raises(EvaluationError, match="does not decode"):
        compile_value("call.table[0][0][0]", step, {}).read(event_of(transaction(data)))


def test_calldata_that_does_not_decode_is_not_decoded_for_each_of_many_events() -> None:
    numbers = parse_function("function f(uint256[] numbers, bytes rest)")
    encoded = encode(["uint256[]", "bytes"], [[7] * 3_900, b""])
    beyond = encoded[:32] + (1 << 200).to_bytes(32) + encoded[64:]
    event = event_of(transaction(keccak256(b"f(uint256[],bytes)")[:4] + beyond))
    read = compile_value("call.numbers[0]", Scope(EVENT, call=Calldata(numbers)), {}).read
    with effort_within(0.5):
        for _ in range(1_000):
            with pytest.raises(EvaluationError, match="does not decode"):
                read(event)


def test_a_condition_can_ask_for_the_selector_first() -> None:
    source = f"transaction.input[0:4] == 0x{SELECTOR.hex()} and call.tx.nonce == 7"
    condition = compile_condition(source, scope())
    assert condition.evaluate(event_of(transaction()))
    assert not condition.evaluate(event_of(transaction(b"\x12\x34\x56\x78")))


def test_a_log_of_no_transaction_is_trouble_and_an_unread_one_is_not_an_answer() -> None:
    for source in ("transaction.from", "transaction.to", "transaction.value", "call.tx.nonce"):
        with pytest.raises(EvaluationError, match=r"no transaction has the hash 0xcdcd.*state sync"):
            value(source, Transaction(None))
        with pytest.raises(TransactionUnread):
            value(source, None)
    assert value("transaction.hash", None) == b"\xcd" * 32


def test_calldata_that_is_more_than_is_kept_is_trouble_only_for_what_reads_it() -> None:
    huge = transaction(input=None, size=200_000)
    assert value("transaction.value", huge) == 10**18
    for source in ("transaction.input[0:4]", "call.tx.nonce"):
        with pytest.raises(EvaluationError, match="200000 bytes of calldata, more than are kept"):
            value(source, huge)


def test_facts_of_a_condition_are_values_read_from_the_transaction() -> None:
    condition = compile_condition(
        "call.tx.nonce == opening.call.tx.nonce and transaction.from != opening.transaction.from",
        scope(),
        scope(),
    )
    own, opening = transaction(), transaction(sender=b"\x33" * 20)
    facts = condition.facts(event_of(own)), condition.opening_facts(event_of(opening))
    assert facts[0] == {"call.tx.nonce": 7, "transaction.from": SENDER}
    assert condition.evaluate_facts(*facts)
    with pytest.raises(TransactionUnread):
        condition.facts(event_of(None))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("call", "name an argument of finalize"),
        ("call[0]", "name an argument of finalize"),
        ("call.ty", "has no field ty"),
        ("call.tx.nonse", "has no field nonse"),
        ("call.tx", "single value"),
        ("transaction.sender", "has no field sender"),
    ],
)
def test_what_the_call_does_not_have_is_refused(source: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        compile_value(source, scope(), {})
    assert message in str(caught.value)


def test_a_step_without_a_function_has_no_call_unless_it_is_an_argument() -> None:
    with pytest.raises(ConditionError, match="there is no function"):
        compile_value("call.x + 1", EVENT, {})
    named = AbiEvent("Called", (AbiParam("call", "tuple", components=(AbiParam("p0", "uint256"),)),))
    event = event_of(None)._replace(args={"call": {"p0": 4}})
    assert compile_value("call.p0 + 1", named, {}).read(event) == 5


def test_the_arguments_of_many_events_of_one_transaction_are_decoded_once() -> None:
    reader, one = Calldata(FINALIZE), transaction()
    assert reader(event_of(one).log) is reader(event_of(one).log)
    assert reader(event_of(transaction()).log) == reader(event_of(one).log)
    other = transaction(SELECTOR + encode(["(uint256,address)", "bytes32[]"], [(8, SENDER), []]))
    assert reader(event_of(other).log)["tx"]["nonce"] == 8


@given(st.binary(max_size=600), st.booleans())
def test_any_calldata_is_values_or_trouble(data: bytes, fits: bool) -> None:
    reader = Calldata(FINALIZE)
    try:
        found = reader(event_of(transaction(SELECTOR + data if fits else data)).log)
    except ValueError:
        return
    assert set(found) == {"tx", "proof"}


@given(st.integers(0, 2**256 - 1), st.binary(min_size=20, max_size=20), st.lists(st.binary(max_size=32)))
def test_arguments_are_those_that_eth_abi_has_encoded(nonce: int, sender: bytes, proof: list[bytes]) -> None:
    encoded = encode(["(uint256,address)", "bytes32[]"], [(nonce, "0x" + sender.hex()), proof])
    found = Calldata(FINALIZE)(event_of(transaction(SELECTOR + encoded)).log)
    assert (found["tx"]["nonce"], found["tx"]["sender"].lower()) == (nonce, "0x" + sender.hex())
    assert found["proof"] == [one.ljust(32, b"\0") for one in proof]
