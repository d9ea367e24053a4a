"""The receipt of one transaction: from a network's endpoints, or from a file.

Format: `eth_getTransactionReceipt`, https://ethereum.github.io/execution-apis/.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from chainwatch.chain import wire
from chainwatch.chain.errors import MalformedAnswer, NotThere, RpcError
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.wire import Call
from chainwatch.model import RawLog, to_hex


class Receipt(msgspec.Struct, frozen=True):
    """A mined transaction: its block, whether it was reverted, and all its logs in order.

    ``timestamp`` is the block's (Unix seconds); 0 where it is not known, as in most files.
    """

    tx_hash: bytes
    block: int
    block_hash: bytes
    timestamp: int
    reverted: bool
    logs: tuple[RawLog, ...]


NoReceipt: TypeAlias = Literal["unknown", "pending", "pruned"]
"""Why there is no receipt: the network does not know the transaction; it is in no block yet; its receipt was discarded."""


async def find_receipt(pool: Pool, tx_hash: bytes) -> Receipt | NoReceipt:
    """Return the receipt of ``tx_hash`` from the first endpoint that has it; else the most that any of them knows of it.

    Raises `RpcError` when none knows it, and an endpoint that was asked gave no answer.
    """
    lacking: list[NoReceipt] = []
    failed: list[RpcError] = []

    async def read(endpoint: Endpoint) -> Receipt:
        try:
            found = await _read(endpoint, tx_hash)
        except RpcError as error:
            failed.append(error)
            raise
        if isinstance(found, Receipt):
            return found
        lacking.append(found)
        raise NotThere(endpoint.name, f"the transaction is {found} here")  # another endpoint may have it

    try:
        return await pool.ask(read)
    except RpcError:
        await pool.all_tried()  # an endpoint that was not verified yet may have it
    try:
        return await pool.ask(read)
    except RpcError as error:
        known = max(lacking, key=_KNOWS_LEAST_FIRST.index, default=None)
        if known is None or (known == "unknown" and failed):
            raise (failed[-1] if failed else error) from None  # an endpoint that failed may have it
        return known


def read_receipt(data: bytes) -> Receipt:
    """Return the receipt in the JSON ``data``: an `eth_getTransactionReceipt` result, or the whole answer around it.

    Raises ``ValueError`` with a short text.
    """
    answer = _parse_enclosed(data)
    if answer.error is not msgspec.UNSET and answer.error is not None:
        raise ValueError("it holds the error of a node, not a receipt")
    receipt = data if answer.result is msgspec.UNSET else bytes(answer.result)
    if receipt.strip() == _NULL:
        raise ValueError("it holds null, a node's answer for a transaction that it does not know")
    return _receipt(_parse_receipt(receipt))


class _WireReceipt(msgspec.Struct, rename="camel"):
    transaction_hash: str
    block_number: str
    block_hash: str
    logs: list[wire.WireLog]
    status: str | None = None
    """Missing before the Byzantium fork, which is when reverted transactions began to have one (EIP-658)."""


class _WireTransaction(msgspec.Struct, rename="camel"):
    hash: str
    block_number: str | None = None


class _Enclosed(msgspec.Struct):
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType | None = msgspec.UNSET


_NULL = b"null"
_KNOWS_LEAST_FIRST: tuple[NoReceipt, ...] = ("unknown", "pending", "pruned")

_parse_receipt = wire.parser(msgspec.json.Decoder(_WireReceipt))
_parse_transaction = wire.parser(msgspec.json.Decoder(_WireTransaction))
_parse_enclosed = wire.parser(msgspec.json.Decoder(_Enclosed))


async def _read(endpoint: Endpoint, tx_hash: bytes) -> Receipt | NoReceipt:
    name = to_hex(tx_hash)
    answered = await _nullable(endpoint, Call("eth_getTransactionReceipt", (name,)))
    if answered is None:
        transaction = await _nullable(endpoint, Call("eth_getTransactionByHash", (name,)))
        if transaction is None:
            return "unknown"
        known = endpoint.rpc.parse(_parse_transaction, transaction)
        return "pending" if known.block_number is None else "pruned"
    receipt = endpoint.rpc.parse(lambda raw: _receipt(_parse_receipt(raw)), answered)
    if receipt.tx_hash != tx_hash:
        raise MalformedAnswer(endpoint.name, "the receipt of another transaction than the asked one")
    return await _dated(endpoint, receipt)


async def _dated(endpoint: Endpoint, receipt: Receipt) -> Receipt:
    """Return ``receipt`` with the time of its block."""
    raw = await endpoint.rpc.call(Call("eth_getBlockByHash", (to_hex(receipt.block_hash), False)))
    header = endpoint.rpc.parse(lambda raw: wire.to_header(wire.parse_header(raw)), raw)
    if (header.number, header.hash) != (receipt.block, receipt.block_hash):
        raise MalformedAnswer(endpoint.name, "another block than that of the receipt")
    logs = tuple(log._replace(timestamp=header.timestamp) for log in receipt.logs)
    return msgspec.structs.replace(receipt, timestamp=header.timestamp, logs=logs)


async def _nullable(endpoint: Endpoint, call: Call) -> msgspec.Raw | None:
    """Return the result of ``call``; None for null, which says here that the node does not have it."""
    answer = endpoint.rpc.parse(wire.parse_answer, await endpoint.rpc.exchange(call))
    if answer.error is None and answer.result is not msgspec.UNSET and memoryview(answer.result) == _NULL:
        return None
    return endpoint.rpc.result(call, answer)


def _receipt(found: _WireReceipt) -> Receipt:
    block, tx_hash = wire.quantity(found.block_number), wire.to_word(found.transaction_hash)
    block_hash = wire.to_word(found.block_hash)
    logs = wire.to_raw_logs(found.logs, block, block, None)
    if any((log.block_hash, log.tx_hash) != (block_hash, tx_hash) for log in logs):
        raise ValueError("a log of another transaction or block")
    reverted = found.status is not None and wire.quantity(found.status) == 0
    timestamp = logs[0].timestamp if logs else 0
    return Receipt(tx_hash, block, block_hash, timestamp, reverted, tuple(logs))
