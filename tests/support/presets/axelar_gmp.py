"""Axelar GMP. Signatures: IAxelarGateway of axelarnetwork/axelar-gmp-sdk-solidity."""

from __future__ import annotations

from typing import Any

from tests.support.presets.protocol import (
    HOUR,
    MINUTE,
    OTHER,
    USER,
    Alerted,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
    mesh,
)

CALLED = "ContractCall(address*,string,string,bytes32*,bytes)"
CALLED_WITH_TOKEN = "ContractCallWithToken(address*,string,string,bytes32*,bytes,string,uint256)"
APPROVED = "ContractCallApproved(bytes32*,string,string,address*,bytes32*,bytes32,uint256)"
APPROVED_WITH_MINT = (
    "ContractCallApprovedWithMint(bytes32*,string,string,address*,bytes32*,string,uint256,bytes32,uint256)"
)
EXECUTED = "ContractCallExecuted(bytes32*)"
NAMES = {"ethereum": "Ethereum", "arbitrum": "arbitrum", "base": "base"}
PAYLOAD, PAYLOAD_HASH = b"ping", identity(Route("any", "any"), 0)
TOKENS = ("aUSDC", 10**6)


def called(route: Route, n: int) -> Transaction:
    """The sender writes the destination in capitals or not."""
    name = NAMES[route.destination]
    return call(route, n, name if n % 2 else name.lower())


def call(route: Route, n: int, destination: str, *tokens: Any) -> Transaction:
    values = (USER, destination, OTHER, PAYLOAD_HASH, PAYLOAD, *tokens)
    signature = CALLED_WITH_TOKEN if tokens else CALLED
    return Transaction(route.origin, [Emitted("axelar-gateway", signature, values)], sent_by(route, n))


def approved(route: Route, n: int, number: int = 0) -> Transaction:
    """The approval, under the command of that ``number``: one for each transfer by default."""
    _, *head = _approved_head(route, n)
    values = (command(route, number or n), *head, sent_by(route, n), 3)
    return _on_destination(route, APPROVED, values)


def approved_with_mint(route: Route, n: int) -> Transaction:
    values = (*_approved_head(route, n), *TOKENS, sent_by(route, n), 3)
    return _on_destination(route, APPROVED_WITH_MINT, values)


def executed(route: Route, n: int) -> Transaction:
    return _on_destination(route, EXECUTED, (command(route, n),))


def to_elsewhere(route: Route, n: int) -> list[Transaction]:
    """A call to a network without the EVM, one from there, and an execution of something else."""
    outgoing = call(route, 900 + n, "osmosis")
    head = _approved_head(route, 900 + n)
    incoming = (head[0], "osmosis", *head[2:], identity(route, 950), 0)
    return [outgoing, _on_destination(route, APPROVED, incoming), executed(route, 990)]


def command(route: Route, n: int) -> bytes:
    """As validators choose it: nothing on chain says how."""
    return identity(route, n + 100_000)


def sent_by(route: Route, n: int) -> bytes:
    """The hash of the origin's transaction."""
    return identity(route, n)


def key(route: Route, n: int) -> str:
    return f"0x{sent_by(route, n).hex()}/0x{PAYLOAD_HASH.hex()}/{NAMES[route.destination].lower()}"


def _approved_head(route: Route, n: int) -> tuple[Any, ...]:
    return (command(route, n), NAMES[route.origin], USER, OTHER, PAYLOAD_HASH)


def _on_destination(route: Route, signature: str, values: tuple[Any, ...]) -> Transaction:
    return Transaction(route.destination, [Emitted("axelar-gateway", signature, values)])


STEPS = [Step("approve", 20 * MINUTE, HOUR, approved), Step("execute", 25 * MINUTE, 3 * HOUR, executed)]
CALLS = Protocol(
    preset="axelar-gmp",
    flow="axelar-calls",
    routes=mesh(*NAMES),
    opens=called,
    steps=STEPS,
    key=key,
    on_orphan=[Alerted("TransferOrphan", "approve")],
    ignored=to_elsewhere,
)
CALLS_WITH_TOKEN = Protocol(
    preset="axelar-gmp",
    flow="axelar-calls-with-token",
    routes=mesh(*NAMES),
    opens=lambda route, n: call(route, n, NAMES[route.destination], *TOKENS),
    steps=[STEPS[0]._replace(transaction=approved_with_mint), STEPS[1]],
    key=key,
    on_orphan=[Alerted("TransferOrphan", "approve")],
)
