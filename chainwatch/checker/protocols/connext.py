"""Connext (Amarok): a transfer's id is ``keccak256(abi.encode(TransferInfo))``.

See ``TransferInfo`` in connext/monorepo, ``LibConnextStorage.sol``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainwatch.checker.protocols.function import ProtocolFunction
from chainwatch.checker.values import MAX_SIZE, bounded
from chainwatch.model import AbiParam
from chainwatch.support.keccak import keccak256

TRANSFER_INFO = AbiParam(
    "",
    "tuple",
    components=(
        AbiParam("originDomain", "uint32"),
        AbiParam("destinationDomain", "uint32"),
        AbiParam("canonicalDomain", "uint32"),
        AbiParam("to", "address"),
        AbiParam("delegate", "address"),
        AbiParam("receiveLocal", "bool"),
        AbiParam("callData", "bytes"),
        AbiParam("slippage", "uint256"),
        AbiParam("originSender", "address"),
        AbiParam("bridgedAmt", "uint256"),
        AbiParam("normalizedIn", "uint256"),
        AbiParam("nonce", "uint256"),
        AbiParam("canonicalId", "bytes32"),
    ),
)
"""The parameters of a transfer, in ``XCalled`` and ``Executed``."""


def encode_transfer_info(info: Mapping[str, Any]) -> bytes:
    """Return ``abi.encode`` of one ``TransferInfo``, decoded as a dict: 32-byte words, ``callData`` at the end."""
    call_data: bytes = info["callData"]
    head: bytes = (
        _TUPLE_OFFSET
        + info["originDomain"].to_bytes(32, "big")
        + info["destinationDomain"].to_bytes(32, "big")
        + info["canonicalDomain"].to_bytes(32, "big")
        + _ADDRESS_PADDING
        + bytes.fromhex(info["to"][2:])
        + _ADDRESS_PADDING
        + bytes.fromhex(info["delegate"][2:])
        + info["receiveLocal"].to_bytes(32, "big")
        + _CALL_DATA_OFFSET
        + info["slippage"].to_bytes(32, "big")
        + _ADDRESS_PADDING
        + bytes.fromhex(info["originSender"][2:])
        + info["bridgedAmt"].to_bytes(32, "big")
        + info["normalizedIn"].to_bytes(32, "big")
        + info["nonce"].to_bytes(32, "big")
        + info["canonicalId"]
    )
    return head + len(call_data).to_bytes(32, "big") + call_data + bytes(-len(call_data) % 32)


_TUPLE_OFFSET = (32).to_bytes(32, "big")
_CALL_DATA_OFFSET = (13 * 32).to_bytes(32, "big")
_ADDRESS_PADDING = bytes(12)


def _transfer_id(info: Mapping[str, Any]) -> bytes:
    bounded(info["callData"])
    return keccak256(encode_transfer_info(info))


TRANSFER_ID = ProtocolFunction(
    "connext.transfer_id", (TRANSFER_INFO,), "bytes32", _transfer_id, cost=10 + MAX_SIZE / 300
)
