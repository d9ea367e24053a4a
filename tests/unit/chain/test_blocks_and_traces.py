"""Whole blocks and traces in the forms that nodes give them, and whatever else they may answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from chainwatch.chain.blocks import SentTransaction, WholeBlock, read_blocks
from chainwatch.chain.errors import AnswerTooBig, MalformedAnswer, NotThere
from chainwatch.chain.traces import read_calls, read_touched
from chainwatch.chain.wire import Call
from chainwatch.model import Header

T = TypeVar("T")
ALICE, BOB, CAROL = (bytes([number]) * 20 for number in (1, 2, 3))
HASHES = [bytes([number]) * 32 for number in range(10)]
Answer = Callable[[Call], Any]


class Rpc:
    """One endpoint's JSON-RPC: ``answer`` gives the result of a call, and may raise."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def call(self, call: Call) -> bytes:
        self.asked.append(call.method)
        answer = self.answer(call)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def parse(self, parse: Callable[[bytes], T], data: bytes) -> T:
        try:
            return parse(data)
        except ValueError as error:
            raise MalformedAnswer("alpha[0]", str(error)) from error

    async def call_all(self, calls: Sequence[Call]) -> list[bytes]:
        if len(calls) > 2:
            raise AnswerTooBig("alpha[0]", "the answer is too large")
        return [await self.call(call) for call in calls]


class Pool:
    """A network with one endpoint."""

    def __init__(self, answer: Answer) -> None:
        self.name, self.rpc = "alpha[0]", Rpc(answer)

    async def ask_agreeing(self, read: Callable[[Any], Awaitable[T]]) -> T:
        return await read(self)


def shown(value: bytes) -> str:
    return "0x" + value.hex()


def block(number: int, **keys: Any) -> dict[str, Any]:
    return {
        "number": hex(number),
        "hash": shown(HASHES[number]),
        "parentHash": shown(HASHES[number - 1]),
        "timestamp": hex(1_000 + number),
        "transactions": [],
        **keys,
    }


WHOLE = WholeBlock(
    Header(1, HASHES[1], HASHES[0], 1_001), (SentTransaction(HASHES[7], ALICE, BOB, 5, 0),) * 2, ()
)


async def test_blocks_come_with_transactions_deposits_and_payouts_however_large() -> None:
    sent = {"hash": shown(HASHES[9]), "from": shown(ALICE), "to": shown(BOB), "value": "0x5", "input": "0x"}
    deposit = {**sent, "mint": "0x7", "to": None, "type": "0x7e"}
    payout = {"index": "0x1", "validatorIndex": "0x1", "address": shown(CAROL), "amount": "0x2"}
    made = block(2, transactions=[sent, deposit], withdrawals=[payout])
    pool: Any = Pool(lambda call: made if call.params == ("0x2", True) else block(int(call.params[0], 16)))
    found = await read_blocks(pool, 1, 6, HASHES[6])
    assert [one.header.number for one in found] == [1, 2, 3, 4, 5, 6]
    assert found[1].transactions == (
        SentTransaction(HASHES[9], ALICE, BOB, 5, 0),
        SentTransaction(HASHES[9], ALICE, None, 5, 7),
    )
    assert found[1].paid_out == ((CAROL, 2 * 10**9),)


async def test_blocks_of_another_fork_are_not_there_and_others_malformed() -> None:
    pool: Any = Pool(lambda call: block(int(call.params[0], 16)))
    with pytest.raises(NotThere):
        await read_blocks(pool, 1, 2, HASHES[9])
    broken: Any = Pool(lambda call: block(int(call.params[0], 16), parentHash=shown(HASHES[9])))
    with pytest.raises(NotThere):
        await read_blocks(broken, 1, 2, HASHES[2])
    other: Any = Pool(lambda _: block(3))
    headless = {key: value for key, value in block(1).items() if key != "transactions"}
    for answer in (lambda _: None, lambda _: block(1, transactions=[shown(HASHES[1])]), lambda _: headless):
        with pytest.raises(MalformedAnswer):
            await read_blocks(Pool(answer), 1, 1, None)  # type: ignore[arg-type]
    with pytest.raises(MalformedAnswer):
        await read_blocks(other, 1, 1, None)


async def test_what_a_block_touches_in_the_forms_of_nodes_by_transactions_if_it_is_too_large() -> None:
    first = {
        "pre": {
            shown(ALICE): {"balance": "0x5", "nonce": 1},
            shown(CAROL): {"balance": "0x1", "code": "0xff"},
        },
        "post": {shown(ALICE): {"balance": "0x4", "nonce": 2}},
    }
    second = {"pre": {shown(BOB): {"balance": "0x5"}}, "post": {shown(BOB): {"storage": {"0x0": "0x1"}}}}
    whole = [{"txHash": shown(HASHES[7]), "result": first}, {"result": second}]
    pool: Any = Pool(lambda _: whole)
    assert await read_touched(pool, WHOLE) == {ALICE, CAROL}

    with pytest.raises(MalformedAnswer, match="no trace"):
        await read_touched(Pool(lambda _: []), WHOLE)  # type: ignore[arg-type]

    def too_large(call: Call) -> Any:
        if call.method == "debug_traceBlockByHash":
            raise AnswerTooBig("alpha[0]", "the answer is too large")
        return first

    large: Any = Pool(too_large)
    assert await read_touched(large, WHOLE) == {ALICE, CAROL}
    assert large.rpc.asked == ["debug_traceBlockByHash", *["debug_traceTransaction"] * 2]


async def test_calls_of_a_contract_are_found_at_any_depth_but_for_those_that_failed() -> None:
    def call(to: bytes, data: str, *calls: Any, **keys: Any) -> dict[str, Any]:
        return {"type": "CALL", "to": shown(to), "input": data, "calls": list(calls), **keys}

    made = call(
        ALICE,
        "0x01",
        call(BOB, "0x02", call(CAROL, "0x03")),
        call(ALICE, "0x04", call(CAROL, "0x05"), error="execution reverted"),
        {"type": "CREATE", "input": "0x06"},
        call(CAROL, "0x07"),
    )
    pool: Any = Pool(lambda _: made)
    assert await read_calls(pool, HASHES[1], CAROL) == [b"\3", b"\7"]


async def test_calls_that_are_nested_too_deep_are_malformed() -> None:
    deep = b'{"calls":[' * 10_000 + b"]}" * 10_000
    pool: Any = Pool(lambda _: deep)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)  # as in `chainwatch run`: other tests' libraries raise it
    try:
        with pytest.raises(MalformedAnswer):
            await read_calls(pool, HASHES[1], CAROL)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "answer",
    [None, 1, "0x", [], {}, [{}], {"to": 5}, {"to": "0x12"}, [{"result": {"pre": 1}}], {"calls": [1]}],
)
async def test_any_other_answer_is_malformed_or_says_nothing(answer: Any) -> None:
    pool: Any = Pool(lambda _: answer)
    for read in (read_touched(pool, WHOLE), read_calls(pool, HASHES[1], CAROL)):
        with suppress(MalformedAnswer):
            assert not await read
