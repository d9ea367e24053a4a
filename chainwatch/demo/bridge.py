"""The demo's bridge contract (Bridge.sol): its bytecode, its calls, and the transfers in its events."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple, Self

from eth_abi.abi import decode, encode

from chainwatch.support.keccak import keccak256

__all__ = ["Transfer", "TransferInfo", "creation_code", "emit_log", "execute", "reconcile", "xcall"]

TRANSFER_INFO = (
    "(uint32,uint32,uint32,address,address,bool,bytes,uint256,address,uint256,uint256,uint256,bytes32)"
)
EXECUTE_ARGS = f"({TRANSFER_INFO},address[],bytes[],address,bytes)"

ZERO_ADDRESS = "0x" + "00" * 20


class TransferInfo(NamedTuple):
    """A transfer's parameters in the order that Connext hashes; amounts in the token's smallest unit."""

    origin_domain: int
    destination_domain: int
    canonical_domain: int
    to: str
    delegate: str
    receive_local: bool
    call_data: bytes
    slippage: int
    origin_sender: str
    bridged_amount: int
    normalized_in: int
    nonce: int
    canonical_id: bytes


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer with all that its payout needs; `asset` is the token of the payout."""

    params: TransferInfo
    asset: str

    @property
    def id(self) -> bytes:
        """`keccak256(abi.encode(params))`, the key that all its events share."""
        return keccak256(encode([TRANSFER_INFO], [self.params]))

    @classmethod
    def wanted(cls, destination_domain: int, amount: int, to: str, asset: str) -> Self:
        """Return a transfer to open: the bridge fills in the origin's domain, the sender and the nonce."""
        return cls(
            TransferInfo(
                origin_domain=0,
                destination_domain=destination_domain,
                canonical_domain=destination_domain,
                to=to,
                delegate=to,
                receive_local=False,
                call_data=b"",
                slippage=300,
                origin_sender=ZERO_ADDRESS,
                bridged_amount=amount,
                normalized_in=amount,
                nonce=0,
                canonical_id=bytes.fromhex(asset.removeprefix("0x")).rjust(32, b"\0"),
            ),
            asset,
        )

    @classmethod
    def opened(cls, xcalled_data: str) -> Self:
        """Return the transfer in a log of XCalled; `xcalled_data` is the log's data as 0x-hex."""
        raw = bytes.fromhex(xcalled_data.removeprefix("0x"))
        params, asset = decode([TRANSFER_INFO, "address"], raw)
        return cls(TransferInfo(*params), asset)


def creation_code(domain: int) -> bytes:
    """Return the data of the transaction that creates a bridge on the network with this domain."""
    artefact = json.loads(resources.files(__package__).joinpath("contract.json").read_text("utf-8"))
    return bytes.fromhex(artefact["bytecode"].removeprefix("0x")) + encode(["uint32"], [domain])


def xcall(wanted: Transfer) -> bytes:
    """Return call data that opens a transfer."""
    return _call("xcall", [TRANSFER_INFO, "address"], [wanted.params, wanted.asset])


def execute(transfer: Transfer, amount: int, routers: Sequence[str]) -> bytes:
    """Return call data that pays a transfer out; with routers it is the fast path."""
    args = (transfer.params, routers, [bytes(65) for _ in routers], ZERO_ADDRESS, b"")
    return _call("execute", [EXECUTE_ARGS, "address", "uint256"], [args, transfer.asset, amount])


def reconcile(transfer: Transfer, amount: int, routers: Sequence[str]) -> bytes:
    """Return call data that settles a transfer."""
    types = ["bytes32", "uint32", "address", "address[]", "uint256"]
    values = [transfer.id, transfer.params.origin_domain, transfer.asset, routers, amount]
    return _call("reconcile", types, values)


def emit_log(topics: Sequence[bytes], data: bytes) -> bytes:
    """Return call data that emits any log: at most four topics of 32 bytes."""
    return _call("emitLog", ["bytes32[]", "bytes"], [topics, data])


def _call(name: str, types: Sequence[str], values: Sequence[object]) -> bytes:
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)
