"""One endpoint: typed questions over JSON-RPC, answered in `chainwatch.model`'s nouns or with a typed error.

An answer that is not exactly what was asked for is an error and never "nothing there" (S1).
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

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
    RateLimited,
    RpcError,
    RpcTimeout,
    TransportError,
)
from chainwatch.chain.intake import INTAKE, Share, is_crumbled
from chainwatch.chain.transport import BATCH, Transport, too_big
from chainwatch.chain.wire import Call, LogFilter
from chainwatch.model import Header, RawLog, to_hex
from chainwatch.support.redaction import NOTHING_SECRET, Redactor
from chainwatch.support.supervise import place_of

T = TypeVar("T")

SINGLES = 16
"""Calls in flight at once where an endpoint takes no batches."""

BATCHES_AGAIN = 600.0
"""Seconds after which an endpoint that failed at batches is tried with one again."""

RANGES_AGAIN = 600.0
"""Seconds after which twice as many blocks are tried as an endpoint said that it searches at most: it may have been one odd
answer."""

CUT_AT = (100, 1_000, 10_000)
"""Numbers of logs at which some nodes silently end their answers."""

MESSAGE_LENGTH = 300
"""Characters of a node's error text that are kept."""

HTTP_TOO_LARGE = 413
AWAY = (502, 503, 504)
"""HTTP statuses of a node that cannot answer anything now."""


class Block(NamedTuple):
    """A block's header and the bloom of its logs; None where the node gives none."""

    header: Header
    bloom: int | None


class Endpoint:
    """One RPC endpoint of a network. Every method raises `RpcError`; times are in seconds."""

    def __init__(self, transport: Transport, timeout: float, redact: Redactor = NOTHING_SECRET) -> None:
        self.name = transport.name
        self.max_range: int | None = None
        """Most blocks that one `eth_getLogs` may span here, as far as its answers have told."""
        self._max_range_since: float | None = None
        self.last_head: Header | None = None
        self.lacks_before = 0
        """The block before which logs were found to be missing here: a pruned node."""
        self.holds_from = math.inf
        """The oldest block of which logs were had here."""
        self.lacks_logs_of: Block | None = None
        """A block whose logs were not to be had here when they were asked for last."""
        self.blooms = BloomTrust()
        """Whether what its headers' blooms say of logs counts."""
        self._transport = transport
        self._timeout = timeout
        self._redact = redact
        self._ids = itertools.count(1)
        self._batches_from = 0.0
        self._by_hash = True

    async def ask(self, call: Call, seconds: float | None = None) -> msgspec.Raw:
        """The result of one call, unparsed; a null result is `MalformedAnswer`."""
        return self._result(call, self._parse(wire.parse_answer, await self._exchange(call, seconds)))

    async def ask_all(self, calls: Sequence[Call], seconds: float | None = None) -> list[msgspec.Raw]:
        """The results of ``calls`` in their order, by JSON-RPC batches where the endpoint can do them."""
        results: list[msgspec.Raw] = []
        with too_big(self.name), INTAKE.share(self.name) as share:
            while len(results) < len(calls):
                results += await self._ask_some(calls[len(results) :][: self.batch], seconds, share)
        return results

    @property
    def batch(self) -> int:
        """Calls that are asked together now, whether as a batch or side by side."""
        return self._transport.largest_batch if self._batching else BATCH

    async def chain_id(self, seconds: float | None = None) -> int:
        """The EIP-155 chain id."""
        return self._parse(_quantity, await self.ask(Call("eth_chainId"), seconds))

    async def head(self, seconds: float | None = None) -> Header:
        """The header of the newest block."""
        self.last_head = self._header(
            await self.ask(Call("eth_getBlockByNumber", ("latest", False)), seconds)
        )
        return self.last_head

    async def headers(self, numbers: Sequence[int]) -> list[Header]:
        """The headers of the blocks ``numbers``, in that order. Raises `NotThere` when one is unknown."""
        return [block.header for block in await self.blocks(numbers)]

    async def blocks(self, numbers: Sequence[int]) -> list[Block]:
        """The same with their blooms."""
        calls = [Call("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
        blocks = [self._parse(_block, result) for result in await self.ask_all(calls)]
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
        """The logs of the blocks ``first``..``last`` in order, timestamp 0 where the node gives none.

        Raises `RangeTooWide` when the endpoint wants fewer blocks, or is known to.
        """
        if not wanted.addresses:
            return []  # a node would take it for "of all addresses"
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
        """The logs of exactly ``blocks`` (ascending, linked by their hashes), with their timestamps.

        Asked by block hash (EIP-234); an endpoint that cannot is asked by range, and the last hash is checked after it.
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
        """The logs of one block out of its receipts, for a block that is too much for `eth_getLogs`."""
        result = await self.ask(Call("eth_getBlockReceipts", (hex(block),)))
        addresses = {to_hex(address) for address in wanted.addresses}
        receipts = self._parse(wire.parse_receipts, result)
        entries = [log for receipt in receipts for log in receipt.logs if log.address.lower() in addresses]
        logs = self._raw_logs(entries, block, block, None)
        return [log for log in logs if wanted.matches(log)]

    async def logs_of_receipts(self, block: Header) -> list[RawLog]:
        """Every log of ``block``, out of its receipts."""
        result = await self.ask(Call("eth_getBlockReceipts", (hex(block.number),)))
        return self._of_block(
            [log for r in self._parse(wire.parse_receipts, result) for log in r.logs], block
        )

    async def logs_of_everyone(self, block: Header) -> list[RawLog]:
        """The same by `eth_getLogs` without a filter."""
        result = await self.ask(Call("eth_getLogs", ({"blockHash": to_hex(block.hash)},)))
        return self._of_block(self._parse(wire.parse_logs, result), block)

    async def logs_of_each_receipt(self, block: Header) -> list[RawLog]:
        """The same, out of the receipt of each of its transactions."""
        reported = await self.ask(Call("eth_getBlockByHash", (to_hex(block.hash), False)))
        hashes = self._parse(wire.parse_transactions, reported).transactions
        receipts = await self.ask_all([Call("eth_getTransactionReceipt", (name,)) for name in hashes])
        parsed = [self._parse(wire.parse_receipt, receipt) for receipt in receipts]
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
        # a node that does not have the block may answer [] for it: asking it for the block as well tells
        known = Call("eth_getBlockByHash", (to_hex(blocks[-1].hash), False))
        *results, proof = await self.ask_all([*calls, known])
        if self._header(proof).hash != blocks[-1].hash:
            raise MalformedAnswer(self.name, f"another block was answered than the asked {blocks[-1].number}")
        logs: list[RawLog] = []
        for block, result in zip(blocks, results, strict=True):
            entries = self._parse(wire.parse_logs, result)
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

    @property
    def _batching(self) -> bool:
        able = asyncio.get_running_loop().time() >= self._batches_from
        return able and self._transport.largest_batch > 1

    async def _ask_some(
        self, calls: Sequence[Call], seconds: float | None, share: Share
    ) -> list[msgspec.Raw]:
        if len(calls) == 1 or not self._batching:
            return await self._ask_singly(calls, seconds, share)
        results = await self._ask_batch(calls, seconds, share)
        if results is None:
            results = await self._ask_singly(calls[:1], seconds, share)  # before all: is it there at all?
            results += await self._ask_singly(calls[1:], seconds, share)
            self._batches_from = asyncio.get_running_loop().time() + BATCHES_AGAIN
        return results

    async def _ask_singly(
        self, calls: Sequence[Call], seconds: float | None, share: Share
    ) -> list[msgspec.Raw]:
        results: list[msgspec.Raw] = []
        for start in range(0, len(calls), SINGLES):
            results += await _all_or_error(
                [self._ask_one(call, seconds, share) for call in calls[start : start + SINGLES]]
            )
        return results

    async def _ask_one(self, call: Call, seconds: float | None, share: Share) -> msgspec.Raw:
        data = await self._exchange(call, seconds)
        share.take(len(data))
        return self._result(call, self._parse(wire.parse_answer, data))

    async def _ask_batch(
        self, calls: Sequence[Call], seconds: float | None, share: Share
    ) -> list[msgspec.Raw] | None:
        """The results of ``calls``; None when the endpoint may be able to give them one by one only."""
        asked = {next(self._ids): call for call in calls}
        try:
            data = await self._exchange_all(asked, seconds)
            results = self._batch_results(asked, data)
        except (MalformedAnswer, HttpStatusError, NodeError, TransportError) as error:
            if isinstance(error, RpcTimeout) or (isinstance(error, HttpStatusError) and error.status in AWAY):
                raise
            return None
        share.take(len(data))
        return results

    def _batch_results(self, asked: Mapping[int, Call], data: bytes) -> list[msgspec.Raw]:
        answers = self._parse(wire.parse_answers, data)
        if not isinstance(answers, list):
            self._result(Call("batch"), answers)
            raise MalformedAnswer(self.name, "one answer to a batch of calls")
        by_id = {answer.id: answer for answer in answers}
        if len(answers) != len(asked) or by_id.keys() != asked.keys():
            raise MalformedAnswer(self.name, f"{len(by_id)} fitting answers to a batch of {len(asked)} calls")
        return [self._result(call, by_id[id]) for id, call in asked.items()]

    async def _exchange(self, call: Call, seconds: float | None = None) -> bytes:
        return await self._exchange_all({next(self._ids): call}, seconds)

    async def _exchange_all(self, asked: Mapping[int, Call], seconds: float | None = None) -> bytes:
        """The answer to one call, or to a batch of them, by their ids."""
        body = wire.request_body(list(asked.items()))
        data = await self._transport.exchange(body, min(asked), seconds or self._timeout, len(asked))
        if is_crumbled(data):
            raise MalformedAnswer(self.name, f"an answer of {len(data)} bytes in tiny pieces")
        return data

    def _result(self, call: Call, answer: wire.Answer) -> msgspec.Raw:
        if answer.error is not None:
            error = (
                answer.error
                if isinstance(answer.error, wire.WireError)
                else wire.WireError(message=answer.error)
            )
            message = self._safe(error.message)
            if limits.unknown_block(message):
                raise NotThere(self.name, message)
            if limits.rate_limited(error.code, message) and limits.range_hint(error.code, message) is None:
                raise RateLimited(self.name, message)
            raise NodeError(self.name, call.method, error.code, message)
        if answer.result is msgspec.UNSET:
            raise MalformedAnswer(self.name, f"neither a result nor an error to {call.method}")
        if len(memoryview(answer.result)) == len(_NULL) and bytes(answer.result) == _NULL:
            if call.method.startswith("eth_getBlock"):
                raise NotThere(self.name, f"{call.method}: block {call.params[0]} is not known")
            raise MalformedAnswer(self.name, f"a null result to {call.method}")
        return answer.result

    def _too_wide(self, error: RpcError, blocks: int) -> RangeTooWide | None:
        """The same news as a range refusal, learning a limit that holds for every range; None when it is none."""
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
        return self._parse(lambda raw: wire.to_header(wire.parse_header(raw)), result)

    async def _ask_logs(self, call: Call) -> list[wire.WireLog]:
        """The entries that ``call`` asks for: they may be many, so they are parsed with the answer around them."""
        data = await self._exchange(call)
        try:
            return wire.parse_logs_answer(data).result
        except ValueError:  # the usual way says what is wrong
            return self._parse(wire.parse_logs, self._result(call, self._parse(wire.parse_answer, data)))

    def _raw_logs(
        self, entries: Sequence[wire.WireLog], first: int, last: int, wanted: LogFilter | None
    ) -> list[RawLog]:
        return self._parse(lambda some: wire.to_raw_logs(some, first, last, wanted), entries)

    def _parse(self, parse: Callable[[Any], T], data: Any) -> T:
        try:
            return parse(data)
        except ValueError as error:
            raise MalformedAnswer(self.name, f"malformed answer: {self._safe(str(error))}") from None
        except Exception as error:  # noqa: BLE001 - a stranger's data: whatever it brings a parser to, it is malformed
            raise MalformedAnswer(
                self.name, f"malformed answer: {type(error).__name__}{place_of(error)}"
            ) from None

    def _safe(self, text: str) -> str:
        # so long that no part of a secret at its end is left when every secret before it has become shorter
        return self._redact(text[: MESSAGE_LENGTH * (1 + self._redact.longest)])[:MESSAGE_LENGTH]


_NULL = b"null"


def _block(raw: msgspec.Raw) -> Block:
    found = wire.parse_header(raw)
    return Block(wire.to_header(found), wire.to_bloom(found))


def _quantity(raw: msgspec.Raw) -> int:
    return wire.quantity(wire.parse_text(raw))


async def _all_or_error(questions: Sequence[Coroutine[Any, Any, msgspec.Raw]]) -> list[msgspec.Raw]:
    """The results of all, none left running when one fails."""
    tasks = [asyncio.create_task(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
