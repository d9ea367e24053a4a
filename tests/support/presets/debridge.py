"""deBridge's DLN. Signatures: DlnSource and DlnDestination of debridge-finance/dln-contracts."""

from __future__ import annotations

from typing import Any

from tests.support.presets.protocol import (
    DAY,
    HOUR,
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

ORDER = "(uint64,bytes,uint256,bytes,uint256,uint256,bytes,uint256,bytes,bytes,bytes,bytes,bytes,bytes)"
CREATED = f"CreatedOrder({ORDER},bytes32,bytes,uint256,uint256,uint32,bytes)"
FULFILLED = f"FulfilledOrder({ORDER},bytes32,address,address)"
UNLOCKED = "ClaimedUnlock(bytes32,address,uint256,address)"
NUMBERS = {"ethereum": 1, "mantle": 100_000_023, "base": 8453}
"""deBridge's own numbers: Mantle's is no chain id."""
SOLANA = 7_565_164
PERSON, COIN = bytes.fromhex(USER[2:]), bytes.fromhex(TOKEN[2:])


def created(route: Route, n: int) -> Transaction:
    values = (_order(route, n), identity(route, n), b"", 10**15, 4, 0, b"")
    return Transaction(route.origin, [Emitted("debridge-source", CREATED, values)])


def fulfilled(route: Route, n: int) -> Transaction:
    values = (_order(route, n), identity(route, n), USER, USER)
    return Transaction(route.destination, [Emitted("debridge-destination", FULFILLED, values)])


def unlocked(route: Route, n: int) -> Transaction:
    return Transaction(
        route.origin, [Emitted("debridge-source", UNLOCKED, (identity(route, n), USER, 10**9, TOKEN))]
    )


def from_elsewhere(route: Route, n: int) -> list[Transaction]:
    """An order from Solana, and one to it."""
    order = _order(route, n)
    incoming = (*order[:2], SOLANA, *order[3:])
    outgoing = (*order[:5], SOLANA, bytes(32), *order[7:])
    return [
        Transaction(
            route.destination,
            [Emitted("debridge-destination", FULFILLED, (incoming, identity(route, 901), USER, USER))],
        ),
        Transaction(
            route.origin,
            [Emitted("debridge-source", CREATED, (outgoing, identity(route, 902), b"", 0, 0, 0, b""))],
        ),
    ]


def _order(route: Route, n: int) -> tuple[Any, ...]:
    give = (NUMBERS[route.origin], COIN, 10**9)
    take = (NUMBERS[route.destination], COIN, 10**9 - 1)
    return (n, PERSON, *give, *take, PERSON, PERSON, PERSON, b"", b"", b"")


PROTOCOL = Protocol(
    preset="debridge",
    routes=mesh(*NUMBERS),
    opens=created,
    steps=[Step("unlock", 3 * HOUR, 7 * DAY, unlocked), Step("fulfil", 30, HOUR, fulfilled)],
    key=lambda route, n: f"0x{identity(route, n).hex()}",
    orphan_severity="P1",
    ignored=from_elsewhere,
)
