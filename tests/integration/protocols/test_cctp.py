"""CCTP 1 has a nonce of the origin; CCTP 2 has one that the origin does not know."""

from dataclasses import replace

import pytest

from tests.support.missing import missing
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.cctp import FAST, FINALIZED, MESSAGE_SENT, Cctp, messages_in, published_events
from tests.support.protocols.chain import HOUR, TRANSFER, Chains, Reverted, address_of, advance, number

pytestmark = pytest.mark.anvil

DEPOSIT_V1 = "DepositForBurn(uint64,address,uint256,address,bytes32,uint32,bytes32,bytes32)"
DEPOSIT_V2 = "DepositForBurn(address,uint256,address,bytes32,uint32,bytes32,bytes32,uint256,uint32,bytes)"
RECEIVED_V1 = "MessageReceived(address,uint32,uint64,bytes32,bytes)"
RECEIVED_V2 = "MessageReceived(address,uint32,bytes32,bytes32,uint32,bytes)"
MINT_V1 = "MintAndWithdraw(address,uint256,address)"
MINT_V2 = "MintAndWithdraw(address,uint256,address,uint256)"


def test_the_stand_in_of_cctp_emits_what_is_published_of_circles() -> None:
    try:
        v1, v2 = published_events(1), published_events(2)
    except ArtifactError as error:
        missing("the ABIs of CCTP", str(error))
    assert v1[MESSAGE_SENT] == []
    assert v1[DEPOSIT_V1] == ["nonce", "burnToken", "depositor"]
    assert v1[RECEIVED_V1] == ["caller", "nonce"]
    assert v1[MINT_V1] == ["mintRecipient", "mintToken"]
    assert v2 == {DEPOSIT_V2: ["burnToken", "depositor", "minFinalityThreshold"]}


def test_cctp_v1_joins_a_deposit_by_the_origins_domain_and_nonce(cctp_v1: Cctp) -> None:
    sent = cctp_v1.deposit(0, 3, 1_000)
    (raw,) = sent.event(MESSAGE_SENT).decode_data("(bytes)")
    deposit = sent.event(DEPOSIT_V1)
    nonce = deposit.topics[1]
    amount, recipient, destination, messenger, caller = deposit.decode_data(
        "(uint256,bytes32,uint32,bytes32,bytes32)"
    )
    assert (amount, destination, caller) == (1_000, 3, bytes(32))
    assert (messenger, recipient) == (raw[52:84], raw[116:][36:68])
    assert (number(raw[4:8]), number(raw[8:12]), raw[12:20]) == (0, 3, nonce[-8:])
    assert sent.order(TRANSFER, MESSAGE_SENT, DEPOSIT_V1) == ["Transfer", "MessageSent", "DepositForBurn"]

    received = cctp_v1.relay(sent)
    event = received.event(RECEIVED_V1)
    assert event.topics[2] == nonce
    assert event.decode_data("(uint32,bytes32,bytes)") == (0, raw[20:52], raw[116:])
    assert received.event(MINT_V1).decode_data("(uint256)") == (1_000,)
    assert received.order(TRANSFER, MINT_V1, RECEIVED_V1) == [
        "Transfer",
        "MintAndWithdraw",
        "MessageReceived",
    ]


def test_cctp_v1s_nonces_count_all_destinations_and_are_the_same_on_every_origin(cctp_v1: Cctp) -> None:
    def nonce(origin: int, destination: int) -> int:
        return number(cctp_v1.deposit(origin, destination, 10).event(DEPOSIT_V1).topics[1])

    def first(origin: int) -> int:
        return min(number(log.topics[1]) for log in cctp_v1.sites[origin].chain.events(DEPOSIT_V1))

    before = nonce(6, 0)  # other tests may have sent from there
    assert [nonce(6, 3), nonce(6, 0)] == [before + 1, before + 2]
    nonce(3, 0)
    assert first(6) == first(3) == 0


def test_a_cctp_v1_message_is_late_or_forged_but_never_received_twice(chains: Chains, cctp_v1: Cctp) -> None:
    sent = cctp_v1.deposit(0, 6, 2_000)
    advance(chains, HOUR)
    assert cctp_v1.relay(sent).timestamp - sent.timestamp >= HOUR
    with pytest.raises(Reverted, match="Nonce already used"):
        cctp_v1.relay(sent)

    (message,) = messages_in(sent)
    forged = replace(message, nonce=(10**9).to_bytes(8))
    assert number(cctp_v1.receive(forged).event(RECEIVED_V1).topics[2]) == 10**9
    assert 10**9 not in {number(log.topics[1]) for log in chains.ethereum.events(DEPOSIT_V1)}


def test_cctp_v2s_origin_knows_no_nonce_and_two_deposits_alike_are_sent_as_the_same_bytes(
    cctp_v2: Cctp,
) -> None:
    deposits = [cctp_v2.deposit(0, 3, 5_000) for _ in range(2)]
    first, second = (sent.event(MESSAGE_SENT) for sent in deposits)
    assert first.data == second.data
    (raw,) = first.decode_data("(bytes)")
    assert (number(raw[:4]), number(raw[4:8]), number(raw[8:12]), raw[12:44]) == (1, 0, 3, bytes(32))
    assert (number(raw[140:144]), number(raw[144:148])) == (FINALIZED, 0)
    assert deposits[0].order(TRANSFER, MESSAGE_SENT, DEPOSIT_V2) == [
        "Transfer",
        "MessageSent",
        "DepositForBurn",
    ]
    deposit = deposits[0].event(DEPOSIT_V2)
    assert (address_of(deposit.topics[1]), number(deposit.topics[3])) == (cctp_v2.sites[0].token, FINALIZED)
    types = "(uint256,bytes32,uint32,bytes32,bytes32,uint256,bytes)"
    assert deposit.decode_data(types) == (5_000, raw[148:][36:68], 3, raw[76:108], bytes(32), 0, b"")

    events = [cctp_v2.relay(sent).event(RECEIVED_V2) for sent in deposits]
    assert len({bytes(32), *(event.topics[2] for event in events)}) == 3
    assert events[0].decode_data("(uint32,bytes32,bytes)") == (0, raw[44:76], raw[148:])
    assert events[0].data == events[1].data


def test_a_fast_cctp_v2_deposit_arrives_with_another_body_and_less_of_it(cctp_v2: Cctp) -> None:
    sent = cctp_v2.deposit(3, 0, 10_000, FAST)
    (raw,) = sent.event(MESSAGE_SENT).decode_data("(bytes)")
    received = cctp_v2.relay(sent, fee=30)
    event = received.event(RECEIVED_V2)
    origin, sender, body = event.decode_data("(uint32,bytes32,bytes)")
    assert number(event.topics[3]) == FAST
    assert body != raw[148:]
    assert (origin, sender, body[:164], body[228:]) == (3, raw[44:76], raw[148:][:164], raw[148:][228:])
    assert received.event(MINT_V2).decode_data("(uint256,uint256)") == (9_970, 30)
    assert received.order(TRANSFER, MINT_V2, RECEIVED_V2) == [
        "Transfer",
        "Transfer",
        "MintAndWithdraw",
        "MessageReceived",
    ]


def test_a_cctp_v2_message_attested_under_two_nonces_is_paid_twice(chains: Chains, cctp_v2: Cctp) -> None:
    sent = cctp_v2.deposit(6, 0, 77)
    (message,) = messages_in(sent)
    advance(chains, HOUR)
    attested = message.attested(cctp_v2.fresh_nonce())
    assert cctp_v2.receive(attested).timestamp - sent.timestamp >= HOUR
    with pytest.raises(Reverted, match="Nonce already used"):
        cctp_v2.receive(attested)
    again = cctp_v2.receive(message.attested(cctp_v2.fresh_nonce()))
    assert again.event(MINT_V2).decode_data("(uint256,uint256)") == (77, 0)

    forged = replace(message, body=message.body[:68] + (10**6).to_bytes(32) + message.body[100:])
    received = cctp_v2.receive(forged.attested(cctp_v2.fresh_nonce()))
    body = received.event(RECEIVED_V2).decode_data("(uint32,bytes32,bytes)")[2]
    assert number(body[68:100]) == 10**6
    origins = [raw for log in chains.base.events(MESSAGE_SENT) for raw in log.decode_data("(bytes)")]
    assert not any(body[:164] in raw for raw in origins)
