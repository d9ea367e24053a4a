"""Polygon PoS. Signatures: StateSender of maticnetwork/contracts, StateReceiver of bor's genesis-contracts."""

from __future__ import annotations

from tests.support.presets.protocol import (
    HOUR,
    MINUTE,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
)

SYNCED = "StateSynced(uint256*,address*,bytes)"
COMMITTED = "StateCommitted(uint256*,bool)"


def synced(route: Route, n: int) -> Transaction:
    return Transaction(route.origin, [Emitted("polygon-state-sender", SYNCED, (n, USER, b"deposit"))])


def committed(route: Route, n: int) -> Transaction:
    return Transaction(route.destination, [Emitted("polygon-state-receiver", COMMITTED, (n, True))])


PROTOCOL = Protocol(
    preset="polygon-pos",
    routes=[Route("ethereum", "polygon")],
    opens=synced,
    steps=[Step("commit", 25 * MINUTE, 2 * HOUR, committed)],
    key=lambda _route, n: str(n),
)
