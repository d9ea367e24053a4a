"""One endpoint: each bad answer is a typed error, and none of them shows a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chainwatch.chain import errors, rpc
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import BATCH
from chainwatch.chain.wire import Call, LogFilter
from chainwatch.support.redaction import Redactor
from tests.fakenode import FakeChain, FakeLog

ADDRESS = b"\xaa" * 20
WANTED = LogFilter((ADDRESS,))

Answer = Callable[[Any], bytes | Exception]


class ScriptedTransport:
    """Answers with what each of ``answers`` makes of the request; the last one for ever."""

    name = "net[0] node.example"

    def __init__(self, *answers: Answer, batches: bool = True) -> None:
        self.largest_batch = BATCH if batches else 1
        self.sent: list[Any] = []
        self._answers = list(answers)

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        asked = msgspec.json.decode(body)
        self.sent.append(asked)
        answer = (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer


def endpoint(*answers: Answer, **settings: Any) -> Endpoint:
    return Endpoint(ScriptedTransport(*answers, **settings), 1.0, Redactor(["SECRETKEY"]))


def text(body: str) -> Answer:
    return lambda asked: body.encode()


def result(value: Any) -> Answer:
    return lambda asked: msgspec.json.encode({"jsonrpc": "2.0", "id": asked["id"], "result": value})


def error(code: int, message: str) -> Answer:
    return lambda asked: msgspec.json.encode({"id": None, "error": {"code": code, "message": message}})


def fail(what: Exception) -> Answer:
    return lambda asked: what


def from_chain(chain: FakeChain) -> Answer:
    answers: dict[str, Callable[[Any], Any]] = {
        "eth_getBlockByNumber": lambda p: chain.block(p[0]),
        "eth_getBlockByHash": lambda p: chain.block_by_hash(p[0]),
        "eth_getLogs": lambda p: chain.logs(p[0]),
    }

    def answer(asked: Any) -> bytes:
        if isinstance(asked, list):
            return b"[" + b",".join(answer(call) for call in reversed(asked)) + b"]"
        value = answers[asked["method"]](asked["params"])
        return msgspec.json.encode({"id": asked["id"], "result": value})

    return answer


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "<html>502</html>",
        '{"id":1,"result":',
        '{"id":1,"result":null}',
        '{"id":1,"result":"12"}',
        "null",
    ],
)
async def test_what_is_no_answer_is_malformed_S1(body: str) -> None:
    with pytest.raises(errors.MalformedAnswer):
        await endpoint(text(body)).chain_id()


@pytest.mark.parametrize("answered", ["null", "{}", '"0x"', "[null]", "[{}]"])
async def test_what_is_no_list_of_logs_is_never_no_logs_S1(answered: str) -> None:
    with pytest.raises(errors.MalformedAnswer):
        await endpoint(text(f'{{"id":1,"result":{answered}}}')).logs(WANTED, 1, 2)


async def test_logs_beside_an_error_are_no_logs_S1() -> None:
    with pytest.raises(errors.NodeError, match="half of it"):
        await endpoint(text('{"result":[],"error":{"code":-32000,"message":"half of it"}}')).logs(
            WANTED, 1, 2
        )
    assert await endpoint(text('{"id":1,"error":null,"result":[]}')).logs(WANTED, 1, 2) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(-32000, "unknown block"), errors.NotThere),
        (error(-32601, "the method does not exist"), errors.NodeError),
        (error(429, "slow down"), errors.RateLimited),
        (error(-32005, "daily request count exceeded"), errors.RateLimited),
        (fail(errors.HttpStatusError("x", 503)), errors.HttpStatusError),
        (text('{"id":1,"error":"plain words"}'), errors.NodeError),
    ],
)
async def test_an_error_has_the_type_of_its_meaning(answer: Answer, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        await endpoint(answer).head()


async def test_a_null_block_is_one_that_the_node_does_not_have() -> None:
    with pytest.raises(errors.NotThere):
        await endpoint(result(None)).headers([5])


async def test_another_block_than_the_asked_is_malformed() -> None:
    with pytest.raises(errors.MalformedAnswer, match="block 0 was answered when 5"):
        await endpoint(result(FakeChain().block("0x0"))).headers([5])


async def test_a_key_in_a_nodes_words_is_struck_out_S9() -> None:
    with pytest.raises(errors.NodeError) as caught:
        await endpoint(error(-32000, "project SECRETKEY is over its plan")).chain_id()
    assert "SECRETKEY" not in repr(caught.value)
    assert "project *** is" in str(caught.value)


@pytest.mark.parametrize(
    "refusal",
    [
        error(-32602, "invalid params"),
        error(-32000, "block range is too wide (maximum 5)"),
        fail(errors.AnswerTooBig("x", "big")),
        fail(errors.HttpStatusError("x", 413)),
        fail(errors.RpcTimeout("x", "slow")),
    ],
)
async def test_every_way_to_say_too_much_is_a_range_too_wide(refusal: Answer) -> None:
    with pytest.raises(errors.RangeTooWide):
        await endpoint(refusal).logs(WANTED, 1, 100)


async def test_a_limit_of_an_endpoint_is_learned_and_only_gets_smaller() -> None:
    node = endpoint(
        error(-32000, "max range: 50"), error(-32000, "max range: 20"), error(-32000, "max range: 30")
    )
    for blocks, limit in ((100, 50), (40, 20), (20, 20)):
        with pytest.raises(errors.RangeTooWide):
            await node.logs(WANTED, 1, blocks)
        assert node.max_range == limit
    sent = len(node.rpc._transport.sent)  # type: ignore[attr-defined]  # the scripted one
    with pytest.raises(errors.RangeTooWide) as caught:
        await node.logs(WANTED, 1, 21)
    assert caught.value.blocks == 20
    assert len(node.rpc._transport.sent) == sent, "it is not asked what it will refuse"  # type: ignore[attr-defined]


async def test_exactly_a_thousand_logs_are_asked_again_in_smaller_pieces_S1() -> None:
    chain = FakeChain()
    chain.mine(*[FakeLog(ADDRESS)] * 999)
    chain.mine(FakeLog(ADDRESS))
    node = endpoint(from_chain(chain))
    with pytest.raises(errors.RangeTooWide):
        await node.logs(WANTED, 1, 2)
    assert len(await node.logs(WANTED, 1, 1)) == 999


async def test_without_addresses_nobody_is_asked_for_everything() -> None:
    node = endpoint(fail(AssertionError("asked")))
    assert await node.logs(LogFilter(()), 1, 100) == []


async def test_answers_of_a_batch_are_sorted_by_their_ids() -> None:
    chain = FakeChain()
    chain.mine(count=70)
    headers = await endpoint(from_chain(chain)).headers(range(71))
    assert [header.number for header in headers] == list(range(71))


async def test_an_endpoint_that_fails_at_batches_is_asked_singly_from_then_on() -> None:
    chain = FakeChain()
    chain.mine(count=5)
    good = from_chain(chain)
    node = endpoint(lambda asked: error(-32600, "no")(asked) if isinstance(asked, list) else good(asked))
    for _ in range(2):
        assert len(await node.headers([1, 2, 3])) == 3
    sent = node.rpc._transport.sent  # type: ignore[attr-defined]  # the scripted one
    assert [isinstance(asked, list) for asked in sent] == [True] + [False] * 6


@pytest.mark.parametrize(
    "change", [lambda answers: answers[:-1], lambda answers: [*answers[:-1], answers[0]]]
)
async def test_a_batch_with_a_hole_or_a_double_is_asked_singly_S1(
    change: Callable[[list[Any]], list[Any]],
) -> None:
    chain = FakeChain()
    chain.mine(count=5)
    good = from_chain(chain)

    def answer(asked: Any) -> bytes:
        body = good(asked)
        assert isinstance(body, bytes)
        return msgspec.json.encode(change(msgspec.json.decode(body))) if isinstance(asked, list) else body

    assert [header.number for header in await endpoint(answer).headers([1, 2, 3])] == [1, 2, 3]


async def test_one_failed_call_leaves_no_other_running() -> None:
    node = endpoint(fail(errors.TransportError("x", "gone")), batches=False)
    with pytest.raises(errors.TransportError):
        await node.rpc.call_all([Call("a"), Call("b"), Call("c")])
    assert len(asyncio.all_tasks()) == 1


async def test_logs_by_hash_are_only_believed_with_a_proof_that_the_block_is_there_S1() -> None:
    chain = FakeChain()
    chain.mine(FakeLog(ADDRESS))
    good = from_chain(chain)
    (header,) = await endpoint(good).headers([1])
    assert len(await endpoint(good).logs_of(WANTED, [header])) == 1

    def without_block(asked: Any) -> bytes:
        empty: dict[str, Any] = {"eth_getLogs": [], "eth_getBlockByHash": None}
        return msgspec.json.encode([{"id": call["id"], "result": empty[call["method"]]} for call in asked])

    with pytest.raises(errors.NotThere):
        await endpoint(without_block).logs_of(WANTED, [header])

    other = chain.mine()

    def with_another_block(asked: Any) -> bytes:
        found: dict[str, Any] = {"eth_getLogs": [], "eth_getBlockByHash": other.to_json()}
        return msgspec.json.encode([{"id": call["id"], "result": found[call["method"]]} for call in asked])

    with pytest.raises(errors.MalformedAnswer, match="another block was answered"):
        await endpoint(with_another_block).logs_of(WANTED, [header])


@pytest.mark.parametrize("by_hash", [True, False])
async def test_logs_of_another_fork_are_not_those_of_the_block_S1(by_hash: bool) -> None:
    chain = FakeChain()
    chain.mine(FakeLog(ADDRESS))
    good = from_chain(chain)
    (header,) = await endpoint(good).headers([1])

    def answer(asked: Any) -> bytes:
        if not by_hash and isinstance(asked, list):
            refusal = {"code": -32601, "message": "no block hashes here"}
            return msgspec.json.encode([{"id": call["id"], "error": refusal} for call in asked])
        if not by_hash and "blockHash" in str(asked["params"]):
            return msgspec.json.encode({"id": asked["id"], "error": {"code": -32601, "message": "nor here"}})
        body = good(asked)
        assert isinstance(body, bytes)
        return body.replace(b'"blockHash":"0x' + header.hash.hex().encode(), b'"blockHash":"0x' + b"77" * 32)

    with pytest.raises(errors.NotThere, match="another fork"):
        await endpoint(answer).logs_of(WANTED, [header])


async def test_one_odd_limit_does_not_make_every_page_small_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = FakeChain()
    chain.mine(count=8)
    node = endpoint(error(-32005, "block range is limited to 1"), from_chain(chain))
    with pytest.raises(errors.RangeTooWide):
        await node.logs(WANTED, 1, 8)
    with pytest.raises(errors.RangeTooWide, match="over the known limit"):
        await node.logs(WANTED, 1, 2)
    monkeypatch.setattr(rpc, "RANGES_AGAIN", 0.0)
    assert await node.logs(WANTED, 1, 2) == []
    assert await node.logs(WANTED, 1, 4) == []
