"""Arbitrum's bridge. Signatures: ArbSys and AbsOutbox of OffchainLabs/nitro-contracts."""

from __future__ import annotations

from tests.support.presets.protocol import (
    DAY,
    OTHER,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
)

SENT = "L2ToL1Tx(address,address*,uint256*,uint256*,uint256,uint256,uint256,uint256,bytes)"
EXECUTED = "OutBoxTransactionExecuted(address*,address*,uint256*,uint256)"
ROLLUPS = ("arbitrum", "arbitrum-nova")


def sent(route: Route, n: int) -> Transaction:
    values = (USER, OTHER, 77, _position(route, n), 10, 20, 30, 10**18, b"call")
    return Transaction(route.origin, [Emitted(f"{route.origin}-arbsys", SENT, values)])


def executed(route: Route, n: int) -> Transaction:
    values = (OTHER, USER, 0, _position(route, n))
    return Transaction(route.destination, [Emitted(f"{route.origin}-outbox", EXECUTED, values)])


def _position(route: Route, n: int) -> int:
    return n * 10 + ROLLUPS.index(route.origin)


TO_ETHEREUM = Protocol(
    preset="arbitrum",
    routes=[Route(rollup, "ethereum") for rollup in ROLLUPS],
    opens=sent,
    steps=[Step("execute", 7 * DAY, 9 * DAY, executed)],
    key=lambda route, n: str(_position(route, n)),
)
