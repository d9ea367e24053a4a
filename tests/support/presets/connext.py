"""Connext (Amarok). Signatures and the id of a transfer: BridgeFacet and LibConnextStorage of connext/monorepo."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode

from chainwatch.support.keccak import keccak256
from tests.support.presets.protocol import (
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
)

INFO = "(uint32,uint32,uint32,address,address,bool,bytes,uint256,address,uint256,uint256,uint256,bytes32)"
XCALLED = f"XCalled(bytes32*,uint256*,bytes32*,{INFO},address,uint256,address,bytes)"
EXECUTED = (
    f"Executed(bytes32*,address*,address*,({INFO},address[],bytes[],address,bytes),address,uint256,address)"
)
RECONCILED = "Reconciled(bytes32*,uint32*,address*,address[],uint256,address)"
DOMAINS = {"ethereum": 6648936, "optimism": 1869640809, "polygon": 1886350457}
BODY = b"message"
AMOUNT = 10**18


def info(route: Route, n: int) -> tuple[Any, ...]:
    """TransferInfo."""
    domains = (DOMAINS[route.origin], DOMAINS[route.destination], DOMAINS["ethereum"])
    return (*domains, USER, USER, False, b"call", 30, OTHER, AMOUNT, AMOUNT, n, b"\x01" * 32)


def transfer_id(route: Route, n: int) -> bytes:
    return keccak256(encode([INFO], [info(route, n)]))


def called(route: Route, n: int) -> Transaction:
    head = (transfer_id(route, n), n, keccak256(BODY), info(route, n))
    return Transaction(route.origin, [Emitted("connext", XCALLED, (*head, TOKEN, AMOUNT, TOKEN, BODY))])


def executed(route: Route, n: int) -> Transaction:
    arguments = (info(route, n), [OTHER], [b"signature"], OTHER, b"signature")
    values = (transfer_id(route, n), USER, TOKEN, arguments, TOKEN, AMOUNT - 1, OTHER)
    return Transaction(route.destination, [Emitted("connext", EXECUTED, values)])


def reconciled(route: Route, n: int) -> Transaction:
    values = (transfer_id(route, n), DOMAINS[route.origin], TOKEN, [OTHER], AMOUNT, OTHER)
    return Transaction(route.destination, [Emitted("connext", RECONCILED, values)])


PROTOCOL = Protocol(
    preset="connext",
    routes=mesh(*DOMAINS),
    opens=called,
    steps=[
        Step("execute", 5 * MINUTE, 30 * MINUTE, executed),
        Step("reconcile", 2 * HOUR, 3 * HOUR, reconciled),
    ],
    key=lambda route, n: f"0x{transfer_id(route, n).hex()}",
)
