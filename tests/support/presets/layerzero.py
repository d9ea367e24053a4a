"""LayerZero V2: an OFT, and the endpoint.

Signatures: IOFT of @layerzerolabs/oft-evm; ILayerZeroEndpointV2 of @layerzerolabs/lz-evm-protocol-v2. A packet is laid
out as by PacketV1Codec: version, nonce, source eid, sender, destination eid, receiver, guid, message.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.support.keccak import keccak256
from tests.support.presets.protocol import (
    HOUR,
    OTHER,
    TOKEN,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
    mesh,
    word,
)

EIDS = {"ethereum": 30101, "arbitrum": 30110, "base": 30184}
SOLANA = 30168
AMOUNT = 5 * 10**18

OFT_SENT = "OFTSent(bytes32*,uint32,address*,uint256,uint256)"
OFT_RECEIVED = "OFTReceived(bytes32*,uint32,address*,uint256)"
PACKET_SENT = "PacketSent(bytes,bytes,address)"
PACKET_VERIFIED = "PacketVerified((uint32,bytes32,uint64),address,bytes32)"
PACKET_DELIVERED = "PacketDelivered((uint32,bytes32,uint64),address)"


def oft_sent(route: Route, n: int) -> Transaction:
    values = (identity(route, n), EIDS[route.destination], USER, AMOUNT + 999, AMOUNT)
    return Transaction(route.origin, [Emitted("oft", OFT_SENT, values)])


def oft_received(route: Route, n: int) -> Transaction:
    values = (identity(route, n), EIDS[route.origin], OTHER, AMOUNT)
    return Transaction(route.destination, [Emitted("oft", OFT_RECEIVED, values)])


def packet(
    route: Route, nonce: int, message: bytes, receiver: bytes = word(OTHER), sender: bytes = word(USER)
) -> bytes:
    """A packet as PacketV1Codec encodes it."""
    source, destination = EIDS[route.origin], EIDS.get(route.destination, SOLANA)
    guid = packet_guid(route, nonce, receiver, sender)
    path = nonce.to_bytes(8) + source.to_bytes(4) + sender + destination.to_bytes(4) + receiver
    return b"\x01" + path + guid + message


def packet_guid(route: Route, nonce: int, receiver: bytes = word(OTHER), sender: bytes = word(USER)) -> bytes:
    """The guid, as by GUID.generate."""
    source, destination = EIDS[route.origin], EIDS.get(route.destination, SOLANA)
    return keccak256(nonce.to_bytes(8) + source.to_bytes(4) + sender + destination.to_bytes(4) + receiver)


def packet_sent(
    route: Route, n: int, message: bytes = b"hello", receiver: bytes = word(OTHER)
) -> Transaction:
    values = (packet(route, n, message, receiver), b"", TOKEN)
    return Transaction(route.origin, [Emitted("endpoint", PACKET_SENT, values)])


def packet_verified(route: Route, n: int, message: bytes = b"hello") -> Transaction:
    hashed = keccak256(packet(route, n, message)[81:])
    return Transaction(route.destination, [Emitted("endpoint", PACKET_VERIFIED, (*_path(route, n), hashed))])


def packet_delivered(route: Route, n: int) -> Transaction:
    return Transaction(route.destination, [Emitted("endpoint", PACKET_DELIVERED, _path(route, n))])


def to_other_networks(route: Route, n: int) -> Sequence[Transaction]:
    """A packet to Solana, whose receivers have 32 bytes."""
    return [packet_sent(route._replace(destination="solana"), n, receiver=b"\xee" * 32)]


def _path(route: Route, n: int) -> tuple[tuple[int, bytes, int], str]:
    return (EIDS[route.origin], word(USER), n), OTHER


OFT = Protocol(
    preset="layerzero-oft",
    routes=mesh(*EIDS),
    opens=oft_sent,
    steps=[Step("receive", 120, HOUR, oft_received)],
    key=lambda route, n: f"0x{identity(route, n).hex()}",
    own_addresses=[TOKEN],
)
ENDPOINT = Protocol(
    preset="layerzero-endpoint",
    routes=mesh(*EIDS),
    opens=packet_sent,
    steps=[Step("verify", 100, HOUR, packet_verified), Step("deliver", 120, HOUR, packet_delivered)],
    key=lambda route, n: (
        f"{EIDS[route.origin]}/0x{word(USER).hex()}/{n}/{EIDS[route.destination]}/0x{word(OTHER).hex()}"
    ),
    ignored=to_other_networks,
)
