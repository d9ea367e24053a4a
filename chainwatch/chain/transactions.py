"""The transactions that emitted logs, where a flow reads of them: sender, recipient, value and calldata.

Asked for by their hashes, as JSON-RPC batches where the endpoint takes them, with the failover, limits and `agreement` of
all other reads. Format: `eth_getTransactionByHash`, https://ethereum.github.io/execution-apis/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from chainwatch.chain import wire
from chainwatch.chain.errors import AnswerTooBig, NoRoomForAnswer, NotThere
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import BATCH
from chainwatch.chain.watch import NetworkWatch
from chainwatch.chain.wire import Call
from chainwatch.model import ADDRESS_LENGTH, RawLog, Transaction, to_hex

MAX_INPUT = 128 * 1024
"""Bytes of calldata that are kept: more does not get into a node's mempool."""

NO_TRANSACTION = Transaction(None)
"""Stands for the transaction of a log whose transaction hash is that of none."""

_NOBODY = bytes(ADDRESS_LENGTH)

_Key: TypeAlias = tuple[bytes, bytes]
"""The hashes of the block and of the transaction."""


async def with_transactions(
    pool: Pool, watch: NetworkWatch, logs: list[RawLog], patience: float = 0.0
) -> list[RawLog]:
    """Return ``logs``, with their transactions where a flow reads them, retried for ``patience`` seconds.

    ``logs`` have their block's hash. Raises `RpcError`: no endpoint that answers knows a transaction, or too few agree.
    """
    if not watch.reads_transactions:
        return logs
    wanted = {_key(log): log for log in logs if watch.reads_transaction(log)}
    asked = list(wanted.values())
    found: dict[_Key, Transaction] = {}
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        found.update(zip(map(_key, some), await read_transactions(pool, some, patience), strict=True))
    return [
        log._replace(transaction=found[_key(log)]) if watch.reads_transaction(log) else log for log in logs
    ]


async def read_transactions(pool: Pool, logs: Sequence[RawLog], patience: float = 0.0) -> list[Transaction]:
    """Return the transaction of each of ``logs``, no two of one transaction. See `with_transactions`.

    That an endpoint knows no transaction of a log's hash counts as an answer where its block has none either, and no other
    endpoint knows one.
    """
    answered: list[tuple[list[Transaction], Endpoint]] = []

    async def read(endpoint: Endpoint) -> list[Transaction]:
        found = await _read(endpoint, logs)
        answered.append((found, endpoint))
        return found

    found = await pool.ask_agreeing(read, patience)
    if NO_TRANSACTION not in found or pool.network.agreement > 1:
        return found
    by = next(endpoint for answer, endpoint in answered if answer is found)
    lacking = [log for log, one in zip(logs, found, strict=True) if one == NO_TRANSACTION]
    other = await pool.ask_another(lambda endpoint: _read(endpoint, lacking), by)
    known = dict(zip(map(_key, lacking), other or [], strict=False))
    return [known.get(_key(log), one) for log, one in zip(logs, found, strict=True)]


def _key(log: RawLog) -> _Key:
    return log.block_hash, log.tx_hash


async def _read(endpoint: Endpoint, logs: Sequence[RawLog]) -> list[Transaction]:
    try:
        results = await endpoint.rpc.call_all(
            [Call("eth_getTransactionByHash", (to_hex(log.tx_hash),)) for log in logs]
        )
    except NoRoomForAnswer:
        raise
    except AnswerTooBig:
        if len(logs) == 1:
            raise
        half = len(logs) // 2
        return [*await _read(endpoint, logs[:half]), *await _read(endpoint, logs[half:])]
    answers = [endpoint.rpc.parse(wire.parse_transaction, result) for result in results]
    return [
        await _by_position(endpoint, log) if answer is None else _transaction(endpoint, log, answer)
        for log, answer in zip(logs, answers, strict=True)
    ]


async def _by_position(endpoint: Endpoint, log: RawLog) -> Transaction:
    """Return the transaction of ``log``, which the endpoint does not find by its hash, by its position in its block.

    Nodes keep the index of hashes for new blocks only. Raises `NotThere` where the endpoint has not the block, or the block
    names the transaction, but the endpoint has not that.
    """
    block = to_hex(log.block_hash)
    answer = await endpoint.rpc.call(Call("eth_getBlockByHash", (block, False)))
    hashes = [name.lower() for name in endpoint.rpc.parse(wire.parse_transactions, answer).transactions]
    if to_hex(log.tx_hash) not in hashes:
        return NO_TRANSACTION
    index = hex(hashes.index(to_hex(log.tx_hash)))
    result = await endpoint.rpc.call(Call("eth_getTransactionByBlockHashAndIndex", (block, index)))
    found = endpoint.rpc.parse(wire.parse_transaction, result)
    if found is None:
        raise NotThere(
            endpoint.name, f"does not know a transaction of block {log.block_number}, which has a log"
        )
    return _transaction(endpoint, log, found)


def _transaction(endpoint: Endpoint, log: RawLog, found: wire.WireTransaction) -> Transaction:
    """Return what was ``found`` for ``log``. Raises `NotThere` where it is in another block or in none: a fork, or a lag."""

    def check(found: wire.WireTransaction) -> Transaction | None:
        if wire.to_word(found.hash) != log.tx_hash:
            raise ValueError("another transaction than the asked one")
        if found.block_hash is None or wire.to_word(found.block_hash) != log.block_hash:
            return None
        if found.block_number is None or wire.quantity(found.block_number) != log.block_number:
            raise ValueError(f"a transaction of block {log.block_number} with another block number")
        sender = wire.to_address(found.sender)
        to = None if found.to is None else wire.to_address(found.to)
        data = wire.to_bytes(found.input)
        if sender == _NOBODY and to in (None, _NOBODY):
            return NO_TRANSACTION  # so nodes describe a pseudo-transaction, which nobody has signed
        kept = data if len(data) <= MAX_INPUT else None
        return Transaction(sender, to, wire.to_amount(found.value), kept, len(data))

    transaction = endpoint.rpc.parse(check, found)
    if transaction is None:
        raise NotThere(endpoint.name, f"has a transaction of block {log.block_number} in another block")
    return transaction
