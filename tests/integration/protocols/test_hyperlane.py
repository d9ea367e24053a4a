"""Hyperlane joins by an id that is in events of its own, beside the events that name the networks."""

import pytest
from eth_utils.crypto import keccak

from tests.support.protocols.chain import (
    HOUR,
    TRANSFER,
    Chains,
    Reverted,
    address_of,
    advance,
    call_data,
    number,
    word,
)
from tests.support.protocols.hyperlane import DISPATCH, Hyperlane, messages_in

pytestmark = pytest.mark.anvil

DISPATCH_ID = "DispatchId(bytes32)"
PROCESS, PROCESS_ID = "Process(uint32,bytes32,address)", "ProcessId(bytes32)"
SENT_REMOTE, RECEIVED_REMOTE = (
    f"{name}TransferRemote(uint32,bytes32,uint256)" for name in ("Sent", "Received")
)


def test_hyperlane_joins_a_message_by_its_id(chains: Chains, hyperlane: Hyperlane) -> None:
    sent = hyperlane.dispatch(chains.ethereum, chains.arbitrum, b"a message")
    dispatch, dispatch_id = sent.event(DISPATCH), sent.event(DISPATCH_ID)
    (raw,) = dispatch.decode_data("(bytes)")
    assert address_of(dispatch.topics[1]) == chains.ethereum.account.lower()
    assert (number(dispatch.topics[2]), number(raw[5:9]), number(raw[41:45])) == (42_161, 1, 42_161)
    assert dispatch.topics[3] == raw[45:77] == word(hyperlane.sites[42_161].recipient)
    assert dispatch_id.topics[1] == keccak(raw)
    assert (dispatch_id.data, dispatch_id.index) == (b"", dispatch.index + 1)

    received = hyperlane.relay(sent)
    process, process_id = received.event(PROCESS), received.event(PROCESS_ID)
    assert (number(process.topics[1]), process.topics[2], process.topics[3]) == (1, raw[9:41], raw[45:77])
    assert process.data == b""
    assert process_id.topics[1] == keccak(raw)
    assert process_id.index == process.index + 1
    assert {dispatch.address, dispatch_id.address} == {hyperlane.sites[1].mailbox}


def test_hyperlane_messages_of_one_transaction_keep_their_ids_next_to_them(
    chains: Chains, hyperlane: Hyperlane
) -> None:
    mailbox = hyperlane.sites[1].mailbox
    calls = []
    for there in (chains.arbitrum, chains.base, chains.arbitrum):
        arguments = (there.chain_id, word(hyperlane.sites[there.chain_id].recipient), b"one of three")
        calls.append((mailbox, call_data("dispatch(uint32,bytes32,bytes)", *arguments)))
    sent = chains.ethereum.send_together(calls)
    assert sent.order(DISPATCH, DISPATCH_ID) == ["Dispatch", "DispatchId"] * 3
    messages = messages_in(sent)
    assert [log.topics[1] for log in sent.events(DISPATCH_ID)] == [m.id for m in messages]
    assert [number(log.topics[2]) for log in sent.events(DISPATCH)] == [42_161, 8_453, 42_161]

    processed = []
    for message in (messages[2], messages[0]):
        call = call_data("process(bytes,bytes)", b"", message.encode())
        processed.append((hyperlane.sites[42_161].mailbox, call))
    received = chains.arbitrum.send_together(processed)
    assert received.order(PROCESS, PROCESS_ID) == ["Process", "ProcessId"] * 2
    assert [log.topics[1] for log in received.events(PROCESS_ID)] == [messages[2].id, messages[0].id]


def test_hyperlanes_warp_route_has_the_amount_in_an_event_without_a_key(
    chains: Chains, hyperlane: Hyperlane
) -> None:
    sent = hyperlane.transfer(chains.arbitrum, chains.base, 7_000)
    (message,) = messages_in(sent)
    remote = sent.event(SENT_REMOTE)
    assert (number(remote.topics[1]), remote.topics[2]) == (8_453, word(chains.base.account))
    assert remote.decode_data("(uint256)") == (7_000,)
    assert message.body == word(chains.base.account) + (7_000).to_bytes(32)
    assert message.sender == word(hyperlane.sites[42_161].token)
    assert sent.order(TRANSFER, DISPATCH, DISPATCH_ID, SENT_REMOTE) == [
        "Transfer",
        "Dispatch",
        "DispatchId",
        "SentTransferRemote",
    ]

    received = hyperlane.relay(sent)
    assert received.event(RECEIVED_REMOTE).decode_data("(uint256)") == (7_000,)
    assert number(received.event(RECEIVED_REMOTE).topics[1]) == 42_161
    assert received.order(PROCESS, PROCESS_ID, TRANSFER, RECEIVED_REMOTE) == [
        "Process",
        "ProcessId",
        "Transfer",
        "ReceivedTransferRemote",
    ]


def test_a_hyperlane_message_is_late_or_forged_but_never_processed_twice(
    chains: Chains, hyperlane: Hyperlane
) -> None:
    never, late = (hyperlane.dispatch(chains.base, chains.ethereum, body) for body in (b"never", b"late"))
    advance(chains, HOUR)
    assert hyperlane.relay(late).timestamp - late.timestamp >= HOUR
    with pytest.raises(Reverted, match="already delivered"):
        hyperlane.relay(late)

    (message,) = messages_in(late)
    forged = message._replace(nonce=1_000, body=b"nobody dispatched this")
    received = hyperlane.process(forged)
    assert received.event(PROCESS_ID).topics[1] == forged.id
    assert forged.id not in {log.topics[1] for log in chains.base.events(DISPATCH_ID)}
    (unseen,) = messages_in(never)
    assert unseen.id not in {log.topics[1] for log in chains.ethereum.events(PROCESS_ID)}
