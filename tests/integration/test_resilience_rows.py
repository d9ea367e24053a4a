"""How nodes fail, row by row of what chainwatch must survive; rows that are tested elsewhere are not repeated.

No row may lose an event, invent one, or stop another network.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chainwatch.chain.history import read_range
from chainwatch.chain.status import EndpointStatus
from chainwatch.chain.transport import open_session
from chainwatch.config import read_dict
from chainwatch.monitor import monitor as app
from chainwatch.monitor.monitor import Monitor
from chainwatch.monitor.network_records import RANGES_PROPERTY
from chainwatch.plan import make_plan
from chainwatch.store import schema
from chainwatch.store.database import Database
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import Follower, network_settings, open_pool, ping, watch_pings
from tests.support.waiting import PATIENCE, eventually

UNSUPPORTED = {"code": -32601, "message": "the method does not exist"}
FULL_BLOOM = "0x" + "ff" * 256
ZERO_BLOOM = "0x" + "00" * 256


ODD = [1, 3, 5, 7, 9]


def with_blooms(chain: FakeChain, bloom: str | None) -> None:
    """Gives every block a bloom of another kind of chain."""
    for block in chain.blocks:
        block.bloom = bloom


# --- 3, 4: blooms -----------------------------------------------------------------------------------------


async def test_row_03_a_false_empty_answer_is_filled_from_the_receipts_S1(node: FakeNode) -> None:
    node.fail("eth_getLogs", "result", [], times=None)
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
    assert follower.pings == ODD


async def test_row_03_a_false_empty_answer_is_asked_again_elsewhere_S1(
    node: FakeNode, chain: FakeChain
) -> None:
    node.fail("eth_getLogs", "result", [], times=None)
    for method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
        node.fail(method, "error", UNSUPPORTED, times=None)
    async with FakeNode(chain) as other:
        settings = network_settings(node.http_url, other.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
    assert follower.pings == ODD


async def test_row_03_a_false_empty_answer_that_nothing_settles_is_held_and_reported_S1(
    node: FakeNode,
) -> None:
    lie = node.fail("eth_getLogs", "result", [], times=None)
    for method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
        node.fail(method, "error", UNSUPPORTED, times=None)
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.observer.status.disputed is not None)
        assert "no logs of block 1, though its bloom shows" in str(follower.observer.status.disputed)
        assert follower.at == -1
        lie.times = 0
        await follower.until(lambda: follower.at == 10)
        assert follower.observer.status.disputed is None
    assert follower.pings == ODD


async def test_row_03_a_bloom_that_hits_by_chance_is_no_dispute_when_all_logs_are_there(
    node: FakeNode, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainwatch.chain.bloom.admits", lambda bloom, wanted: True)
    other = ping(1)
    chain.mine(type(other)(bytes.fromhex("bb" * 20), other.topics))  # of a contract that is not watched
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 11)
    assert follower.pings == ODD


async def test_row_03_two_endpoints_that_both_find_nothing_are_believed(chain: FakeChain) -> None:
    chain.blocks[4].bloom = chain.blocks[3].to_json()["logsBloom"]
    async with FakeNode(chain) as one, FakeNode(chain) as two:
        settings = network_settings(one.http_url, two.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
    assert follower.pings == ODD


FOREIGN = "0x" + "00" * 255 + "01"


@pytest.mark.parametrize("bloom", [ZERO_BLOOM, FULL_BLOOM, FOREIGN, "0x"])
async def test_row_04_a_zero_full_foreign_or_missing_bloom_is_never_used_to_skip_S1(
    node: FakeNode, chain: FakeChain, bloom: str
) -> None:
    with_blooms(chain, bloom)
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
    assert follower.pings == ODD


async def test_row_04_trusted_blooms_spare_the_questions_that_they_answer(
    node: FakeNode, chain: FakeChain
) -> None:
    settings = network_settings(node.http_url, start_block=0, trust_bloom=True)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        assert follower.pings == ODD
        asked = {query["blockHash"] for query in node.queries}
        assert asked == {chain.blocks[number].hash for number in ODD}
        with_blooms(chain, "0x")  # a block without a bloom is asked for all the same
        chain.mine(ping(11))
        await follower.until(lambda: follower.at == 11)
    assert follower.pings == [*ODD, 11]


# --- 13: pruned nodes -------------------------------------------------------------------------------------


@pytest.fixture
def long_chain() -> FakeChain:
    """A thousand blocks with a ping each."""
    chain = FakeChain()
    for number in range(1, 1001):
        chain.mine(ping(number))
    return chain


@pytest.mark.parametrize("pruned_before", [50, 1001])
async def test_row_13_a_pruned_node_that_has_less_is_refused_for_the_range_and_it_is_said_S1(
    long_chain: FakeChain, pruned_before: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pruned = long_chain.clone()
    for block in pruned.blocks[:pruned_before]:
        block.logs.clear()
    async with (
        FakeNode(pruned) as one,
        FakeNode(long_chain) as two,
        open_pool(network_settings(one.http_url, two.http_url)) as pool,
    ):
        await pool.all_tried()
        found = [e.args["n"] async for b in read_range(pool, watch_pings(), 1, 1000) for e in b.events]
    assert found == list(range(1, 1001))
    assert "refused for old blocks" in capsys.readouterr().out
    assert [query for query in one.queries if int(query["fromBlock"], 16) > 500] == []


@pytest.mark.parametrize("message", ["missing trie node", "pruned history unavailable"])
async def test_row_13_a_pruned_node_that_says_so_is_passed_over_S1(
    long_chain: FakeChain, message: str
) -> None:
    async with FakeNode(long_chain) as one, FakeNode(long_chain) as two:
        one.fail("eth_getLogs", "error", {"code": -32000, "message": message}, times=None)
        async with open_pool(network_settings(one.http_url, two.http_url)) as pool:
            await pool.all_tried()
            found = [e.args["n"] async for b in read_range(pool, watch_pings(), 1, 1000) for e in b.events]
            assert message in str(pool.endpoints[0].last_error)
            assert pool.endpoints[0].state == "ok"  # for newer blocks it may be asked
    assert found == list(range(1, 1001))


async def test_row_23_old_blocks_count_when_two_endpoints_agree_S1(long_chain: FakeChain) -> None:
    liar = long_chain.clone()
    liar.blocks[700].logs.clear()
    async with FakeNode(liar) as one, FakeNode(long_chain) as two, FakeNode(long_chain) as three:
        settings = network_settings(one.http_url, two.http_url, three.http_url, agreement=2)
        async with open_pool(settings) as pool:
            await pool.all_tried()
            found = [e.args["n"] async for b in read_range(pool, watch_pings(), 1, 1000) for e in b.events]
    assert found == list(range(1, 1001))


# --- 21: time ---------------------------------------------------------------------------------------------


async def test_row_21_a_block_at_time_0_is_refused_and_another_endpoint_asked(chain: FakeChain) -> None:
    clone = chain.clone()
    clone.blocks[10].timestamp = 0
    async with FakeNode(clone) as wrong, FakeNode(chain) as right:
        settings = network_settings(wrong.http_url, right.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            assert "timestamp 0" in str(pool.endpoints[0].last_error)
    assert follower.pings == ODD
    assert follower.checkpoint is not None
    assert follower.checkpoint.last.timestamp == chain.head.timestamp


async def test_row_21_milliseconds_become_seconds() -> None:
    in_seconds = FakeChain()
    in_milliseconds = FakeChain(block_time=1000, start=in_seconds.head.timestamp * 1000)
    for chain in (in_seconds, in_milliseconds):
        chain.mine(ping(1))
        chain.mine()
    async with FakeNode(in_milliseconds) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 2)
    assert [h.timestamp for h in follower.headers.values()] == [b.timestamp for b in in_seconds.blocks]
    assert [e.log.timestamp for b in follower.batches for e in b.events] == [in_seconds.blocks[1].timestamp]


async def test_row_21_time_that_goes_back_is_refused_and_another_endpoint_asked_S5(chain: FakeChain) -> None:
    clone = chain.clone()
    clone.blocks[10].timestamp = clone.blocks[8].timestamp
    async with FakeNode(clone) as wrong, FakeNode(chain) as right:
        settings = network_settings(wrong.http_url, right.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            assert "before its parent" in str(pool.endpoints[0].last_error)
    assert follower.pings == ODD


async def test_row_21_time_that_goes_back_on_the_only_endpoint_stands_still_instead_S5(
    node: FakeNode, chain: FakeChain
) -> None:
    chain.mine(ping(11))
    chain.blocks[11].timestamp = chain.blocks[8].timestamp
    chain.blocks[11].logs[0]["blockTimestamp"] = hex(chain.blocks[8].timestamp)
    chain.mine(ping(12))
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 12)
    assert follower.pings == [*ODD, 11, 12]
    times = [follower.headers[number].timestamp for number in range(13)]
    assert times == sorted(times)


# --- 23: agreement ----------------------------------------------------------------------------------------


async def test_row_23_a_block_is_held_until_two_endpoints_agree_S1(chain: FakeChain) -> None:
    async with FakeNode(chain) as one, FakeNode(chain) as two:
        lie = one.fail("eth_getLogs", "result", [], times=None)
        one.fail("eth_getBlockReceipts", "result", [], times=None)
        with_blooms(chain, ZERO_BLOOM)
        settings = network_settings(one.http_url, two.http_url, start_block=0, agreement=2)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.observer.status.disputed is not None)
            assert "2 endpoints must agree" in str(follower.observer.status.disputed)
            assert follower.at == -1
            lie.times = 0
            await follower.until(lambda: follower.at == 10)
            assert follower.observer.status.disputed is None
    assert follower.pings == ODD


async def test_row_23_the_third_endpoint_settles_it_S1(chain: FakeChain) -> None:
    with_blooms(chain, ZERO_BLOOM)
    async with FakeNode(chain) as one, FakeNode(chain) as two, FakeNode(chain) as three:
        one.fail("eth_getLogs", "result", [], times=None)
        settings = network_settings(one.http_url, two.http_url, three.http_url, start_block=0, agreement=2)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
    assert follower.pings == ODD


def test_row_23_more_cannot_agree_than_there_are() -> None:
    with pytest.raises(ValueError, match="2 endpoints cannot agree where `rpc` names 1"):
        network_settings("http://127.0.0.1:1", agreement=2)


# --- 17: limits on the range ------------------------------------------------------------------------------


async def test_row_17_a_structural_limit_is_remembered_by_the_next_run(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SELF_WATCH_EVERY", 0.05)
    abi = Path(__file__).parents[2] / "abi" / "connext.json"
    config: dict[str, Any] = {
        "networks": {"net": {"chain_id": 1, "rpc": [node.http_url], "start_block": 0, "reorg_window": 2}},
        "contracts": {"connext": {"abi": str(abi), "address": "0x" + "aa" * 20}},
        "flows": {
            "connext": {
                "contract": "connext",
                "key": "transferId",
                "opens": {"step": "xcall", "event": "XCalled"},
                "expects": [{"step": "execute", "event": "Executed", "on": "net", "within": "1h"}],
            }
        },
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
    }
    node.fail("eth_getLogs", "range", 3, times=None, message="block range is limited to 3 blocks")
    plan = make_plan(read_dict(config))
    found: list[int | None] = []
    with closing(Database.open(f"sqlite:///{tmp_path / 'x.db'}", durable=False)) as database:
        for _ in range(2):
            async with open_session() as session:
                monitor = Monitor(plan, database, session)
                await monitor.start()
                endpoint = await eventually(partial(_first_endpoint, monitor))
                found.append(endpoint.max_block_range)
                async with asyncio.timeout(PATIENCE):
                    while not await database.read(lambda c: schema.get_property(c, RANGES_PROPERTY)):
                        await asyncio.sleep(0.02)
                await monitor.stop()
            node.faults.clear()
    assert found == [3, 3]


def _first_endpoint(monitor: Monitor) -> EndpointStatus | None:
    """The network's first endpoint, once blocks have been read."""
    observer = monitor._observers.get("net")
    return observer.status.endpoints[0] if observer and observer.status.checkpoint else None
