"""CCTP, version 2. Signatures and layouts: TokenMessengerV2, MessageTransmitterV2, BurnMessageV2 (evm-cctp-contracts)."""

from __future__ import annotations

from chainwatch.support.keccak import keccak256
from tests.support.presets.protocol import (
    HOUR,
    MINUTE,
    OTHER,
    TOKEN,
    USER,
    Alerted,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
    mesh,
    word,
)

DEPOSITED = "DepositForBurn(address*,uint256,address*,bytes32,uint32,bytes32,bytes32,uint256,uint32*,bytes)"
RECEIVED = "MessageReceived(address*,uint32,bytes32*,bytes32,uint32*,bytes)"
MINTED = "MintAndWithdraw(address*,uint256,address*,uint256)"
DOMAINS = {"ethereum": 0, "arbitrum": 3, "base": 6}
FINALIZED, FAST = 2000, 1000
FEE = 100
"""At most, of every deposit."""


def deposited(route: Route, n: int, finality: int = 0) -> Transaction:
    """Every other one is fast, unless ``finality`` says otherwise, and has a hook."""
    people = (USER, word(USER), DOMAINS[route.destination], word(OTHER), bytes(32))
    burnt, depositor, *rest = TOKEN, *people
    values = (burnt, amount(n), depositor, *rest, FEE, finality or _finality(n), hook(n))
    return Transaction(route.origin, [Emitted("cctp-v2-messenger", DEPOSITED, values)])


def received(route: Route, n: int) -> Transaction:
    return minted(route, n, FEE // 2 if _finality(n) == FAST else 0, identity(route, n))


def minted(
    route: Route, n: int, fee: int, nonce: bytes, recipient: str = USER, extra: int = 0
) -> Transaction:
    """What is minted, and the message behind it, in a transaction that receives another app's too."""
    got = amount(n) - fee + extra
    return Transaction(
        route.destination,
        [
            Emitted("cctp-v2-messenger", MINTED, (recipient, got, TOKEN, fee)),
            message(route, nonce, _body(n, fee)),
            message(route, identity(route, 900 + n), b"another app's"),
        ],
    )


def message(route: Route, nonce: bytes, body: bytes) -> Emitted:
    values = (OTHER, DOMAINS[route.origin], nonce, word(OTHER), FINALIZED, body)
    return Emitted("cctp-v2-transmitter", RECEIVED, values)


def other_messages(route: Route, n: int) -> list[Transaction]:
    """Of apps that use the transmitter for themselves."""
    bodies = (b"", bytes(31), bytes(400))
    return [
        Transaction(route.destination, [message(route, identity(route, 950 + i), body)])
        for i, body in enumerate(bodies)
    ]


def key(route: Route, n: int) -> str:
    said = word(TOKEN) + word(USER) + amount(n).to_bytes(32) + word(USER) + FEE.to_bytes(32) + hook(n)
    return f"{DOMAINS[route.origin]}/{DOMAINS[route.destination]}/0x{keccak256(said).hex()}"


def amount(n: int) -> int:
    return 10**6 + n


def hook(n: int) -> bytes:
    """What a depositor may add for the recipient."""
    return b"" if n % 2 else b"do this"


def _finality(n: int) -> int:
    return FINALIZED if n % 2 else FAST


def _body(n: int, fee: int) -> bytes:
    words = [(1).to_bytes(4), word(TOKEN), word(USER), amount(n).to_bytes(32), word(USER)]
    words += [FEE.to_bytes(32), fee.to_bytes(32), (2**40 * (fee > 0)).to_bytes(32), hook(n)]
    return b"".join(words)


PROTOCOL = Protocol(
    preset="cctp-v2",
    routes=mesh(*DOMAINS),
    opens=deposited,
    steps=[Step("mint", 15 * MINUTE, 2 * HOUR, received)],
    key=key,
    on_repeat=[Alerted("TransferOrphan", "mint")],
    ignored=other_messages,
)
