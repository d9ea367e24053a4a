"""Wormhole's token bridge. Signatures: ICoreBridge and ITokenBridge; payloads: the token bridge's white paper (0003)."""

from __future__ import annotations

from tests.support.presets.protocol import (
    DAY,
    HOUR,
    MINUTE,
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

PUBLISHED = "LogMessagePublished(address*,uint64,uint32,bytes,uint8)"
REDEEMED = "TransferRedeemed(uint16*,bytes32*,uint64*)"
CHAINS = {"ethereum": 2, "arbitrum": 23, "base": 30}
BRIDGES = {
    "ethereum": "0x3ee18b2214aff97000d974cf647e7c347e8fa585",
    "arbitrum": "0x0b2402144bb366a632d14b83f244d2e0e21bd39c",
    "base": "0x8d2de8d2f73f1f4cab472ac9a881c9b123c79627",
}
TRANSFER, ATTESTATION, TRANSFER_WITH_PAYLOAD = 1, 2, 3
AMOUNT = 5 * 10**8


def published(route: Route, n: int) -> Transaction:
    """Transfers with and without a payload, in turn."""
    kind = TRANSFER if n % 2 else TRANSFER_WITH_PAYLOAD
    behind = bytes(32) if n % 2 else word(USER) + b"for the app"
    terms = AMOUNT.to_bytes(32) + word(TOKEN) + CHAINS[route.origin].to_bytes(2) + word(USER)
    payload = kind.to_bytes(1) + terms + CHAINS[route.destination].to_bytes(2) + behind
    return _message(route, BRIDGES[route.origin], _sequence(route, n), payload)


def _message(route: Route, sender: str, sequence: int, payload: bytes) -> Transaction:
    return Transaction(route.origin, [Emitted("wormhole-core", PUBLISHED, (sender, sequence, 0, payload, 1))])


def redeemed(route: Route, n: int) -> Transaction:
    values = (CHAINS[route.origin], word(BRIDGES[route.origin]), _sequence(route, n))
    return Transaction(route.destination, [Emitted("wormhole-token-bridge", REDEEMED, values)])


def other_messages(route: Route, n: int) -> list[Transaction]:
    """Of other apps, also one with the form of a transfer, and what the bridge says about a token."""
    transfer = published(route, n).logs[0].values[3]
    attestation = ATTESTATION.to_bytes(1) + word(TOKEN) + CHAINS[route.origin].to_bytes(2) + bytes(65)
    return [
        _message(route, OTHER, 901, b""),
        _message(route, OTHER, 902, transfer),
        _message(route, BRIDGES[route.origin], 903, attestation),
    ]


def _sequence(route: Route, n: int) -> int:
    """Counts the messages of an origin's bridge, to whatever destination."""
    return n * 10 + list(CHAINS).index(route.destination)


PROTOCOL = Protocol(
    preset="wormhole-token-bridge",
    routes=mesh(*CHAINS),
    opens=published,
    steps=[Step("redeem", 20 * MINUTE, DAY + HOUR, redeemed)],
    key=lambda route, n: (
        f"{CHAINS[route.origin]}/0x{word(BRIDGES[route.origin]).hex()}/{_sequence(route, n)}"
    ),
    ignored=other_messages,
)
