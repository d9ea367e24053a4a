"""Whole blocks with all their transactions.

Formats: `eth_getBlockByNumber` with transactions, https://ethereum.github.io/execution-apis/; the field ``mint`` of
deposits, https://specs.optimism.io/protocol/deposits.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from chainwatch.chain import wire
from chainwatch.chain.errors import AnswerTooBig, MalformedAnswer, NoRoomForAnswer, NotThere
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.wire import Call
from chainwatch.model import Header

_GWEI = 10**9


class SentTransaction(NamedTuple):
    """A transaction of a block. ``to`` is None where it creates a contract; amounts are in wei.

    ``minted`` is what a deposit of an OP-stack network brings with it from the first layer.
    """

    hash: bytes
    sender: bytes
    to: bytes | None
    value: int
    minted: int


class WholeBlock(NamedTuple):
    """A block with its transactions in order, and what it pays out of the beacon chain: addresses and wei."""

    header: Header
    transactions: tuple[SentTransaction, ...]
    paid_out: tuple[tuple[bytes, int], ...]


async def read_blocks(pool: Pool, first: int, last: int, last_hash: bytes | None) -> list[WholeBlock]:
    """Return the blocks ``first``..``last``, each the parent of the next one; with ``last_hash``, that of the last.

    Raises `RpcError`; `NotThere` where the endpoint has others, as during a reorg.
    """

    async def read(endpoint: Endpoint) -> list[WholeBlock]:
        blocks = await _read(endpoint, range(first, last + 1))
        numbers = [block.header.number for block in blocks]
        if numbers != list(range(first, last + 1)):
            raise MalformedAnswer(endpoint.name, f"blocks {numbers[:3]}… for {first} to {last}")
        is_whole = all(one.header.hash == after.header.parent_hash for one, after in pairwise(blocks))
        if not is_whole or last_hash not in (None, blocks[-1].header.hash):
            raise NotThere(endpoint.name, f"has other blocks than that with the hash of block {last}")
        return blocks

    return await pool.ask_agreeing(read)


async def _read(endpoint: Endpoint, numbers: Sequence[int]) -> list[WholeBlock]:
    calls = [Call("eth_getBlockByNumber", (hex(number), True)) for number in numbers]
    try:
        results = await endpoint.rpc.call_all(calls)
    except NoRoomForAnswer:
        raise
    except AnswerTooBig:
        if len(numbers) == 1:
            raise
        half = len(numbers) // 2
        return [*await _read(endpoint, numbers[:half]), *await _read(endpoint, numbers[half:])]
    return [endpoint.rpc.parse(_whole_block, result) for result in results]


class _WireSent(msgspec.Struct):
    hash: str
    sender: str = msgspec.field(name="from")
    value: str = "0x0"
    to: str | None = None
    mint: str | None = None


class _WirePayout(msgspec.Struct):
    address: str
    amount: str


class _WireBlock(wire.WireHeader, rename="camel", kw_only=True):
    transactions: list[_WireSent]
    withdrawals: list[_WirePayout] | None = None


_parse_block = wire.parser(msgspec.json.Decoder(_WireBlock))


def _whole_block(data: wire.Buffer) -> WholeBlock:
    found = _parse_block(data)
    sent = tuple(map(_sent, found.transactions))
    paid = tuple(
        (wire.to_address(one.address), wire.to_amount(one.amount) * _GWEI) for one in found.withdrawals or ()
    )
    return WholeBlock(wire.to_header(found), sent, paid)


def _sent(one: _WireSent) -> SentTransaction:
    return SentTransaction(
        wire.to_word(one.hash),
        wire.to_address(one.sender),
        None if one.to is None else wire.to_address(one.to),
        wire.to_amount(one.value),
        0 if one.mint is None else wire.to_amount(one.mint),
    )
