"""CCTP, version 1. Signatures and layouts: TokenMessenger and MessageTransmitter of circlefin/evm-cctp-contracts."""

from __future__ import annotations

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
    word,
)

DEPOSITED = "DepositForBurn(uint64*,address*,uint256,address*,bytes32,uint32,bytes32,bytes32)"
RECEIVED = "MessageReceived(address*,uint32,uint64*,bytes32,bytes)"
MINTED = "MintAndWithdraw(address*,uint256,address*)"
DOMAINS = {"ethereum": 0, "arbitrum": 3, "base": 6}
AMOUNT = 1_000_000
VERSION = bytes(4)
BODY = VERSION + word(TOKEN) + word(USER) + AMOUNT.to_bytes(32) + word(USER)
MESSENGER = word(OTHER)


def deposited(route: Route, n: int) -> Transaction:
    terms = (TOKEN, AMOUNT, USER, word(USER), DOMAINS[route.destination], MESSENGER, bytes(32))
    return Transaction(route.origin, [Emitted("cctp-v1-messenger", DEPOSITED, (_nonce(route, n), *terms))])


def received(route: Route, n: int, amount: int = AMOUNT) -> Transaction:
    """What is minted, and the message behind it, in a transaction that receives two."""
    return Transaction(
        route.destination,
        [
            Emitted("cctp-v1-messenger", MINTED, (USER, amount, TOKEN)),
            _message(route, _nonce(route, n), BODY),
            _message(route, 900 + n, b"another app's"),
        ],
    )


def _message(route: Route, nonce: int, body: bytes) -> Emitted:
    values = (OTHER, DOMAINS[route.origin], nonce, MESSENGER, body)
    return Emitted("cctp-v1-transmitter", RECEIVED, values)


def other_messages(route: Route, n: int) -> list[Transaction]:
    """Of apps that use the transmitter for themselves."""
    bodies = (b"", bytes(31), b"\x01" + bytes(200), BODY)
    return [Transaction(route.destination, [_message(route, 900 + i, body)]) for i, body in enumerate(bodies)]


def _nonce(route: Route, n: int) -> int:
    """Counts the messages of an origin, to whatever destination."""
    return n * 10 + list(DOMAINS).index(route.destination)


PROTOCOL = Protocol(
    preset="cctp-v1",
    routes=mesh(*DOMAINS),
    opens=deposited,
    steps=[Step("mint", 15 * MINUTE, 2 * HOUR, received)],
    key=lambda route, n: f"{DOMAINS[route.origin]}/{_nonce(route, n)}",
    ignored=other_messages,
)
