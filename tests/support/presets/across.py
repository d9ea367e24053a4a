"""Across V3. Signatures: V3SpokePoolInterface of across-protocol/contracts."""

from __future__ import annotations

from dataclasses import replace

from tests.support.presets.protocol import (
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

DEPOSITED = (
    "FundsDeposited(bytes32,bytes32,uint256,uint256,uint256*,uint256*,uint32,uint32,uint32,"
    "bytes32*,bytes32,bytes32,bytes)"
)
FILLED = (
    "FilledRelay(bytes32,bytes32,uint256,uint256,uint256,uint256*,uint256*,uint32,uint32,bytes32,bytes32*,bytes32,bytes32,"
    "bytes32,(bytes32,bytes32,uint256,uint8))"
)
V3_DEPOSITED = (
    "V3FundsDeposited(address,address,uint256,uint256,uint256*,uint32*,uint32,uint32,uint32,"
    "address*,address,address,bytes)"
)
V3_FILLED = (
    "FilledV3Relay(address,address,uint256,uint256,uint256,uint256*,uint32*,uint32,uint32,address,address*,address,address,"
    "bytes,(address,bytes,uint256,uint8))"
)
ZERO = "0x" + "00" * 20
CHAIN_IDS = {"ethereum": 1, "arbitrum": 42161, "base": 8453}
TERMS = (word(TOKEN), word(TOKEN), 10**20, 10**20 - 1)
"""Input and output token, input and output amount."""

OLD_TERMS = (TOKEN, TOKEN, *TERMS[2:])


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
    """A deposit's id: counts those of an origin, to whatever destination."""
    return n * 10 + list(CHAIN_IDS).index(route.destination)


def deposited_before(route: Route, n: int) -> Transaction:
    times = (1, 2, 0)
    values = (*OLD_TERMS, CHAIN_IDS[route.destination], _id(route, n), *times, USER, OTHER, ZERO, b"")
    return Transaction(route.origin, [Emitted("across", V3_DEPOSITED, values)])


def filled_before(route: Route, n: int) -> Transaction:
    people = (ZERO, USER, USER, OTHER)
    values = (*OLD_TERMS, 10, CHAIN_IDS[route.origin], _id(route, n), 2, 0, *people, b"", (OTHER, b"", 1, 0))
    return Transaction(route.destination, [Emitted("across", V3_FILLED, values)])


PROTOCOL = Protocol(
    preset="across",
    routes=mesh(*CHAIN_IDS),
    opens=deposited,
    steps=[Step("fill", 5, 30 * MINUTE, filled)],
    key=lambda route, n: f"{CHAIN_IDS[route.origin]}/{_id(route, n)}",
)
BEFORE_THE_UPGRADE = replace(
    PROTOCOL, opens=deposited_before, steps=[Step("fill", 5, 30 * MINUTE, filled_before)]
)
