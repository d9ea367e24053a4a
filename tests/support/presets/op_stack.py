"""OP-stack withdrawals. Signatures: L2ToL1MessagePasser and OptimismPortal of the OP-stack specification."""

from __future__ import annotations

from tests.support.presets.protocol import (
    DAY,
    HOUR,
    OTHER,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
)

PASSED = "MessagePassed(uint256*,address*,address*,uint256,uint256,bytes,bytes32)"
PROVEN = "WithdrawalProven(bytes32*,address*,address*)"
FINALIZED = "WithdrawalFinalized(bytes32*,bool)"


def passed(route: Route, n: int) -> Transaction:
    values = (n, USER, OTHER, 10**18, 21_000, b"", identity(route, n))
    return Transaction(route.origin, [Emitted(f"{route.origin}-message-passer", PASSED, values)])


def proven(route: Route, n: int) -> Transaction:
    values = (identity(route, n), USER, OTHER)
    return Transaction("ethereum", [Emitted(f"{route.origin}-portal", PROVEN, values)])


def finalized(route: Route, n: int) -> Transaction:
    values = (identity(route, n), True)
    return Transaction("ethereum", [Emitted(f"{route.origin}-portal", FINALIZED, values)])


PROTOCOL = Protocol(
    preset="op-stack",
    routes=[Route("optimism", "ethereum"), Route("base", "ethereum"), Route("unichain", "ethereum")],
    opens=passed,
    steps=[Step("prove", HOUR, DAY, proven), Step("finalize", 7 * DAY + 2 * HOUR, 8 * DAY, finalized)],
    key=lambda route, n: f"0x{identity(route, n).hex()}",
)
