"""State at a named block: every answer is a value, a revert or a typed error, whatever the node's dialect."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from chainwatch.chain import errors, state
from chainwatch.chain.gas_probe import Probe
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.state import (
    Balance,
    Code,
    ContractCall,
    Outcome,
    Read,
    Reverted,
    Storage,
    Unread,
    read_state,
)
from chainwatch.model import Header
from tests.fakenode import FakeChain, FakeNode
from tests.fakenode.chain import MULTICALL, FakeBlock
from tests.support import observing
from tests.support.observing import open_pool

network_settings = partial(observing.network_settings, multicall="")  # each read is a call of its own
ADDRESS = b"\xaa" * 20
CALL = ContractCall(ADDRESS, b"\x18\x16\x0d\xdd")
REVERTING = ContractCall(ADDRESS, bytes.fromhex("08c379a0"))
READS: list[Read] = [CALL, Balance(ADDRESS), Storage(ADDRESS, 7), Code(ADDRESS)]


def header(chain: FakeChain, number: int) -> Header:
    block = chain.blocks[number]
    named = bytes.fromhex(block.hash[2:])
    return Header(block.number, named, bytes.fromhex(block.parent_hash[2:]), block.timestamp)


def expected(chain: FakeChain, number: int) -> list[Outcome]:
    at, address = hex(number), "0x" + ADDRESS.hex()
    return [
        bytes.fromhex(chain.state("eth_call", [{"to": address, "data": "0x18160ddd"}, at])[2:]),
        int(chain.state("eth_getBalance", [address, at]), 16),
        bytes.fromhex(chain.state("eth_getStorageAt", [address, "0x7", at])[2:]),
        bytes.fromhex(chain.state("eth_getCode", [address, at])[2:]),
    ]


@pytest.fixture
def chain() -> FakeChain:
    chain = FakeChain()
    chain.mine(count=20)
    return chain


async def read(chain: FakeChain, node: FakeNode, reads: list[Read], number: int = 9) -> list[Outcome]:
    async with open_pool(network_settings(node.http_url)) as pool:
        return await read_state(pool, header(chain, number), reads)


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("by_hash", [True, False])
async def test_each_read_has_its_value_at_that_block(chain: FakeChain, batches: bool, by_hash: bool) -> None:
    async with FakeNode(chain) as node:
        node.batches, node.state_by_hash = batches, by_hash
        assert await read(chain, node, READS) == expected(chain, 9)
        assert await read(chain, node, READS[1:2], 4) == expected(chain, 4)[1:2]
        assert await read(chain, node, []) == []


async def test_many_reads_take_few_requests(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.posts = 0
        values = await read_state(pool, header(chain, 9), [Storage(ADDRESS, slot) for slot in range(200)])
        assert node.posts == 4
        assert len(set(values)) == 200


async def test_what_an_endpoint_cannot_do_is_remembered(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.batches = node.state_by_hash = False
        await read_state(pool, header(chain, 9), READS)
        node.posts = 0
        assert await read_state(pool, header(chain, 9), READS) == expected(chain, 9)
        assert node.posts == len(READS) + 2, "one by one by number, with the block's hash before and after"


async def test_a_revert_is_a_result_among_others_and_no_failure_of_the_endpoint(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.posts = 0
        assert await read_state(pool, header(chain, 9), [CALL, REVERTING, Balance(ADDRESS)]) == [
            expected(chain, 9)[0],
            Reverted(bytes.fromhex("08c379a0"), ""),
            expected(chain, 9)[1],
        ]
        assert await read_state(pool, header(chain, 9), [REVERTING]) == [Reverted(REVERTING.data, "")]
        assert await read_state(pool, header(chain, 9), [REVERTING] * 3) == [Reverted(REVERTING.data, "")] * 3
        assert node.posts == 3
        (status,) = pool.endpoints
        assert (status.state, status.errors) == ("ok", 0)


DATA = "0x" + "ab" * 36
EXECUTION: dict[str, tuple[Any, bytes]] = {
    "geth": ({"code": 3, "message": "execution reverted: no", "data": DATA}, b"\xab" * 36),
    "geth without a reason": ({"code": -32000, "message": "execution reverted"}, b""),
    "besu": ({"code": -32000, "message": "Execution reverted", "data": DATA}, b"\xab" * 36),
    "nethermind": (
        {"code": -32015, "message": "VM execution error.", "data": f"Reverted {DATA}"},
        b"\xab" * 36,
    ),
    "hardhat": (
        {
            "code": -32603,
            "message": "Error: VM Exception while processing transaction: reverted with no reason",
            "data": {"data": DATA},
        },
        b"\xab" * 36,
    ),
    "no gas left": ({"code": -32000, "message": "out of gas"}, b""),
    "no gas left in reth": ({"code": -32003, "message": "out of gas: gas required exceeds: 100"}, b""),
    "no gas left in anvil": ({"code": -32003, "message": "EVM error OutOfGas"}, b""),
    "no gas left for memory in anvil": ({"code": -32603, "message": "EVM error MemoryOOG"}, b""),
    "Filecoin": ({"code": 11, "message": "message execution failed (exit=[33], revert reason=[none])"}, b""),
    "no such opcode": ({"code": -32000, "message": "invalid opcode: INVALID"}, b""),
    "a stack that is empty": ({"code": -32000, "message": "stack underflow (0 <=> 1)"}, b""),
    "a reason that speaks of a limit": (
        {"code": 3, "message": "execution reverted: rate limit exceeded"},
        b"",
    ),
    "the same with another code": ({"code": -32000, "message": "execution reverted: too many requests"}, b""),
    "a reason that speaks of a block": ({"code": 3, "message": "execution reverted: unknown block"}, b""),
    "data that is none": ({"code": 3, "message": "execution reverted", "data": "0xabc"}, b""),
    "data of another kind": ({"code": 3, "message": "execution reverted", "data": [[1]]}, b""),
    "an object without data": ({"code": 3, "message": "execution reverted", "data": {"a": 1}}, b""),
}


@pytest.mark.parametrize("name", EXECUTION)
async def test_a_failed_execution_is_recognized_in_every_dialect(chain: FakeChain, name: str) -> None:
    error, data = EXECUTION[name]
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.fail("eth_call", "error", error)
        outcomes = await read_state(pool, header(chain, 9), [CALL, Balance(ADDRESS)])
        assert outcomes == [Reverted(data, ""), expected(chain, 9)[1]]
        assert isinstance(outcomes[0], Reverted)
        assert outcomes[0].message == error["message"]
        assert pool.endpoints[0].errors == 0


UNKNOWN = (
    {"code": -32000, "message": "header for hash not found"},
    {"code": -32000, "message": "hash 0xab is not currently canonical"},
    {"code": -32000, "message": "missing trie node 0xab (path ) state 0xcd is not available"},
    {"code": -32000, "message": "required historical state unavailable (reexec=128)"},
    {"code": -32001, "message": "0xab could not be found"},
    {"code": -32002, "message": "No state available for block 9"},
    {"code": -32002, "message": "World state unavailable"},
    {"code": -39001, "message": "Unknown block"},
    {"code": 4444, "message": "pruned history unavailable"},
    {"code": -32000, "message": "state at block #9 is pruned"},
    {"code": -32000, "message": "old data not available due to pruning"},
    {"code": -32000, "message": "archive requests need another plan"},
)


@pytest.mark.parametrize("error", UNKNOWN, ids=[str(e["message"]) for e in UNKNOWN])
async def test_an_endpoint_without_the_block_is_no_reason_to_leave_it(chain: FakeChain, error: Any) -> None:
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.fail("eth_call", "error", error, times=None)
        with pytest.raises(errors.NotThere):
            await read_state(pool, header(chain, 9), [CALL, Balance(ADDRESS)])
        assert pool.endpoints[0].state == "ok"
        async with FakeNode(chain) as archive:
            both = network_settings(node.http_url, archive.http_url)
            async with open_pool(both) as pool_of_both:
                outcomes = await read_state(pool_of_both, header(chain, 9), READS)
                assert outcomes == expected(chain, 9)


async def test_a_block_that_was_reorged_away_or_is_yet_to_come_is_not_there(chain: FakeChain) -> None:
    for by_hash in (True, False):
        old, other = header(chain, 19), chain.clone()
        other.reorg(3)
        other.mine()
        async with FakeNode(other) as node, open_pool(network_settings(node.http_url)) as pool:
            node.state_by_hash = by_hash
            with pytest.raises(errors.NotThere):
                await read_state(pool, old, READS)
            node.lag = 5
            with pytest.raises(errors.NotThere):
                await read_state(pool, header(other, 19), READS)


async def test_a_block_that_is_replaced_while_it_is_read_by_number_gives_nothing(chain: FakeChain) -> None:
    old = header(chain, 19)

    class Reorging(FakeNode):
        def _result(self, method: str, params: list[Any]) -> Any:
            if method == "eth_getBalance":
                self.chain.reorg(3)
            return super()._result(method, params)

    async with Reorging(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.state_by_hash = False
        with pytest.raises(errors.NotThere, match="another block 19"):
            await read_state(pool, old, [Balance(ADDRESS)])


WRONG: dict[str, tuple[Read, Any]] = {
    "a number": (CALL, 12),
    "a null in a list": (CALL, [None]),
    "an object": (CALL, {"data": "0x12"}),
    "odd digits": (CALL, "0xabc"),
    "no digits": (CALL, "0xzz"),
    "digits of another script": (CALL, "0x٣٣"),
    "no prefix": (CALL, "ab"),
    "a text": (CALL, ""),
    "a balance of too many bits": (Balance(ADDRESS), "0x1" + "0" * 64),
    "a balance without digits": (Balance(ADDRESS), "0x"),
    "a balance with a separator": (Balance(ADDRESS), "0x1_0"),
    "a balance in another script": (Balance(ADDRESS), "0x٣"),
    "a balance with a sign": (Balance(ADDRESS), "0x-1"),
    "a balance with a line break": (Balance(ADDRESS), "0x1\n"),
    "a balance that is a number": (Balance(ADDRESS), 7),
    "a short word": (Storage(ADDRESS, 0), "0x01"),
    "a long word": (Storage(ADDRESS, 0), "0x" + "00" * 33),
    "an empty word": (Storage(ADDRESS, 0), "0x"),
    "code that is a list": (Code(ADDRESS), []),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_value_of_another_shape_is_malformed_and_another_endpoint_is_asked(
    chain: FakeChain, name: str
) -> None:
    asked, value = WRONG[name]
    method = {
        ContractCall: "eth_call",
        Balance: "eth_getBalance",
        Storage: "eth_getStorageAt",
        Code: "eth_getCode",
    }
    async with FakeNode(chain) as node, FakeNode(chain) as honest:
        node.fail(method[type(asked)], "result", value, times=None)
        with pytest.raises(errors.MalformedAnswer):
            await read(chain, node, [asked])
        async with open_pool(network_settings(node.http_url, honest.http_url)) as pool:
            assert await read_state(pool, header(chain, 9), READS) == expected(chain, 9)


@pytest.mark.parametrize("fault", ["shuffle", "drop"])
async def test_a_batch_answered_in_another_order_or_in_part_costs_nothing(
    chain: FakeChain, fault: str
) -> None:
    async with FakeNode(chain) as node:
        node.fail("batch", fault, times=None)
        assert await read(chain, node, READS) == expected(chain, 9)


class Batching:
    """A transport whose answer to a batch is what ``answer`` makes of the right ones."""

    name = "net[0] node.example"
    largest_batch = 64

    def __init__(self, chain: FakeChain, answer: Any) -> None:
        self.requests = 0
        self._chain = chain
        self._answer = answer

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        self.requests += 1
        asked = msgspec.json.decode(body)
        if isinstance(asked, list):
            right = [self._right(call) for call in asked]
            return msgspec.json.encode(self._answer(right))
        return msgspec.json.encode(self._right(asked))

    def _right(self, call: Any) -> dict[str, Any]:
        return {"id": call["id"], "result": self._chain.state(call["method"], call["params"])}


BATCHES: dict[str, Any] = {
    "doubled": lambda right: right + right[:1],
    "one twice and one missing": lambda right: [*right[:-1], right[0]],
    "an object": lambda right: {"0": right},
    "one answer": lambda right: right[0],
    "an error": lambda right: {"id": None, "error": {"code": -32600, "message": "batches are not supported"}},
    "an error for each": lambda right: [
        {"id": r["id"], "error": {"code": -32601, "message": "no batches"}} for r in right
    ],
    "foreign ids": lambda right: [{**r, "id": r["id"] + 100} for r in right],
    "ids that are text": lambda right: [{**r, "id": str(r["id"])} for r in right],
    "nothing": lambda right: [],
    "a null": lambda right: None,
}


@pytest.mark.parametrize("name", BATCHES)
async def test_where_a_batch_fails_the_reads_go_one_by_one_from_then_on(chain: FakeChain, name: str) -> None:
    transport = Batching(chain, BATCHES[name])
    endpoint = Endpoint(transport, 1.0)
    assert await state._read(endpoint, state.Question(header(chain, 9), READS, None)) == expected(chain, 9)
    transport.requests = 0
    assert await state._read(endpoint, state.Question(header(chain, 9), READS, None)) == expected(chain, 9)
    assert transport.requests == len(READS), "the batch is not tried again"


async def test_a_read_that_one_endpoint_refuses_is_answered_by_another(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, FakeNode(chain) as other:
        node.fail("eth_call", "error", {"code": -32603, "message": "internal error"}, times=None)
        async with open_pool(network_settings(node.http_url, other.http_url)) as pool:
            assert await read_state(pool, header(chain, 9), READS) == expected(chain, 9)


async def test_a_read_that_every_endpoint_refuses_hides_no_other(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, FakeNode(chain) as other:
        for one in (node, other):
            one.fail("eth_call", "error", {"code": -32603, "message": "internal error"}, times=None)
        async with open_pool(network_settings(node.http_url, other.http_url)) as pool:
            first, *others = await read_state(pool, header(chain, 9), READS)
            assert isinstance(first, Unread)
            assert "internal error" in str(first.error)
            assert others == expected(chain, 9)[1:]
            with pytest.raises(errors.NodeError, match="internal error"):
                await read_state(pool, header(chain, 9), [CALL])


async def test_a_contract_that_returns_too_much_hides_no_other_and_makes_no_endpoint_hang(
    chain: FakeChain,
) -> None:
    class Verbose(FakeNode):
        def _result(self, method: str, params: list[Any]) -> Any:
            return "0x" + "00" * 9_000_000 if method == "eth_call" else super()._result(method, params)

    async with (
        Verbose(chain) as node,
        open_pool(network_settings(node.http_url, request_timeout="10s")) as pool,
    ):
        outcomes = await read_state(pool, header(chain, 9), [Balance(ADDRESS), CALL, Code(ADDRESS)])
        assert isinstance(outcomes[1], Unread)
        assert isinstance(outcomes[1].error, errors.AnswerTooBig)
        assert [outcomes[0], outcomes[2]] == [expected(chain, 9)[1], expected(chain, 9)[3]]
        assert pool.endpoints[0].state in ("ok", "degraded")


class WithoutBalances(FakeChain):
    """At Multicall3's address is a contract without ``getEthBalance``, whose fallback returns nothing."""

    def _called_inside(self, block: FakeBlock, to: str, data: str) -> bytes | None:
        return b"" if to == MULTICALL else super()._called_inside(block, to, data)


async def test_a_multicall_that_knows_no_balances_makes_none_zero() -> None:
    chain = WithoutBalances()
    chain.has_multicall = True
    chain.mine(count=20)
    async with FakeNode(chain) as node, open_pool(observing.network_settings(node.http_url)) as pool:
        found = await read_state(pool, header(chain, 9), [CALL, Balance(ADDRESS)])
    assert found == expected(chain, 9)[:2]


async def test_an_endpoint_that_loses_a_multicall_that_it_had_gives_no_contract_an_empty_result(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.has_multicall = True
    monkeypatch.setattr(state, "probes", lambda _: (Probe(ADDRESS, b"", lambda _done, _returned: True),))
    settings = partial(observing.network_settings, multicall=MULTICALL)
    wanted: list[Read] = [CALL, Balance(ADDRESS)]
    async with FakeNode(chain) as liar, FakeNode(chain) as honest:
        async with open_pool(settings(liar.http_url)) as pool:
            assert await read_state(pool, header(chain, 9), wanted) == expected(chain, 9)[:2]
            liar.fail("eth_call", "result", "0x", times=None)
            with pytest.raises(errors.MalformedAnswer, match="Multicall3"):
                await read_state(pool, header(chain, 10), wanted)
        liar.faults.clear()
        async with open_pool(settings(liar.http_url, honest.http_url)) as pool:
            assert await read_state(pool, header(chain, 9), wanted) == expected(chain, 9)[:2]
            liar.fail("eth_call", "result", "0x", times=None)
            for number in range(10, 20):
                assert await read_state(pool, header(chain, number), wanted) == expected(chain, number)[:2]


async def test_as_many_endpoints_must_agree_on_state_as_are_configured(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, FakeNode(chain) as liar, FakeNode(chain) as third:
        liar.fail("eth_getBalance", "result", "0x1", times=None)
        settings = network_settings(liar.http_url, node.http_url, third.http_url, agreement=2)
        async with open_pool(settings) as pool:
            await pool.all_tried()
            assert await read_state(pool, header(chain, 9), READS) == expected(chain, 9)
        settings = network_settings(liar.http_url, node.http_url, agreement=2)
        async with open_pool(settings) as pool:
            await pool.all_tried()
            with pytest.raises(errors.Disputed):
                await read_state(pool, header(chain, 9), READS)


async def test_every_call_of_a_read_counts_towards_the_limit(chain: FakeChain) -> None:
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url, max_rps=10)) as pool:
        node.posts = 0
        await read_state(pool, header(chain, 9), [Storage(ADDRESS, slot) for slot in range(12)])
        assert node.posts == 2


async def test_reads_at_once_that_one_probe_shows_nothing_of_go_on_with_the_next(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.has_multicall = True
    useless = Probe(ADDRESS, b"", lambda _done, _returned: None)
    useful = Probe(ADDRESS, b"", lambda _done, _returned: True)
    monkeypatch.setattr(state, "probes", lambda _: (useless, useful))
    wanted: list[Read] = [CALL, Balance(ADDRESS)]
    async with (
        FakeNode(chain) as node,
        open_pool(observing.network_settings(node.http_url, multicall=MULTICALL)) as pool,
    ):
        blocks = [header(chain, number) for number in range(1, 9)]
        await asyncio.gather(*(read_state(pool, block, wanted) for block in blocks))
        asked = node.asked["eth_call"]
        await read_state(pool, header(chain, 9), wanted)
        assert node.asked["eth_getBalance"] == 0
        assert node.asked["eth_call"] == asked + 1
