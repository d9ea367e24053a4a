"""Ids of Arbitrum's retryable tickets: against the SDK's own results, and against another encoder of RLP."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
import rlp

from chainwatch.checker.protocols.arbitrum import ticket_id
from chainwatch.support.keccak import keccak256

ONE, NOVA = 42_161, 42_170
ALICE, BOB, ZERO = "0x" + "11" * 20, "0x" + "c4" * 20, "0x" + "00" * 20
EARLY = "0x000000" + "ab" * 17
"""An address that begins with zeros."""


class Ticket(NamedTuple):
    """A message of the inbox, before it is packed."""

    to: str
    l2_value: int
    deposit: int
    submission_fee: int
    fee_refund: str
    value_refund: str
    gas_limit: int
    gas_price: int
    calldata: bytes

    @property
    def packed(self) -> bytes:
        """As the inbox emits it: ``abi.encodePacked`` of words, and the calldata."""
        words = [part if isinstance(part, int) else int(part, 16) for part in self[:-1]]
        return b"".join(word.to_bytes(32) for word in (*words, len(self.calldata))) + self.calldata


DEPOSIT = Ticket(
    to=EARLY,
    l2_value=10**18,
    deposit=1_000_300_000_000_000_000,
    submission_fee=250_000_000_000,
    fee_refund=ALICE,
    value_refund=BOB,
    gas_limit=275_000,
    gas_price=10**8,
    calldata=bytes.fromhex("2e567b36") + bytes(12) + b"\xaa" * 100,
)


@pytest.mark.parametrize(
    ("chain_id", "number", "sender", "base_fee", "ticket", "expected"),
    [
        (
            ONE,
            0,
            ALICE,
            0,
            Ticket(EARLY, 0, 0, 0, ALICE, BOB, 0, 0, b""),
            "16b62c7101798927814f4cd586a2508b73dcbbae841c8d0a6be5988e8a6bab37",
        ),
        (
            ONE,
            1_722_048,
            ALICE,
            12_345_678_901,
            DEPOSIT,
            "556d6f639f3b7028e807f6bb339406a2e4f8b3f3499bc5400774ac3a2506895f",
        ),
        (
            NOVA,
            255,
            BOB,
            1,
            Ticket(ZERO, 1, 127, 128, EARLY, ZERO, 1, 1, b"\x7f"),
            "b73f647d4662a35f8aaaee5cbb74fa60ff2f67543917d4f87907080919ac5ccd",
        ),
    ],
)
def test_the_id_is_the_one_that_the_sdk_computes(
    chain_id: int, number: int, sender: str, base_fee: int, ticket: Ticket, expected: str
) -> None:
    """``calculateSubmitRetryableId`` of @arbitrum/sdk 4.1.0, of what its ``SubmitRetryableMessageDataParser`` reads."""
    assert ticket_id(chain_id, number, sender, base_fee, ticket.packed).hex() == expected


def test_the_encoding_is_that_of_another_encoder() -> None:
    chance = random.Random(12)
    for length in (0, 1, 2, 55, 56, 57, 255, 256, 1000, 65_000):
        number, base_fee = chance.getrandbits(64), chance.getrandbits(40)
        values = [chance.getrandbits(chance.choice((0, 7, 8, 64, 256))) for _ in range(5)]
        calldata = chance.randbytes(length)
        l2_value, deposit, submission_fee, gas_limit, gas_price = values
        ticket = Ticket(BOB, l2_value, deposit, submission_fee, ALICE, EARLY, gas_limit, gas_price, calldata)
        fields = [ONE, number.to_bytes(32), _raw(ALICE), base_fee, deposit, gas_price, gas_limit, _raw(BOB)]
        fields += [l2_value, _raw(EARLY), submission_fee, _raw(ALICE), calldata]
        assert ticket_id(ONE, number, ALICE, base_fee, ticket.packed) == keccak256(
            b"\x69" + rlp.encode(fields)
        )


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "a message of 0 bytes is no retryable ticket"),
        (DEPOSIT.packed[:287], "a message of 287 bytes is no retryable ticket"),
        (DEPOSIT.packed[:-1], "a retryable ticket with 116 bytes of calldata, not 115"),
        (DEPOSIT.packed + b"\0", "a retryable ticket with 116 bytes of calldata, not 117"),
        (b"\x01" + DEPOSIT.packed[1:], "is no address"),
        (DEPOSIT.packed[:128] + b"\x01" + DEPOSIT.packed[129:], "is no address"),
        (bytes(65_537), "a value of 65537 bytes"),
    ],
)
def test_a_message_that_is_no_ticket_has_no_id(message: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ticket_id(ONE, 1, ALICE, 1, message)


def _raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])
