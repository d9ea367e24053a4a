"""What Pessimism's heuristics make of what they looked up; hashes and roots of the OP stack."""

from __future__ import annotations

from fractions import Fraction

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.checker.invariants.heuristics import Withdrawal, WithdrawalCheck, faults_of
from chainwatch.checker.protocols.op_stack import (
    output_root,
    proven_value,
    similarity,
    withdrawal_hash,
)
from chainwatch.support.keccak import keccak256

ETHER = 10**18
ANY = keccak256(b"any")
CHECK = WithdrawalCheck("ethereum", "optimism", bytes(20), bytes(20), Fraction(1, 5), Fraction(1, 4))
A, B = "0x" + "aA" * 20, "0x" + "bB" * 20
PROVE = (
    "proveWithdrawalTransaction((uint256,address,address,uint256,uint256,bytes),uint256,"
    "(bytes32,bytes32,bytes32,bytes32),bytes[])"
)
SELECTOR = keccak256(PROVE.encode())[:4]
TYPES = [
    "(uint256,address,address,uint256,uint256,bytes)",
    "uint256",
    "(bytes32,bytes32,bytes32,bytes32)",
    "bytes[]",
]


def calldata(*withdrawal: object) -> bytes:
    return SELECTOR + encode(TYPES, [withdrawal, 1, [bytes(32)] * 4, [b"proof"]])


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (Withdrawal(ANY, ETHER, 10 * ETHER, True), []),
        (Withdrawal(ANY, ETHER, 10 * ETHER, False), ["never sent it"]),
        (Withdrawal(ANY, 2 * ETHER, 10 * ETHER, True), ["2 ETH are 20 %"]),
        (Withdrawal(ANY, 2 * ETHER - 1, 10 * ETHER, True), []),
        (Withdrawal(ANY, 10 * ETHER, 10 * ETHER, True), ["all of the 10 ETH"]),
        (Withdrawal(ANY, 0, 0, True), ["all of the 0 ETH"]),
        (Withdrawal(ANY, None, ETHER, True), ["cannot be found"]),
        (Withdrawal(bytes(32), 0, ETHER, True), ["100 % like"]),
        (
            Withdrawal(b"\xff" * 24 + ANY[:8], 0, ETHER, False),
            ["never sent it", "like one of nothing but 0 or f"],
        ),
    ],
)
def test_each_fault_of_a_withdrawal_is_named(found: Withdrawal, faults: list[str]) -> None:
    named = faults_of(CHECK, found)
    assert len(named) == len(faults)
    assert all(part in text for part, text in zip(faults, named, strict=True))


def test_without_thresholds_only_what_is_certain_is_a_fault() -> None:
    check = CHECK._replace(share=None, likeness=None)
    assert faults_of(check, Withdrawal(bytes(32), 9 * ETHER, 10 * ETHER, True)) == []
    assert len(faults_of(check, Withdrawal(bytes(32), 10 * ETHER, 10 * ETHER, False))) == 2


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_similarity_is_a_share_and_symmetric(one: bytes, other: bytes) -> None:
    assert 0 <= similarity(one, other) <= 1
    assert similarity(one, other) == similarity(other, one)
    assert similarity(one, one) == 1


def test_usual_hashes_are_not_like_zeros() -> None:
    assert max(similarity(keccak256(bytes([n])), bytes(32)) for n in range(200)) < Fraction(1, 10)


@given(
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**256 - 1),
    st.binary(max_size=100),
)
def test_a_withdrawal_is_hashed_as_by_abi_encode_and_found_in_calldata(
    nonce: int, value: int, gas: int, data: bytes
) -> None:
    fields = (nonce, A, B, value, gas, data)
    types = ["uint256", "address", "address", "uint256", "uint256", "bytes"]
    expected = keccak256(encode(types, fields))
    assert withdrawal_hash(*fields) == expected
    assert proven_value(calldata(*fields), expected) == value
    inner = calldata(*fields)
    batch = b"batch" + encode(["(address,bytes)[]"], [[(A, calldata(1, A, B, 2, 3, b"")), (B, inner)]])
    assert proven_value(batch, expected) == value
    assert proven_value(batch, ANY) is None


@given(st.binary(max_size=300))
def test_no_calldata_is_a_crash(data: bytes) -> None:
    assert proven_value(SELECTOR + data, ANY) is None
    assert proven_value(SELECTOR * 1_000 + data, ANY) is None


def test_an_output_root_is_that_of_its_version() -> None:
    parts = [keccak256(bytes([n])) for n in range(3)]
    assert output_root(*parts) == keccak256(bytes(32) + b"".join(parts))
