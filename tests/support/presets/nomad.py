"""Nomad. Signatures: Home and Replica of nomad-xyz/monorepo."""

from __future__ import annotations

from tests.support.presets.protocol import HOUR, MINUTE, Emitted, Protocol, Route, Step, Transaction, identity

DISPATCHED = "Dispatch(bytes32*,uint256*,uint64*,bytes32,bytes)"
PROCESSED = "Process(bytes32*,bool*,bytes*)"
DOMAINS = {"ethereum": 6648936, "moonbeam": 1650811245, "avalanche": 1635148152}
ROUTES = [
    Route("ethereum", "moonbeam"),
    Route("moonbeam", "ethereum"),
    Route("ethereum", "avalanche"),
    Route("avalanche", "ethereum"),
]


def dispatched(route: Route, n: int) -> Transaction:
    values = (identity(route, n), n, DOMAINS[route.destination] << 32 | n, bytes(32), b"message")
    return Transaction(route.origin, [Emitted("home", DISPATCHED, values)])


def processed(route: Route, n: int) -> Transaction:
    contract = f"replica-{route.origin}-on-{route.destination}"
    return Transaction(route.destination, [Emitted(contract, PROCESSED, (identity(route, n), True, b"done"))])


PROTOCOL = Protocol(
    preset="nomad",
    routes=ROUTES,
    opens=dispatched,
    steps=[Step("process", 35 * MINUTE, 2 * HOUR, processed)],
    key=lambda route, n: f"0x{identity(route, n).hex()}",
)
