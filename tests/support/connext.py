"""Connext's three events as raw logs, with right ids and hashes, and two networks to emit them on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from eth_utils.crypto import keccak

from chainwatch.demo.bridge import EXECUTE_ARGS, TRANSFER_INFO, Transfer, TransferInfo

XCALLED = keccak(f"XCalled(bytes32,uint256,bytes32,{TRANSFER_INFO},address,uint256,address,bytes)".encode())
EXECUTED = keccak(f"Executed(bytes32,address,address,{EXECUTE_ARGS},address,uint256,address)".encode())
RECONCILED = keccak(b"Reconciled(bytes32,uint32,address,address[],uint256,address)")

ADOPTED = "0x" + "a0" * 20
LOCAL = "0x" + "b0" * 20
RECIPIENT = "0x" + "c0" * 20
RELAYER = "0x" + "d0" * 20
ROUTER = "0x" + "e0" * 20
NOBODY = "0x" + "00" * 20

TRANSFER_MESSAGE = 3


class Network(NamedTuple):
    """Where Connext lives on a network."""

    name: str
    chain_id: int
    domain: int
    address: str


ETHEREUM = Network("ethereum", 1, 6648936, "0x8898B472C54c31894e3B9bb83cEA802a5d0e63C6")
OPTIMISM = Network("optimism", 10, 1869640809, "0x8f7492DE823025b4CfaAB1D34c58963F2af5DEDA")


def flow(execute_within: str, reconcile_within: str | None = None, settings: str = "") -> str:
    """The TOML of a flow over the contract ``connext``: with both steps, or with the payout alone."""
    reconcile = f"""
[[flows.connext.expects]]
step = "reconcile"
event = "Reconciled"
on = "destination"
origin = "originDomain"
within = "{reconcile_within}"
severity = "P2"
"""
    return f"""
[flows.connext]
contract = "connext"
key = "transferId"
network_by = "domain"
{settings}

[flows.connext.opens]
step = "xcall"
event = "XCalled"
origin = "params.originDomain"
destination = "params.destinationDomain"
amount = "params.bridgedAmt"
asset = "asset"

[[flows.connext.expects]]
step = "execute"
event = "Executed"
on = "destination"
origin = "args.params.originDomain"
within = "{execute_within}"
severity = "P1"
{reconcile if reconcile_within else ""}"""


class Log(NamedTuple):
    """What a contract logs: up to four topics of 32 bytes, and the data."""

    topics: list[bytes]
    data: bytes


def transfer(
    origin: Network, destination: Network, nonce: int, amount: int = 10**18, **changes: Any
) -> Transfer:
    """A transfer from one network to another; `changes` are fields of TransferInfo."""
    params = TransferInfo(
        origin_domain=origin.domain,
        destination_domain=destination.domain,
        canonical_domain=origin.domain,
        to=RECIPIENT,
        delegate=RECIPIENT,
        receive_local=False,
        call_data=b"",
        slippage=300,
        origin_sender=RECIPIENT,
        bridged_amount=amount,
        normalized_in=amount,
        nonce=nonce,
        canonical_id=_word(ADOPTED),
    )
    return Transfer(params._replace(**changes), ADOPTED)


def xcalled(transfer: Transfer) -> Log:
    """The opening event, logged on the origin network."""
    body = message_body(transfer)
    amount = transfer.params.bridged_amount
    types = [TRANSFER_INFO, "address", "uint256", "address", "bytes"]
    data = encode(types, [transfer.params, transfer.asset, amount, LOCAL, body])
    return Log([XCALLED, transfer.id, transfer.params.nonce.to_bytes(32, "big"), keccak(body)], data)


def executed(transfer: Transfer, *, amount: int | None = None, routers: Sequence[str] = ()) -> Log:
    """The payout, logged on the destination network; with routers it is the fast path."""
    args = (transfer.params, routers, [bytes(65) for _ in routers], NOBODY, b"")
    paid = transfer.params.bridged_amount if amount is None else amount
    data = encode([EXECUTE_ARGS, "address", "uint256", "address"], [args, LOCAL, paid, RELAYER])
    return Log([EXECUTED, transfer.id, _word(transfer.params.to), _word(transfer.asset)], data)


def reconciled(transfer: Transfer, *, routers: Sequence[str] = ()) -> Log:
    """The settlement, logged on the destination network."""
    origin = transfer.params.origin_domain.to_bytes(32, "big")
    data = encode(["address[]", "uint256", "address"], [routers, transfer.params.bridged_amount, RELAYER])
    return Log([RECONCILED, transfer.id, origin, _word(LOCAL)], data)


def message_body(transfer: Transfer) -> bytes:
    """The message between the bridges (Nomad's frame); its last 32 bytes are the transferId."""
    params = transfer.params
    types = ["uint32", "bytes32", "uint32", "uint32", "bytes32"]
    types += ["uint32", "bytes32", "uint8", "uint256", "bytes32"]
    return encode_packed(
        types,
        [
            *(params.origin_domain, _word(RELAYER), params.nonce, params.destination_domain, _word(RELAYER)),
            *(params.canonical_domain, params.canonical_id, TRANSFER_MESSAGE),
            *(params.bridged_amount, transfer.id),
        ],
    )


def _word(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\0")
