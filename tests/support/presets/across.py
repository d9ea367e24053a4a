"""Across V3. Signatures: V3SpokePoolInterface of across-protocol/contracts."""

from __future__ import annotations

from tests.support.presets.protocol import (
    MINUTE,
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

DEPOSITED = (
    "FundsDeposited(bytes32,bytes32,uint256,uint256,uint256*,uint256*,uint32,uint32,uint32,"
    "bytes32*,bytes32,bytes32,bytes)"
)
FILLED = (
    "FilledRelay(bytes32,bytes32,uint256,uint256,uint256,uint256*,uint256*,uint32,uint32,bytes32,bytes32*,bytes32,bytes32,"
    "bytes32,(bytes32,bytes32,uint256,uint8))"
)
CHAIN_IDS = {"ethereum": 1, "arbitrum": 42161, "base": 8453}
TERMS = (word(TOKEN), word(TOKEN), 10**20, 10**20 - 1)
"""Input and output token, input and output amount."""


def deposited(route: Route, n: int) -> Transaction:
    times = (1, 2, 0)
    people = (word(USER), word(USER), bytes(32))
    values = (*TERMS, CHAIN_IDS[route.destination], _id(route, n), *times, *people, b"")
    return Transaction(route.origin, [Emitted("across", DEPOSITED, values)])


def filled(route: Route, n: int) -> Transaction:
    execution = (word(USER), bytes(32), TERMS[3], 0)
    people = (bytes(32), word(USER), word(USER), word(USER), bytes(32))
    values = (*TERMS, 10, CHAIN_IDS[route.origin], _id(route, n), 2, 0, *people, execution)
    return Transaction(route.destination, [Emitted("across", FILLED, values)])


def _id(route: Route, n: int) -> int:
    """Counts the deposits of an origin, to whatever destination."""
    return n * 10 + list(CHAIN_IDS).index(route.destination)


PROTOCOL = Protocol(
    preset="across",
    routes=mesh(*CHAIN_IDS),
    opens=deposited,
    steps=[Step("fill", 5, 30 * MINUTE, filled)],
    key=lambda route, n: f"{CHAIN_IDS[route.origin]}/{_id(route, n)}",
)
