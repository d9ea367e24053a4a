"""Receipts of transactions of a small bridge on two networks, and the configuration that watches it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from chainwatch.chain.receipts import Receipt, read_receipt
from chainwatch.config import read_dict
from chainwatch.operations.transactions import Transaction
from chainwatch.plan import Plan, make_plan
from chainwatch.support.keccak import keccak256

BRIDGE = {"alpha": "0x" + "a1" * 20, "beta": "0x" + "b2" * 20}
TX = "0x" + "7e" * 32
BLOCK_HASH = "0x" + "0b" * 32
NOWHERE = "http://127.0.0.1:1"
TIME = 1_700_000_000
HOUR = 3_600

SENT = "Sent(uint256,uint256,uint256,string,uint256[])"
RECEIVED = "Received(uint256,uint256)"


def _event(signature: str, names: Sequence[str]) -> dict[str, Any]:
    name, _, types = signature.rstrip(")").partition("(")
    inputs = [{"name": n, "type": t} for n, t in zip(names, types.split(","), strict=True)]
    return {
        "type": "event",
        "name": name,
        "inputs": [one | {"indexed": one["name"] == "id"} for one in inputs],
    }


ABI = [_event(SENT, ["id", "to", "amount", "memo", "parts"]), _event(RECEIVED, ["id", "source"])]


def plan(
    folder: Path, alpha: Sequence[str] = (NOWHERE,), beta: Sequence[str] = (NOWHERE,), **changes: Any
) -> Plan:
    """The plan of the bridge's flow, by the networks' endpoints; ``changes`` are keys of its opening step, ``expects`` those
    of the other, ``more`` further steps.
    """
    (folder / "bridge.json").write_text(json.dumps(ABI))
    expects = {"step": "receive", "event": "Received", "origin": "source", "within": "1h"}
    expects |= changes.pop("expects", {})
    more = changes.pop("more", [])
    opens = {"step": "send", "event": "Sent", "destination": "to", "amount": "amount"} | changes
    networks = {
        name: {"chain_id": number, "rpc": list(rpc), "request_timeout": "1m"}
        for number, (name, rpc) in enumerate((("alpha", alpha), ("beta", beta)), 1)
    }
    config = {
        "store": {"url": "sqlite:///x.db"},
        "networks": networks,
        "contracts": {"bridge": {"abi": str(folder / "bridge.json"), "address": BRIDGE}},
        "flows": {"bridge": {"contract": "bridge", "key": "id", "opens": opens, "expects": [expects, *more]}},
        "receivers": {"console": {"provider": "console"}},
        "routes": [{"receivers": ["console"]}],
    }
    return make_plan(read_dict(config))


def sent(
    id: int = 7, to: int = 2, amount: int = 50, memo: str = "", parts: Sequence[int] = (), at: str = "alpha"
) -> dict[str, Any]:
    """A log that opens a transfer."""
    data = encode(["uint256", "uint256", "string", "uint256[]"], [to, amount, memo, parts])
    return log(BRIDGE[at], [keccak256(SENT.encode()), id.to_bytes(32)], data)


def received(id: int = 7, source: int = 1, at: str = "beta") -> dict[str, Any]:
    """A log of the payout."""
    return log(BRIDGE[at], [keccak256(RECEIVED.encode()), id.to_bytes(32)], source.to_bytes(32))


def log(address: str, topics: Sequence[bytes], data: bytes = b"") -> dict[str, Any]:
    """Any log, as a receipt has it."""
    return {
        "address": address,
        "topics": ["0x" + topic.hex() for topic in topics],
        "data": "0x" + data.hex(),
        "blockNumber": "0x64",
        "blockHash": BLOCK_HASH,
        "transactionHash": TX,
        "blockTimestamp": hex(TIME),
    }


def receipt(*logs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What `eth_getTransactionReceipt` answers; the logs are numbered from 3."""
    return {
        "transactionHash": TX,
        "blockNumber": "0x64",
        "blockHash": BLOCK_HASH,
        "status": "0x1",
        "logs": [{"logIndex": hex(number), **one} for number, one in enumerate(logs, 3)],
    } | changes


def read(*logs: dict[str, Any], **changes: Any) -> Receipt:
    """The receipt of such a transaction."""
    return read_receipt(json.dumps(receipt(*logs, **changes)).encode())


def transaction(*logs: dict[str, Any], network: str = "alpha") -> Transaction:
    """The same on a network."""
    return Transaction(network, read(*logs))
