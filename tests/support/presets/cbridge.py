"""Celer's cBridge. Signatures and ids: liquidity-bridge/Bridge.sol of celer-network/sgn-v2-contracts."""

from __future__ import annotations

from chainwatch.support.keccak import keccak256
from tests.support.presets.protocol import (
    HOUR,
    MINUTE,
    TOKEN,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
    mesh,
)

SENT = "Send(bytes32,address,address,address,uint256,uint64,uint64,uint32)"
RELAYED = "Relay(bytes32,address,address,address,uint256,uint64,bytes32)"
CHAIN_IDS = {"ethereum": 1, "arbitrum": 42161, "base": 8453}
AMOUNT = 10**9


def transfer_id(route: Route, n: int) -> bytes:
    numbers = (AMOUNT.to_bytes(32), CHAIN_IDS[route.destination].to_bytes(8), n.to_bytes(8))
    people = (bytes.fromhex(part[2:]) for part in (USER, USER, TOKEN))
    return keccak256(b"".join((*people, *numbers, CHAIN_IDS[route.origin].to_bytes(8))))


def sent(route: Route, n: int) -> Transaction:
    values = (transfer_id(route, n), USER, USER, TOKEN, AMOUNT, CHAIN_IDS[route.destination], n, 5000)
    return Transaction(route.origin, [Emitted("cbridge", SENT, values)])


def relayed(route: Route, n: int) -> Transaction:
    terms = (USER, USER, TOKEN, AMOUNT - 1000, CHAIN_IDS[route.origin])
    values = (identity(route, n), *terms, transfer_id(route, n))
    return Transaction(route.destination, [Emitted("cbridge", RELAYED, values)])


PROTOCOL = Protocol(
    preset="cbridge",
    routes=mesh(*CHAIN_IDS),
    opens=sent,
    steps=[Step("relay", 10 * MINUTE, HOUR, relayed)],
    key=lambda route, n: f"0x{transfer_id(route, n).hex()}",
)
