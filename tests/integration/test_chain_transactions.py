"""The transactions of logs, from nodes that answer null, another fork's, garbage or too much."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from chainwatch.chain import member
from chainwatch.chain.decode.decoder import ContractDecoder
from chainwatch.chain.errors import NotThere, RpcError
from chainwatch.chain.history import read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.tip import read_blocks
from chainwatch.chain.transactions import MAX_INPUT, NO_TRANSACTION, read_transactions
from chainwatch.chain.watch import NetworkWatch, WatchedContract
from chainwatch.model import RawLog, Transaction
from tests.fakenode import FakeChain, FakeNode
from tests.fakenode.spoiling import SpoilingNode
from tests.support.fuzzing import OFTEN
from tests.support.observing import (
    ADDRESS,
    PING,
    PING_TOPIC,
    Follower,
    network_settings,
    open_pool,
    ping,
    watch_pings,
)

WATCH = NetworkWatch(
    "net", [WatchedContract("pinger", ADDRESS, ContractDecoder([PING]), frozenset([PING_TOPIC]))]
)


def chain_of(*pings: int) -> FakeChain:
    chain = FakeChain()
    chain.mine(*map(ping, pings))
    chain.mine(count=3)
    return chain


def expected(log: RawLog) -> Transaction:
    return Transaction(b"\x11" * 20, b"\x22" * 20, 7, log.tx_hash[:4], 4)


async def logs_of(pool: Pool) -> list[RawLog]:
    batch = await read_blocks(pool, WATCH, None, 0, 4)
    return [event.log for event in batch.events]


async def test_logs_come_with_their_transactions_at_the_tip_and_in_ranges() -> None:
    chain = chain_of(*range(150))
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        logs = await logs_of(pool)
        assert len(logs) == 150
        assert [log.transaction for log in logs] == [expected(log) for log in logs]
        again = [event.log async for batch in read_range(pool, WATCH, 0, 4) for event in batch.events]
        assert again == logs
        assert node.posts < 40  # in batches


async def test_transactions_that_no_flow_reads_are_not_asked_for() -> None:
    async with FakeNode(chain_of(1)) as node, open_pool(network_settings(node.http_url)) as pool:
        batch = await read_blocks(pool, watch_pings(), None, 0, 4)
        assert [event.log.transaction for event in batch.events] == [None]
        assert node.asked["eth_getTransactionByHash"] == 0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("error", {"code": -32601, "message": "the method does not exist"}),
        ("error", {"code": -32000, "message": "transaction indexing is in progress"}),
        ("result", "0x"),
        ("result", {}),
        ("result", {"from": 1}),
        ("result", [[[[]]]]),
        ("status", 503),
        ("close", None),
        ("big", 17 * 2**20),
    ],
)
async def test_an_endpoint_that_cannot_tell_is_replaced_by_the_next(kind: str, value: Any) -> None:
    chain = chain_of(1, 2)
    async with FakeNode(chain) as bad, FakeNode(chain) as good:
        bad.fail("eth_getTransactionByHash", kind, value, times=None)
        async with open_pool(network_settings(bad.http_url, good.http_url)) as pool:
            assert [log.transaction for log in await logs_of(pool)] == [
                expected(log) for log in await logs_of(pool)
            ]
        async with open_pool(network_settings(bad.http_url)) as pool:
            with pytest.raises(RpcError):
                await logs_of(pool)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"hash": "0x" + "99" * 32},
        {"blockHash": "0x" + "99" * 32},
        {"blockHash": None, "blockNumber": None},
        {"blockNumber": "0x9"},
        {"from": "0x1111"},
        {"from": None},
        {"to": "0x"},
        {"to": "22" * 21},
        {"value": "7"},
        {"value": "0x1" + "0" * 64},
        {"value": "0x-1"},
        {"input": "0x1"},
        {"input": None},
        {"input": "12345678"},
    ],
)
async def test_a_transaction_that_is_malformed_or_of_another_block_is_refused(
    spoiled: dict[str, Any],
) -> None:
    chain, other = chain_of(1), chain_of(1)
    other.calls[other.blocks[1].logs[0]["transactionHash"]] = spoiled
    async with FakeNode(other) as bad, FakeNode(chain) as good:
        async with open_pool(network_settings(bad.http_url)) as pool:
            with pytest.raises(RpcError):
                await logs_of(pool)
        async with open_pool(network_settings(bad.http_url, good.http_url)) as pool:
            (log,) = await logs_of(pool)
            assert log.transaction == expected(log)


async def test_a_null_for_a_transaction_that_its_block_names_is_asked_for_by_its_position() -> None:
    chain = chain_of(1, 2)
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        node.fail("eth_getTransactionByHash", "null", times=None)
        logs = await logs_of(pool)
        assert [log.transaction for log in logs] == [expected(log) for log in logs]
        node.fail("eth_getTransactionByBlockHashAndIndex", "null", times=None)
        with pytest.raises(NotThere):
            await logs_of(pool)


async def test_a_log_of_no_transaction_says_so_unless_another_endpoint_knows_one() -> None:
    chain = chain_of(1, 2)
    entry = chain.blocks[1].logs[1]
    entry["pseudo"], chain.calls[entry["transactionHash"]] = True, None
    whole = chain_of(1, 2)
    async with FakeNode(chain) as node, FakeNode(whole) as other:
        async with open_pool(network_settings(node.http_url)) as pool:
            first, second = await logs_of(pool)
            assert (first.transaction, second.transaction) == (expected(first), NO_TRANSACTION)
        async with open_pool(network_settings(node.http_url, other.http_url)) as pool:
            assert await read_transactions(pool, [first, second]) == [expected(first), expected(second)]


async def test_a_transaction_that_nobody_signed_is_none() -> None:
    chain = chain_of(1)
    nobody = {"from": "0x" + "00" * 20, "to": "0x" + "00" * 20, "input": "0x", "value": "0x0"}
    chain.calls[chain.blocks[1].logs[0]["transactionHash"]] = nobody
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        assert [log.transaction for log in await logs_of(pool)] == [NO_TRANSACTION]


async def test_a_creation_has_no_recipient_and_calldata_is_bounded() -> None:
    chain = chain_of(1, 2, 3)
    names = [log["transactionHash"] for log in chain.blocks[1].logs]
    chain.calls[names[0]] = {"to": None}
    chain.calls[names[1]] = {"input": "0x" + "ab" * MAX_INPUT}
    chain.calls[names[2]] = {"input": "0x" + "ab" * (MAX_INPUT + 1)}
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        created, largest, larger = [log.transaction for log in await logs_of(pool)]
    assert created is not None and created.to is None  # noqa: PT018
    assert largest is not None and largest.input == b"\xab" * MAX_INPUT  # noqa: PT018
    assert larger is not None and (larger.input, larger.size) == (None, MAX_INPUT + 1)  # noqa: PT018


async def test_answers_that_are_too_much_together_are_asked_for_in_parts() -> None:
    chain = chain_of(*range(64))
    for log in chain.blocks[1].logs:
        chain.calls[log["transactionHash"]] = {"input": "0x" + "ab" * 140_000}
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        logs = await logs_of(pool)
        assert {log.transaction and log.transaction.size for log in logs} == {140_000}


async def test_endpoints_must_agree_where_the_network_says_so() -> None:
    chain, other = chain_of(1), chain_of(1)
    other.calls[other.blocks[1].logs[0]["transactionHash"]] = {"value": "0x8"}
    async with FakeNode(chain) as one, FakeNode(chain) as two, FakeNode(other) as liar:
        settings = network_settings(one.http_url, liar.http_url, agreement=2)
        async with open_pool(settings) as pool:
            with pytest.raises(RpcError):
                await logs_of(pool)
        settings = network_settings(liar.http_url, one.http_url, two.http_url, agreement=2)
        async with open_pool(settings) as pool:
            (log,) = await logs_of(pool)
            assert log.transaction == expected(log)


@pytest.mark.parametrize("kind", ["null", "error", "result"])
async def test_s1_no_batch_is_handed_on_before_its_transactions_are_read(kind: str) -> None:
    chain = chain_of(1)
    async with FakeNode(chain) as node:
        for method in ("eth_getTransactionByHash", "eth_getTransactionByBlockHashAndIndex"):
            node.fail(method, kind, {"code": -32000, "message": "not now"}, times=3)
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool:
            follower = Follower(settings, pool, watch=WATCH)
            async with follower.running():
                await follower.until(lambda: follower.at >= chain.head.number)
    logs = [event.log for batch in follower.batches for event in batch.events]
    assert [log.transaction for log in logs] == [expected(log) for log in logs]
    assert len(logs) == 1


async def test_a_reorg_between_logs_and_transactions_is_read_as_the_chain_is_then() -> None:
    chain = chain_of(1)
    async with FakeNode(chain) as node:
        node.fail("eth_getTransactionByHash", "late", 0.2, times=1)
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool:
            follower = Follower(settings, pool, watch=WATCH)
            async with follower.running():
                await follower.until(lambda: node.asked["eth_getLogs"] > 0)
                chain.rewind(4)
                chain.mine(ping(2))
                chain.mine(count=3)
                await follower.until(lambda: follower.pings == [2])
    logs = [event.log for batch in follower.batches for event in batch.events]
    assert all(log.transaction == expected(log) for log in logs)


async def test_pages_become_smaller_where_calldata_is_large() -> None:
    chain = FakeChain()
    for n in range(400):
        block = chain.mine(ping(n))
        chain.calls[block.logs[0]["transactionHash"]] = {"input": "0x" + "ab" * 100_000}
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        sizes = [len(batch.events) async for batch in read_range(pool, WATCH, 1, 400)]
        assert sum(sizes) == 400
        assert max(sizes) <= 160  # some 1,024 logs of 8 kB each


@pytest.mark.parametrize("seed", range(6))
async def test_spoilt_answers_are_transactions_or_typed_errors(seed: int) -> None:
    chain, dice = chain_of(*range(20)), Random(seed)
    async with SpoilingNode(chain, dice, 0.0, ["eth_getTransactionByHash"]) as node:
        with patch.multiple(member, **OFTEN):
            async with open_pool(network_settings(node.http_url, request_timeout="1s")) as pool:
                logs = await logs_of(pool)
                node.rate = 0.7
                for _ in range(20):
                    some = dice.sample(logs, dice.randint(1, len(logs)))
                    try:
                        found = await read_transactions(pool, some)
                    except RpcError:
                        continue
                    assert len(found) == len(some)
                    assert all(one == NO_TRANSACTION or len(one.sender or b"") == 20 for one in found)
                assert node.spoilt > 0
