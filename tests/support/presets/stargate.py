"""Stargate V2. Signatures and codecs: StargateBase, TokenMessaging, TaxiCodec, BusCodec of @stargatefinance/stg-evm-v2."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.presets.layerzero import EIDS, PACKET_SENT, packet, packet_guid, packet_sent
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
    mesh,
    word,
)

BUS_RODE = "BusRode(uint32,uint72,uint80,bytes)"
BUS_DRIVEN = "BusDriven(uint32,uint72,uint8,bytes32)"
OFT_RECEIVED = "OFTReceived(bytes32*,uint32,address*,uint256)"
AMOUNT = 10**9
TOKEN_MESSAGING = {
    "ethereum": "0x6d6620eFa72948C5f68A3C8646d58C00d3f4A980",
    "arbitrum": "0x19cFCE47eD54a88614648DC3f19A5980097007dD",
    "base": "0x5634c4a5FEd09819E3c46D86A965Dd9447d86e47",
}


def sent(route: Route, n: int, message: bytes = b"") -> Transaction:
    raw = packet(route, n, message or taxi(), _receiver(route), _sender(route))
    return Transaction(route.origin, [Emitted("endpoint", PACKET_SENT, (raw, b"", TOKEN))])


def taxi(receiver: str = USER) -> bytes:
    """As TaxiCodec packs it: kind, asset, receiver, amount in shared decimals."""
    return b"\x01" + (1).to_bytes(2) + word(receiver) + AMOUNT.to_bytes(8)


def bus(passengers: int) -> bytes:
    """As BusCodec packs it: kind, native drops, and the passengers."""
    one = (1).to_bytes(2) + word(OTHER) + (3 * AMOUNT).to_bytes(8) + b"\0"
    return b"\x02" + bytes(16) + one * passengers


def received(route: Route, n: int, passengers: int = 1, amount: int = 0, receiver: str = USER) -> Transaction:
    """What the message pays out, each time by another pool; ``amount`` is in units of the token, 6 decimals by default."""
    values = (_guid(route, n), EIDS[route.origin], receiver, amount or AMOUNT)
    logs = [Emitted("stargate", OFT_RECEIVED, values, which=seat % 2) for seat in range(passengers)]
    return Transaction(route.destination, logs)


def of_other_apps(route: Route, n: int) -> Sequence[Transaction]:
    return [packet_sent(route, n)]


def _guid(route: Route, n: int) -> bytes:
    return packet_guid(route, n, _receiver(route), _sender(route))


def _sender(route: Route) -> bytes:
    return word(TOKEN_MESSAGING[route.origin])


def _receiver(route: Route) -> bytes:
    return word(TOKEN_MESSAGING[route.destination])


PROTOCOL = Protocol(
    preset="stargate-v2",
    routes=mesh(*EIDS),
    opens=sent,
    steps=[Step("receive", 120, HOUR, received)],
    key=lambda route, n: f"0x{_guid(route, n).hex()}",
    on_repeat=(),
    ignored=of_other_apps,
)


def boarded(route: Route, n: int) -> Transaction:
    values = (EIDS[route.destination], 10 * n, 10, bus(1)[17:])
    return Transaction(route.origin, [Emitted("token-messaging", BUS_RODE, values)])


def departed(route: Route, n: int) -> Transaction:
    """A bus whose last passenger is ``n``."""
    values = (EIDS[route.destination], 10 * n - 3, 4, _guid(route, n))
    return Transaction(route.origin, [Emitted("token-messaging", BUS_DRIVEN, values)])


BUS = Protocol(
    preset="stargate-v2",
    routes=mesh(*EIDS),
    opens=boarded,
    steps=[Step("depart", 1200, 6 * HOUR, departed)],
    key=lambda route, n: f"{EIDS[route.origin]}/{EIDS[route.destination]}/{10 * n}",
    # The range of tickets names transfers that nobody opened, and never proves that somebody should have.
    on_orphan=(),
)
