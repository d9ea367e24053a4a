"""Chainlink CCIP 1.6, and one lane of 1.5. Signatures: IOnRamp, OnRamp, OffRamp of smartcontractkit/ccip, by version."""

from __future__ import annotations

from collections.abc import Sequence

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

SENT = (
    "CCIPMessageSent(uint64*,uint64*,((bytes32,uint64,uint64,uint64,uint64),address,bytes,bytes,bytes,address,uint256,"
    "uint256,(address,bytes,bytes,uint256,bytes)[]))"
)
EXECUTED = "ExecutionStateChanged(uint64*,uint64*,bytes32*,bytes32,uint8,bytes,uint256)"
SENT_BY_LANE = (
    "CCIPSendRequested((uint64,address,address,uint64,uint256,bool,uint64,address,uint256,bytes,(address,uint256)[],"
    "bytes[],bytes32))"
)
EXECUTED_BY_LANE = "ExecutionStateChanged(uint64*,bytes32*,uint8,bytes)"
SELECTORS = {
    "ethereum": 5009297550715157269,
    "arbitrum": 4949039107694359620,
    "base": 15971525489660198786,
}
APTOS = 4741433654826277614
FAILURE, SUCCESS = 3, 2
RAMPS = (TOKEN, OTHER)
"""The lane's OnRamp and OffRamp."""


def sent(route: Route, n: int) -> Transaction:
    destination = SELECTORS.get(route.destination, APTOS)
    header = (identity(route, n), SELECTORS[route.origin], destination, n, 0)
    tokens = [(TOKEN, word(TOKEN), b"", 10**18, b"")]
    message = (header, USER, b"data", word(OTHER), b"", TOKEN, 1, 1, tokens)
    return Transaction(route.origin, [Emitted("ccip-onramp", SENT, (destination, n, message))])


def executed(route: Route, n: int, state: int = SUCCESS) -> Transaction:
    values = (SELECTORS[route.origin], n, identity(route, n), bytes(32), state, b"", 90_000)
    return Transaction(route.destination, [Emitted("ccip-offramp", EXECUTED, values)])


def to_other_networks(route: Route, n: int) -> Sequence[Transaction]:
    """A message to Aptos, and one whose execution failed before it was seen."""
    return [sent(route._replace(destination="aptos"), n), executed(route, n, FAILURE)]


def sent_by_lane(route: Route, n: int) -> Transaction:
    tokens = [(TOKEN, 10**18)]
    head = (SELECTORS[route.origin], USER, OTHER, n, 200_000, False, n, TOKEN, 1)
    message = (*head, b"data", tokens, [b""], identity(route, n))
    return Transaction(route.origin, [Emitted("ccip-lane", SENT_BY_LANE, [message], which=0)])


def executed_by_lane(route: Route, n: int, state: int = SUCCESS) -> Transaction:
    values = (n, identity(route, n), state, b"")
    return Transaction(route.destination, [Emitted("ccip-lane", EXECUTED_BY_LANE, values, which=1)])


def key(route: Route, n: int) -> str:
    return f"0x{identity(route, n).hex()}"


PROTOCOL = Protocol(
    preset="ccip",
    routes=mesh(*SELECTORS),
    opens=sent,
    steps=[Step("execute", 1200, 2 * HOUR, executed)],
    key=key,
    ignored=to_other_networks,
)
LANE = Protocol(
    preset="ccip-1.5",
    routes=mesh("ethereum", "arbitrum"),
    opens=sent_by_lane,
    steps=[Step("execute", 1200, 2 * HOUR, executed_by_lane)],
    key=key,
    own_addresses=RAMPS,
)
