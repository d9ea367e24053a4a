"""zkSync Era. Signatures: IMailbox and IL2AssetRouter of matter-labs/era-contracts."""

from __future__ import annotations

from typing import Any

from tests.support.presets.protocol import (
    HOUR,
    MINUTE,
    USER,
    Emitted,
    Protocol,
    Route,
    Step,
    Transaction,
    identity,
)

REQUESTED = (
    "NewPriorityRequest(uint256,bytes32,uint64,(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,"
    "uint256,uint256[4],bytes,bytes,uint256[],bytes,bytes),bytes[])"
)
FINALIZED = "DepositFinalizedAssetRouter(uint256*,bytes32*,bytes)"
ASSET_ROUTER = 0x10003
ANYBODY = int(USER, 16)


def requested(route: Route, n: int) -> Transaction:
    return _request(route, identity(route, n), n, ASSET_ROUTER)


def finalized(route: Route, n: int) -> Transaction:
    log = Emitted("zksync-asset-router", FINALIZED, (1, bytes(32), b"any asset's own data"))
    return Transaction(route.destination, [log], identity(route, n))


def calls(route: Route, n: int) -> list[Transaction]:
    """Requests of other kinds, such as deposits of ether: nothing must follow."""
    return [_request(route, identity(route, 900 + n), 900 + n, ANYBODY)]


def _request(route: Route, tx_hash: bytes, n: int, to: int) -> Transaction:
    fees = (10**6, 800, 10**9, 0, 0)
    transaction: tuple[Any, ...] = (255, ANYBODY, to, *fees, n, 0, [0] * 4, b"call", b"", [], b"", b"")
    return Transaction(
        route.origin,
        [Emitted("zksync-diamond-proxy", REQUESTED, (n, tx_hash, 2**40, transaction, [b"code"]))],
    )


PROTOCOL = Protocol(
    preset="zksync-era",
    routes=[Route("ethereum", "zksync")],
    opens=requested,
    steps=[Step("finalize", 5 * MINUTE, 2 * HOUR, finalized)],
    key=lambda route, n: f"0x{identity(route, n).hex()}",
    ignored=calls,
)
