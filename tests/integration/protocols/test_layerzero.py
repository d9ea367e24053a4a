"""LayerZero V2 has its key within a payload at the origin; at the destination the key is to be computed."""

import pytest
from eth_utils.crypto import keccak

from tests.support.protocols.chain import HOUR, TRANSFER, Chains, Reverted, advance, number, word
from tests.support.protocols.layerzero import PACKET_SENT, LayerZero, Packet, packets_in

pytestmark = pytest.mark.anvil

ETHEREUM, ARBITRUM, BASE = 30_101, 30_110, 30_184
PACKET_VERIFIED = "PacketVerified((uint32,bytes32,uint64),address,bytes32)"
PACKET_DELIVERED = "PacketDelivered((uint32,bytes32,uint64),address)"
OFT_SENT = "OFTSent(bytes32,uint32,address,uint256,uint256)"
OFT_RECEIVED = "OFTReceived(bytes32,uint32,address,uint256)"


def guid_of(origin: tuple[int, bytes, int], destination: int, receiver: str) -> bytes:
    source, sender, nonce = origin
    packed = nonce.to_bytes(8) + source.to_bytes(4) + sender + destination.to_bytes(4) + word(receiver)
    return keccak(packed)


def test_layerzeros_endpoint_names_a_packet_by_its_path_and_nonce(layerzero: LayerZero) -> None:
    sent = layerzero.increment(ETHEREUM, ARBITRUM)
    log = sent.event(PACKET_SENT)
    packet, options, library = log.decode_data("(bytes,bytes,address)")
    assert (len(log.topics), packet[0], number(packet[1:9])) == (1, 1, 1)
    assert (number(packet[9:13]), number(packet[45:49])) == (ETHEREUM, ARBITRUM)
    assert (packet[13:45], packet[49:81]) == (
        word(counter(layerzero, ETHEREUM)),
        word(counter(layerzero, ARBITRUM)),
    )
    assert (options, library) == (b"\0\3", layerzero.sites[ETHEREUM].library)

    verified, delivered = layerzero.relay(sent)
    log = verified.event(PACKET_VERIFIED)
    origin, receiver, payload_hash = log.decode_data("((uint32,bytes32,uint64),address,bytes32)")
    assert (len(log.topics), origin) == (1, (ETHEREUM, packet[13:45], 1))
    assert payload_hash == keccak(packet[81:])
    log = delivered.event(PACKET_DELIVERED)
    assert len(log.topics) == 1
    assert log.decode_data("((uint32,bytes32,uint64),address)") == (origin, receiver)
    assert guid_of(origin, ARBITRUM, receiver) == packet[81:113]


def counter(layerzero: LayerZero, eid: int) -> str:
    return layerzero.sites[eid].counter


def test_layerzeros_nonces_begin_anew_on_each_path(layerzero: LayerZero) -> None:
    sent = layerzero.increment_all(BASE, [ETHEREUM, ARBITRUM])
    packets = packets_in(sent)
    assert [packet.nonce for packet in packets] == [1, 1]
    assert [packet.destination for packet in packets] == [ETHEREUM, ARBITRUM]
    delivered = []
    for packet in packets:
        layerzero.verify(packet)
        event = layerzero.deliver(packet).event(PACKET_DELIVERED)
        delivered.append(event.decode_data("((uint32,bytes32,uint64),address)"))
    assert delivered[0][0] == delivered[1][0]  # that is why the receiver and its network belong to the key
    assert delivered[0][1] != delivered[1][1]
    assert packets[0].guid != packets[1].guid


def test_layerzeros_oft_has_the_guid_in_both_events(layerzero: LayerZero) -> None:
    sent = layerzero.transfer(ARBITRUM, BASE, 5 * 10**18 + 999)
    (packet,) = packets_in(sent)
    log = sent.event(OFT_SENT)
    account = layerzero.sites[ARBITRUM].chain.account
    assert log.topics[1:] == (packet.guid, word(account))
    assert log.decode_data("(uint32,uint256,uint256)") == (BASE, 5 * 10**18, 5 * 10**18)
    assert sent.order(TRANSFER, PACKET_SENT, OFT_SENT) == ["Transfer", "PacketSent", "OFTSent"]

    delivered = layerzero.relay(sent).delivered
    log = delivered.event(OFT_RECEIVED)
    assert log.topics[1:] == (packet.guid, word(layerzero.sites[BASE].chain.account))
    assert log.decode_data("(uint32,uint256)") == (ARBITRUM, 5 * 10**18)
    assert delivered.order(TRANSFER, OFT_RECEIVED, PACKET_DELIVERED) == [
        "Transfer",
        "OFTReceived",
        "PacketDelivered",
    ]


def test_layerzeros_packets_may_be_late_and_out_of_order_but_come_once(
    chains: Chains, layerzero: LayerZero
) -> None:
    first, second = (packets_in(layerzero.increment(ARBITRUM, ETHEREUM))[0] for _ in range(2))
    assert (first.nonce, second.nonce) == (1, 2)
    layerzero.verify(first)
    layerzero.verify(second)
    advance(chains, HOUR)
    delivered = [layerzero.deliver(packet).event(PACKET_DELIVERED) for packet in (second, first)]
    nonces = [log.decode_data("((uint32,bytes32,uint64),address)")[0][2] for log in delivered]
    assert nonces == [2, 1]
    with pytest.raises(Reverted):
        layerzero.deliver(second)


def test_a_forged_layerzero_packet_takes_the_guid_of_the_next_real_one(layerzero: LayerZero) -> None:
    sites = layerzero.sites
    sender, receiver = word(sites[BASE].token), word(sites[ETHEREUM].token)
    message = word(sites[ETHEREUM].chain.account) + (10**6).to_bytes(8)
    forged = Packet(1, BASE, sender, ETHEREUM, receiver, message)
    verified = layerzero.verify(forged)
    received = layerzero.deliver(forged).event(OFT_RECEIVED)
    assert received.topics[1] == forged.guid
    assert forged.guid not in {log.topics[1] for log in sites[BASE].chain.events(OFT_SENT)}

    sent = layerzero.transfer(BASE, ETHEREUM, 3 * 10**18)
    (packet,) = packets_in(sent)
    assert packet.guid == forged.guid
    payload_hash = verified.event(PACKET_VERIFIED).decode_data("((uint32,bytes32,uint64),address,bytes32)")[2]
    assert payload_hash != keccak(packet.guid + packet.message)  # only this tells them apart
    with pytest.raises(Reverted):
        layerzero.verify(packet)
