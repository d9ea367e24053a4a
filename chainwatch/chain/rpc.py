"""One endpoint: blocks and logs read over JSON-RPC, as the types of `chainwatch.model` or a typed error.

An answer that is not exactly what was asked for is an error and never "no logs" (S1).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from chainwatch.chain import limits, wire
from chainwatch.chain.bloom import BloomTrust
from chainwatch.chain.errors import (
    AnswerTooBig,
    HttpStatusError,
    MalformedAnswer,
    NodeError,
    NotThere,
    RangeTooWide,
    RpcError,
    RpcTimeout,
)
from chainwatch.chain.json_rpc import JsonRpc
from chainwatch.chain.multicall import Together
from chainwatch.chain.transport import Transport
from chainwatch.chain.wire import Call, LogFilter
from chainwatch.model import Header, RawLog, to_hex
from chainwatch.support.redaction import NOTHING_SECRET, Redactor

RANGES_AGAIN = 600.0
"""Seconds after which twice the known limit of blocks is tried: the limit may come from one odd answer."""

CUT_AT = (100, 1_000, 10_000)
"""Numbers of logs at which some nodes silently cut their answers off."""

HTTP_TOO_LARGE = 413


class Block(NamedTuple):
    """A block's header and the bloom of its logs; None where the node gives none."""

    header: Header
    bloom: int | None


class Endpoint:
    """One RPC endpoint of a network. Every method raises `RpcError`; times are in seconds."""

    def __init__(
        self,
        transport: Transport,
        timeout: float,
        redact: Redactor = NOTHING_SECRET,
        on_result: Callable[[], None] | None = None,
    ) -> None:
        """``on_result`` is called for each result, several of which a read may take."""
        self.name = transport.name
        self.max_range: int | None = None
        """The most blocks that one `eth_getLogs` may span, as far as its answers have shown; None for any number."""
        self._max_range_since: float | None = None
        self.last_head: Header | None = None
        self.lacks_before = 0
        """The block before which logs were found to be missing: a pruned node."""
        self.holds_from = math.inf
        """The oldest block of which it gave logs."""
        self.lacks_logs_of: Block | None = None
        """A block whose logs were missing when they were last asked for."""
        self.blooms = BloomTrust()
        """Whether the blooms of its headers can be trusted."""
        self.rpc = JsonRpc(transport, timeout, redact, on_result)
        self.state_by_hash = True
        """Whether it takes a block's hash where state is read (EIP-1898), as far as is known."""
        self.together = Together()
        """What is known of calls that are made together."""
        self._by_hash = True

    async def chain_id(self, seconds: float | None = None) -> int:
        """Return the EIP-155 chain id."""
        return self.rpc.parse(_quantity, await self.rpc.call(Call("eth_chainId"), seconds))

    async def head(self, seconds: float | None = None) -> Header:
        """Return the header of the newest block."""
        self.last_head = self._header(
            await self.rpc.call(Call("eth_getBlockByNumber", ("latest", False)), seconds)
        )
        return self.last_head

    async def headers(self, numbers: Sequence[int]) -> list[Header]:
        """Return the headers of the blocks ``numbers``, in that order. Raises `NotThere` when one is unknown."""
        return [block.header for block in await self.blocks(numbers)]

    async def blocks(self, numbers: Sequence[int]) -> list[Block]:
        """Return the same with their blooms."""
        calls = [Call("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
        blocks = [self.rpc.parse(_block, result) for result in await self.rpc.call_all(calls)]
        for number, block in zip(numbers, blocks, strict=True):
            if block.header.number != number:
                raise MalformedAnswer(
                    self.name, f"block {block.header.number} was answered when {number} was asked for"
                )
            self.blooms.given |= block.bloom is not None
            if block.bloom is None and self.blooms.given:
                raise MalformedAnswer(self.name, f"block {number} has no bloom, as others here do")
        return blocks

    async def logs(self, wanted: LogFilter, first: int, last: int) -> list[RawLog]:
        """Return the logs of the blocks ``first``..``last`` in order, timestamp 0 where the node gives none.

        Raises `RangeTooWide` when the endpoint refuses so many blocks, or is known to.
        """
        if not wanted.addresses:
            return []  # for a node, no address means all addresses
        blocks = last - first + 1
        self._doubt_max_range()
        if self.max_range is not None and blocks > self.max_range:
            raise RangeTooWide(
                self.name, f"{blocks} blocks are over the known limit", self.max_range, structural=True
            )
        call = Call("eth_getLogs", ({"fromBlock": hex(first), "toBlock": hex(last), **wanted.to_json()},))
        try:
            entries = await self._ask_logs(call)
        except (AnswerTooBig, RpcTimeout, HttpStatusError, NodeError) as error:
            raise self._too_wide(error, blocks) or error from None
        logs = self._raw_logs(entries, first, last, wanted)
        if len(logs) in CUT_AT and blocks > 1:
            # a third less: a regular chain would otherwise come to a round number again
            raise RangeTooWide(
                self.name, f"exactly {len(logs)} logs: perhaps cut off", max(1, blocks * 2 // 3)
            )
        return logs

    async def logs_of(self, wanted: LogFilter, blocks: Sequence[Header]) -> list[RawLog]:
        """Return the logs of exactly ``blocks`` (ascending, linked by their hashes), with their timestamps.

        By block hash (EIP-234); by range where the endpoint cannot do that, with the last hash checked afterwards.
        """
        if not wanted.addresses:
            return []
        if self._by_hash:
            try:
                return await self._logs_by_hash(wanted, blocks)
            except NodeError as error:
                logs = await self._logs_by_range(wanted, blocks)
                self._by_hash = error.code not in limits.NOT_SUPPORTED
                return logs
        return await self._logs_by_range(wanted, blocks)

    async def receipt_logs(self, wanted: LogFilter, block: int) -> list[RawLog]:
        """Return the logs of one block out of its receipts, for a block that is too much for `eth_getLogs`."""
        result = await self.rpc.call(Call("eth_getBlockReceipts", (hex(block),)))
        addresses = {to_hex(address) for address in wanted.addresses}
        receipts = self.rpc.parse(wire.parse_receipts, result)
        entries = [log for receipt in receipts for log in receipt.logs if log.address.lower() in addresses]
        logs = self._raw_logs(entries, block, block, None)
        return [log for log in logs if wanted.matches(log)]

    async def logs_of_receipts(self, block: Header) -> list[RawLog]:
        """Return every log of ``block``, out of its receipts."""
        result = await self.rpc.call(Call("eth_getBlockReceipts", (hex(block.number),)))
        return self._of_block(
            [log for r in self.rpc.parse(wire.parse_receipts, result) for log in r.logs], block
        )

    async def logs_of_everyone(self, block: Header) -> list[RawLog]:
        """Return the same by `eth_getLogs` without a filter."""
        result = await self.rpc.call(Call("eth_getLogs", ({"blockHash": to_hex(block.hash)},)))
        return self._of_block(self.rpc.parse(wire.parse_logs, result), block)

    async def logs_of_each_receipt(self, block: Header) -> list[RawLog]:
        """Return the same, out of the receipt of each of its transactions."""
        answer = await self.rpc.call(Call("eth_getBlockByHash", (to_hex(block.hash), False)))
        hashes = self.rpc.parse(wire.parse_transactions, answer).transactions
        receipts = await self.rpc.call_all([Call("eth_getTransactionReceipt", (name,)) for name in hashes])
        parsed = [self.rpc.parse(wire.parse_receipt, receipt) for receipt in receipts]
        return self._of_block([log for receipt in parsed for log in receipt.logs], block)

    def _doubt_max_range(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.max_range is None or self._max_range_since is None:
            self._max_range_since = now
        elif now - self._max_range_since >= RANGES_AGAIN:
            self.max_range, self._max_range_since = 2 * self.max_range, now

    def _of_block(self, entries: Sequence[wire.WireLog], block: Header) -> list[RawLog]:
        logs = self._raw_logs(entries, block.number, block.number, None)
        return self._stamped(logs, {block.number: block})

    async def _logs_by_hash(self, wanted: LogFilter, blocks: Sequence[Header]) -> list[RawLog]:
        calls = [Call("eth_getLogs", ({"blockHash": to_hex(b.hash), **wanted.to_json()},)) for b in blocks]
        # a node without the block may answer [] for its logs: the block itself, asked for last, proves that it has it
        known = Call("eth_getBlockByHash", (to_hex(blocks[-1].hash), False))
        *results, proof = await self.rpc.call_all([*calls, known])
        if self._header(proof).hash != blocks[-1].hash:
            raise MalformedAnswer(self.name, f"another block was answered than the asked {blocks[-1].number}")
        logs: list[RawLog] = []
        for block, result in zip(blocks, results, strict=True):
            entries = self.rpc.parse(wire.parse_logs, result)
            some = self._raw_logs(entries, block.number, block.number, wanted)
            if len(some) in CUT_AT:
                raise RangeTooWide(self.name, f"exactly {len(some)} logs of one block: perhaps cut off")
            logs += self._stamped(some, {block.number: block})
        return logs

    async def _logs_by_range(self, wanted: LogFilter, blocks: Sequence[Header]) -> list[RawLog]:
        logs = await self.logs(wanted, blocks[0].number, blocks[-1].number)
        (last,) = await self.headers([blocks[-1].number])
        if last.hash != blocks[-1].hash:
            raise NotThere(self.name, f"block {last.number} was replaced while its logs were read")
        return self._stamped(logs, {block.number: block for block in blocks})

    def _stamped(self, logs: list[RawLog], blocks: dict[int, Header]) -> list[RawLog]:
        for log in logs:
            if blocks[log.block_number].hash != log.block_hash:
                raise NotThere(self.name, f"the logs of block {log.block_number} are those of another fork")
        return [log._replace(timestamp=blocks[log.block_number].timestamp) for log in logs]

    def _too_wide(self, error: RpcError, blocks: int) -> RangeTooWide | None:
        """Return ``error`` as a refused range, and remember a limit on every range; None when it is about something else."""
        if isinstance(error, NodeError):
            hint = limits.range_hint(error.code, error.message)
            if hint is None:
                return None
            smaller = hint.blocks if hint.blocks is not None and hint.blocks < blocks else None
            if hint.structural and smaller is not None:
                self.max_range = min(self.max_range or smaller, smaller)
                self._max_range_since = asyncio.get_running_loop().time()
            return RangeTooWide(self.name, error.what, smaller, hint.structural and smaller is not None)
        if isinstance(error, HttpStatusError) and error.status != HTTP_TOO_LARGE:
            return None
        return RangeTooWide(self.name, error.what, timed_out=isinstance(error, RpcTimeout))

    def _header(self, result: msgspec.Raw) -> Header:
        return self.rpc.parse(lambda raw: wire.to_header(wire.parse_header(raw)), result)

    async def _ask_logs(self, call: Call) -> list[wire.WireLog]:
        """Return the entries that ``call`` asks for, perhaps many: they are parsed together with the answer around them."""
        data = await self.rpc.exchange(call)
        try:
            return wire.parse_logs_answer(data).result
        except ValueError:  # the usual way finds out what is wrong
            return self.rpc.parse(
                wire.parse_logs, self.rpc.result(call, self.rpc.parse(wire.parse_answer, data))
            )

    def _raw_logs(
        self, entries: Sequence[wire.WireLog], first: int, last: int, wanted: LogFilter | None
    ) -> list[RawLog]:
        return self.rpc.parse(lambda some: wire.to_raw_logs(some, first, last, wanted), entries)


def _block(raw: msgspec.Raw) -> Block:
    found = wire.parse_header(raw)
    return Block(wire.to_header(found), wire.to_bloom(found))


def _quantity(raw: msgspec.Raw) -> int:
    return wire.quantity(wire.parse_text(raw))
