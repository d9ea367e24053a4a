"""JSON-RPC calls to one endpoint, one by one or in batches: unparsed results out, or a typed error."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from chainwatch.chain import limits, wire
from chainwatch.chain.errors import (
    HttpStatusError,
    MalformedAnswer,
    NodeError,
    NotThere,
    RateLimited,
    RpcTimeout,
    TransportError,
)
from chainwatch.chain.intake import INTAKE, Share, is_crumbled
from chainwatch.chain.transport import BATCH, Transport, too_big
from chainwatch.chain.wire import Call
from chainwatch.support.redaction import NOTHING_SECRET, Redactor
from chainwatch.support.supervise import place_of

T = TypeVar("T")

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

    def __init__(self, transport: Transport, timeout: float, redact: Redactor = NOTHING_SECRET) -> None:
        self.name = transport.name
        self._transport = transport
        self._timeout = timeout
        self._redact = redact
        self._ids = itertools.count(1)
        self._batches_from = 0.0

    async def call(self, call: Call, seconds: float | None = None) -> msgspec.Raw:
        """The result of one call, unparsed; a null result is `MalformedAnswer`."""
        return self.result(call, self.parse(wire.parse_answer, await self.exchange(call, seconds)))

    async def call_all(self, calls: Sequence[Call], seconds: float | None = None) -> list[msgspec.Raw]:
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
        data = await self.exchange(call, seconds)
        share.take(len(data))
        return self.result(call, self.parse(wire.parse_answer, data))

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
        answers = self.parse(wire.parse_answers, data)
        if not isinstance(answers, list):
            self.result(Call("batch"), answers)
            raise MalformedAnswer(self.name, "one answer to a batch of calls")
        by_id = {answer.id: answer for answer in answers}
        if len(answers) != len(asked) or by_id.keys() != asked.keys():
            raise MalformedAnswer(self.name, f"{len(by_id)} fitting answers to a batch of {len(asked)} calls")
        return [self.result(call, by_id[id]) for id, call in asked.items()]

    async def exchange(self, call: Call, seconds: float | None = None) -> bytes:
        return await self._exchange_all({next(self._ids): call}, seconds)

    async def _exchange_all(self, asked: Mapping[int, Call], seconds: float | None = None) -> bytes:
        """The answer to one call, or to a batch of them, by their ids."""
        body = wire.request_body(list(asked.items()))
        data = await self._transport.exchange(body, min(asked), seconds or self._timeout, len(asked))
        if is_crumbled(data):
            raise MalformedAnswer(self.name, f"an answer of {len(data)} bytes in tiny pieces")
        return data

    def result(self, call: Call, answer: wire.Answer) -> msgspec.Raw:
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

    def parse(self, parse: Callable[[Any], T], data: Any) -> T:
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


async def _all_or_error(questions: Sequence[Coroutine[Any, Any, msgspec.Raw]]) -> list[msgspec.Raw]:
    """The results of all, none left running when one fails."""
    tasks = [asyncio.create_task(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
