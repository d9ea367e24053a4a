"""Hyperlane V3. Signatures and the layout of a message: IMailbox and Message of @hyperlane-xyz/core."""

from __future__ import annotations

from collections.abc import Sequence

from chainwatch.support.keccak import keccak256
from tests.support.presets.protocol import (
    HOUR,
    OTHER,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    mesh,
    word,
)

DISPATCH = "Dispatch(address*,uint32*,bytes32*,bytes)"
DISPATCH_ID = "DispatchId(bytes32*)"
PROCESS = "Process(uint32*,bytes32*,address*)"
PROCESS_ID = "ProcessId(bytes32*)"
DOMAINS = {"ethereum": 1, "arbitrum": 42161, "base": 8453}
SOLANA = 1399811149


def message(route: Route, n: int, body: bytes = b"hello") -> bytes:
    """A message as Message.formatMessage packs it."""
    origin, destination = (DOMAINS.get(name, SOLANA).to_bytes(4) for name in route)
    return b"\x03" + n.to_bytes(4) + origin + word(USER) + destination + word(OTHER) + body


def message_id(route: Route, n: int, body: bytes = b"hello") -> bytes:
    return keccak256(message(route, n, body))


def dispatched(route: Route, n: int) -> Transaction:
    """One transaction that sends the message between two others, to nobody who is watched."""
    other = Route(route.origin, "solana")
    logs = [
        log for at, number in ((other, 10 * n), (route, n), (other, 10 * n + 1)) for log in _sent(at, number)
    ]
    return Transaction(route.origin, logs)


def processed(route: Route, n: int) -> Transaction:
    values = (DOMAINS[route.origin], word(USER), OTHER)
    logs = [
        Emitted("mailbox", PROCESS, values),
        Emitted("mailbox", PROCESS_ID, [message_id(route, n)]),
    ]
    return Transaction(route.destination, logs)


def to_other_networks(route: Route, n: int) -> Sequence[Transaction]:
    return [Transaction(route.origin, _sent(Route(route.origin, "solana"), n))]


def _sent(route: Route, n: int) -> list[Emitted]:
    values = (USER, DOMAINS.get(route.destination, SOLANA), word(OTHER), message(route, n))
    return [
        Emitted("mailbox", DISPATCH, values),
        Emitted("mailbox", DISPATCH_ID, [message_id(route, n)]),
    ]


PROTOCOL = Protocol(
    preset="hyperlane",
    routes=mesh(*DOMAINS),
    opens=dispatched,
    steps=[Step("process", 60, HOUR, processed)],
    key=lambda route, n: f"0x{message_id(route, n).hex()}",
    ignored=to_other_networks,
)
