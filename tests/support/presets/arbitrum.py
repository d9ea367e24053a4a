"""Arbitrum's bridge. Signatures: IBridge, IDelayedMessageProvider, AbsOutbox, ArbSys, ArbRetryableTx (nitro-contracts)."""

from __future__ import annotations

import rlp

from chainwatch.support.keccak import keccak256
from tests.support.presets.protocol import (
    DAY,
    HOUR,
    MINUTE,
    OTHER,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
)

SENT = "L2ToL1Tx(address,address*,uint256*,uint256*,uint256,uint256,uint256,uint256,bytes)"
EXECUTED = "OutBoxTransactionExecuted(address*,address*,uint256*,uint256)"
MESSAGE = "MessageDelivered(uint256*,bytes32*,address,uint8,address,bytes32,uint256,uint64)"
INBOX_MESSAGE = "InboxMessageDelivered(uint256*,bytes)"
CREATED = "TicketCreated(bytes32*)"
REDEEMED = "RedeemScheduled(bytes32*,bytes32*,uint64*,uint64,address,uint256,uint256)"
CHAIN_IDS = {"arbitrum": 42161, "arbitrum-nova": 42170}
RETRYABLE, ETHER_DEPOSIT = 9, 12
BASE_FEE = 12_345_678_901
CALLDATA = bytes.fromhex("2e567b36") + bytes(100)
DEPOSIT = (10**18, 10**18 + 3 * 10**14, 25 * 10**10)
"""Call value, deposit, maximum submission fee."""
GAS = (275_000, 10**8)
"""Gas limit, maximum fee per gas."""
ROLLUPS = ("arbitrum", "arbitrum-nova")


def sent(route: Route, n: int) -> Transaction:
    values = (USER, OTHER, 77, _position(route, n), 10, 20, 30, 10**18, b"call")
    return Transaction(route.origin, [Emitted(f"{route.origin}-arbsys", SENT, values)])


def executed(route: Route, n: int) -> Transaction:
    values = (OTHER, USER, 0, _position(route, n))
    return Transaction(route.destination, [Emitted(f"{route.origin}-outbox", EXECUTED, values)])


def requested(route: Route, n: int) -> Transaction:
    """A ticket behind a deposit of ether in the same transaction."""
    deposit = _message(route, 1000 + _position(route, n), ETHER_DEPOSIT, bytes(52))
    ticket = _message(route, _position(route, n), RETRYABLE, _packed())
    return Transaction(route.origin, [*deposit, *ticket])


def created(route: Route, n: int) -> Transaction:
    log = Emitted(f"{route.destination}-retryables", CREATED, (ticket_id(route, n),))
    return Transaction(route.destination, [log])


def redeemed(route: Route, n: int) -> Transaction:
    values = (ticket_id(route, n), identity(route, n), 0, 10**5, OTHER, 10**9, 10**9)
    return Transaction(route.destination, [Emitted(f"{route.destination}-retryables", REDEEMED, values)])


def other_messages(route: Route, n: int) -> list[Transaction]:
    """A deposit of ether alone."""
    return [Transaction(route.origin, _message(route, 900 + n, ETHER_DEPOSIT, bytes(52)))]


def ticket_id(route: Route, n: int) -> bytes:
    """As ArbitrumSubmitRetryableTx is hashed, by another encoder of RLP."""
    call_value, deposit, submission_fee = DEPOSIT
    gas_limit, gas_price = GAS
    user, other = (bytes.fromhex(address[2:]) for address in (USER, OTHER))
    number = _position(route, n).to_bytes(32)
    fields = [CHAIN_IDS[route.destination], number, user, BASE_FEE, deposit, gas_price, gas_limit, other]
    fields += [call_value, user, submission_fee, other, CALLDATA]
    return keccak256(b"\x69" + rlp.encode(fields))


def _packed() -> bytes:
    words = [int(OTHER, 16), *DEPOSIT, int(OTHER, 16), int(USER, 16), *GAS, len(CALLDATA)]
    return b"".join(word.to_bytes(32) for word in words) + CALLDATA


def _message(route: Route, number: int, kind: int, data: bytes) -> list[Emitted]:
    delivered = (number, bytes(32), OTHER, kind, USER, keccak256(data), BASE_FEE, 1_700_000_000)
    return [
        Emitted(f"{route.destination}-bridge", MESSAGE, delivered),
        Emitted(f"{route.destination}-inbox", INBOX_MESSAGE, (number, data)),
    ]


def _position(route: Route, n: int) -> int:
    return n * 10 + ROLLUPS.index(route.origin if route.origin in ROLLUPS else route.destination)


TO_ETHEREUM = Protocol(
    preset="arbitrum",
    routes=[Route(rollup, "ethereum") for rollup in ROLLUPS],
    opens=sent,
    steps=[Step("execute", 7 * DAY, 9 * DAY, executed)],
    key=lambda route, n: str(_position(route, n)),
)
FROM_ETHEREUM = Protocol(
    preset="arbitrum",
    routes=[Route("ethereum", rollup) for rollup in ROLLUPS],
    opens=requested,
    steps=[Step("create", 15 * MINUTE, 2 * HOUR, created), Step("redeem", 15 * MINUTE, DAY, redeemed)],
    key=lambda route, n: f"0x{ticket_id(route, n).hex()}",
    on_repeat=[],
    ignored=other_messages,
)
