"""JSON-RPC calls to one endpoint, one by one or in batches: unparsed results out, or a typed error."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from chainwatch.chain import limits, wire
from chainwatch.chain.errors import (
    ExecutionFailed,
    HttpStatusError,
    MalformedAnswer,
    NodeError,
    NotThere,
    RateLimited,
    RpcError,
    RpcTimeout,
    TransportError,
    bare,
)
from chainwatch.chain.intake import INTAKE, Share, is_crumbled
from chainwatch.chain.transport import BATCH, Transport, network_of, too_big
from chainwatch.chain.wire import Call
from chainwatch.support.counters import CALLS, REFUSALS
from chainwatch.support.redaction import NOTHING_SECRET, Redactor
from chainwatch.support.supervise import place_of

T = TypeVar("T")

Reader = Callable[[Call, wire.Answer], T]
"""Makes a result of a call and its answer."""

STATE_METHODS = ("eth_call", "eth_getBalance", "eth_getStorageAt", "eth_getCode")
"""Methods that read the state of a block."""

NULLABLE = ("eth_getTransactionByHash", "eth_getTransactionByBlockHashAndIndex")
"""Methods of which a null is an answer: the node does not know the transaction."""

SINGLES = 16
"""Calls in flight at once where an endpoint takes no batches."""

BATCHES_AGAIN = 600.0
"""Seconds after which an endpoint that failed at batches is tried with one again."""

MESSAGE_LENGTH = 300
"""Characters of a node's error text that are kept."""

AWAY = (502, 503, 504)
"""HTTP statuses of a node that cannot answer anything now."""


class JsonRpc:
    """The calls to one endpoint. Every method raises `RpcError`; times are in seconds."""

    def __init__(
        self,
        transport: Transport,
        timeout: float,
        redact: Redactor = NOTHING_SECRET,
        on_result: Callable[[], None] | None = None,
    ) -> None:
        """``on_result`` is called for each result."""
        self.name = transport.name
        self._network = network_of(transport.name)
        self._transport = transport
        self._timeout = timeout
        self._redact = redact
        self._on_result = on_result
        self._ids = itertools.count(1)
        self._batches_from = 0.0

    async def call(self, call: Call, seconds: float | None = None) -> msgspec.Raw:
        """Return the unparsed result of ``call``.

        A null is `MalformedAnswer`, or `NotThere` where a block or its state was asked for, but for `NULLABLE` methods.
        """
        return self.result(call, self.parse(wire.parse_answer, await self.exchange(call, seconds)))

    async def call_all(self, calls: Sequence[Call], seconds: float | None = None) -> list[msgspec.Raw]:
        """Return the results of ``calls`` in their order, by JSON-RPC batches where the endpoint takes them.

        Raises the first `NodeError` too.
        """
        return await self._collect(calls, self.result, seconds)

    async def call_each(
        self, calls: Sequence[Call], seconds: float | None = None
    ) -> list[msgspec.Raw | NodeError]:
        """Return the same, with the error in place of the result of a call that the node refused."""
        return await self._collect(calls, self._outcome, seconds)

    async def exchange(self, call: Call, seconds: float | None = None) -> bytes:
        """Return the unparsed answer to ``call``."""
        return await self._exchange_all({next(self._ids): call}, seconds)

    def result(self, call: Call, answer: wire.Answer) -> msgspec.Raw:
        """Return the result that ``answer`` holds. Raises the error that it holds, or that it is."""
        if answer.error is not None:
            raise self._error(call, answer.error)
        if answer.result is msgspec.UNSET:
            raise MalformedAnswer(self.name, f"neither a result nor an error to {call.method}")
        is_null = len(memoryview(answer.result)) == len(_NULL) and bytes(answer.result) == _NULL
        if is_null and call.method not in NULLABLE:
            if call.method.startswith("eth_getBlock"):
                raise NotThere(self.name, f"{call.method}: block {call.params[0]} is not known")
            if call.method in STATE_METHODS:
                raise NotThere(self.name, f"a null result to {call.method}: the block's state is not known")
            raise MalformedAnswer(self.name, f"a null result to {call.method}")
        if self._on_result is not None:
            self._on_result()
        return answer.result

    @property
    def batch(self) -> int:
        """The most calls that are made together now, whether as a batch or side by side."""
        return self._transport.largest_batch if self._batching else BATCH

    @property
    def _batching(self) -> bool:
        able = asyncio.get_running_loop().time() >= self._batches_from
        return able and self._transport.largest_batch > 1

    async def _collect(self, calls: Sequence[Call], read: Reader[T], seconds: float | None) -> list[T]:
        results: list[T] = []
        with too_big(self.name), INTAKE.share(self.name) as share:
            while len(results) < len(calls):
                results += await self._call_some(calls[len(results) :][: self.batch], read, seconds, share)
        return results

    async def _call_some(
        self, calls: Sequence[Call], read: Reader[T], seconds: float | None, share: Share
    ) -> list[T]:
        if len(calls) == 1 or not self._batching:
            return await self._call_singly(calls, read, seconds, share)
        results = await self._call_batch(calls, read, seconds, share)
        if results is None:
            results = await self._call_singly(calls[:1], read, seconds, share)  # before all: does it answer?
            results += await self._call_singly(calls[1:], read, seconds, share)
            if not _all_refused(results):  # it is the batch that it would not take
                self._batches_from = asyncio.get_running_loop().time() + BATCHES_AGAIN
        return results

    async def _call_singly(
        self, calls: Sequence[Call], read: Reader[T], seconds: float | None, share: Share
    ) -> list[T]:
        results: list[T] = []
        for start in range(0, len(calls), SINGLES):
            results += await _all_or_error(
                [self._call_one(call, read, seconds, share) for call in calls[start : start + SINGLES]]
            )
        return results

    async def _call_one(self, call: Call, read: Reader[T], seconds: float | None, share: Share) -> T:
        data = await self.exchange(call, seconds)
        share.take(len(data))
        return read(call, self.parse(wire.parse_answer, data))

    async def _call_batch(
        self, calls: Sequence[Call], read: Reader[T], seconds: float | None, share: Share
    ) -> list[T] | None:
        """Return the results of ``calls``; None where the endpoint may answer them one by one."""
        by_id = {next(self._ids): call for call in calls}
        try:
            data = await self._exchange_all(by_id, seconds)
            results = self._batch_results(by_id, read, data)
        except (MalformedAnswer, HttpStatusError, NodeError, TransportError) as error:
            if isinstance(error, RpcTimeout) or (isinstance(error, HttpStatusError) and error.status in AWAY):
                raise
            return None
        share.take(len(data))
        return None if _all_refused(results) else results

    def _batch_results(self, by_id: Mapping[int, Call], read: Reader[T], data: bytes) -> list[T]:
        answers = self.parse(wire.parse_answers, data)
        if not isinstance(answers, list):
            self.result(Call("batch"), answers)
            raise MalformedAnswer(self.name, "one answer to a batch of calls")
        answered = {answer.id: answer for answer in answers}
        if len(answers) != len(by_id) or answered.keys() != by_id.keys():
            raise MalformedAnswer(
                self.name, f"{len(answered)} fitting answers to a batch of {len(by_id)} calls"
            )
        return [read(call, answered[id]) for id, call in by_id.items()]

    async def _exchange_all(self, by_id: Mapping[int, Call], seconds: float | None = None) -> bytes:
        """Return the unparsed answer to one call, or to a batch of them, by their ids."""
        body = wire.request_body(list(by_id.items()))
        outcome = "answered"
        try:
            data = await self._transport.exchange(body, min(by_id), seconds or self._timeout, len(by_id))
        except (RpcError, asyncio.CancelledError) as error:
            outcome = _outcome_of(error)
            raise
        finally:
            for call in by_id.values():
                CALLS[self._network, call.method, outcome] += 1
        if is_crumbled(data):
            raise MalformedAnswer(self.name, f"an answer of {len(data)} bytes in tiny pieces")
        return data

    def _outcome(self, call: Call, answer: wire.Answer) -> msgspec.Raw | NodeError:
        try:
            return self.result(call, answer)
        except NodeError as error:
            return bare(error)

    def _error(self, call: Call, answered: wire.WireError | str) -> RpcError:
        REFUSALS[self._network, call.method] += 1
        error = answered if isinstance(answered, wire.WireError) else wire.WireError(message=answered)
        message = self._safe(error.message)
        # first, as a contract may give any text as its reason
        if call.method == "eth_call" and limits.execution_failed(error.code, message):
            return ExecutionFailed(self.name, error.code, message, wire.revert_data(error.data))
        if limits.unknown_block(message) or (
            call.method in STATE_METHODS and limits.unknown_state(error.code, message)
        ):
            return NotThere(self.name, message)
        if limits.rate_limited(error.code, message) and limits.range_hint(error.code, message) is None:
            return RateLimited(self.name, message)
        return NodeError(self.name, call.method, error.code, message)

    def parse(self, parse: Callable[[Any], T], data: Any) -> T:
        """Return what ``parse`` makes of ``data``. Raises `MalformedAnswer` for whatever it raises."""
        try:
            return parse(data)
        except ValueError as error:
            raise MalformedAnswer(self.name, f"malformed answer: {self._safe(str(error))}") from None
        except Exception as error:  # noqa: BLE001 - foreign data: whatever a parser raises on it, it is malformed
            raise MalformedAnswer(
                self.name, f"malformed answer: {type(error).__name__}{place_of(error)}"
            ) from None

    def _safe(self, text: str) -> str:
        # so long that no part of a secret at its end is left when every secret before it has become shorter
        return self._redact(text[: MESSAGE_LENGTH * (1 + self._redact.longest)])[:MESSAGE_LENGTH]


_NULL = b"null"


def _outcome_of(error: BaseException) -> str:
    """Return the outcome of calls that were not answered, as `CALLS` names it."""
    match error:
        case asyncio.CancelledError():
            return "cancelled"
        case RpcTimeout():
            return "timeout"
        case RateLimited():
            return "limited"
    return "failed"


def _all_refused(results: Sequence[object]) -> bool:
    """Return whether the node refused every call, none of them for what a contract did."""
    return all(isinstance(r, NodeError) and not isinstance(r, ExecutionFailed) for r in results)


async def _all_or_error(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of all; none is left running when one fails."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
