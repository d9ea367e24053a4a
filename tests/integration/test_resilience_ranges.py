"""Old blocks: an empty answer is no proof that nothing is there, also from the only endpoint of a network (S1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chainwatch.chain import completeness, failures, pool
from chainwatch.chain.errors import Disputed, NotThere
from chainwatch.chain.history import find_logs, read_range
from tests.fakenode import FakeChain, FakeLog, FakeNode
from tests.support.observing import (
    ADDRESS,
    PING_TOPIC,
    Follower,
    network_settings,
    open_pool,
    ping,
    watch_pings,
)

UNSUPPORTED = {"code": -32601, "message": "the method does not exist"}
OTHER = bytes.fromhex("bb" * 20)


@pytest.fixture
def chain() -> FakeChain:
    """600 blocks, each seventh with a ping of its number, all others with a log of a contract that is not watched."""
    chain = FakeChain()
    for number in range(1, 601):
        chain.mine(ping(number) if number % 7 == 0 else FakeLog(OTHER, [number.to_bytes(32, "big")]))
    return chain


PINGS = list(range(7, 601, 7))


class Lying(FakeNode):
    """Gives no logs of the blocks of which ``silent`` is true, when asked by range and, if ``stubborn``, in any way."""

    def __init__(self, chain: FakeChain, silent: Callable[[int], bool], stubborn: bool = False) -> None:
        super().__init__(chain)
        self.silent_about = silent
        self.stubborn = stubborn

    def _result(self, method: str, params: list[Any]) -> Any:
        notified: Any = super()._result(method, params)
        if method == "eth_getLogs" and ("fromBlock" in params[0] or self.stubborn):
            return [log for log in notified if not self.silent_about(int(log["blockNumber"], 16))]
        if method == "eth_getBlockReceipts" and self.stubborn and self.silent_about(int(params[0], 16)):
            return []
        if method == "eth_getTransactionReceipt" and self.stubborn:
            return None
        return notified


async def pings_of(*nodes: FakeNode, first: int = 1, last: int = 600, **settings: Any) -> list[int]:
    urls = [node.http_url for node in nodes]
    async with open_pool(network_settings(*urls, **settings)) as opened:
        await opened.all_tried()
        return [e.args["n"] async for b in read_range(opened, watch_pings(), first, last) for e in b.events]


@pytest.mark.parametrize(
    "silent",
    [lambda n: True, lambda n: 100 <= n < 300, lambda n: n == 350, lambda n: n > 590],
    ids=["all", "some", "one", "the last"],
)
async def test_row_03_what_an_only_endpoint_leaves_out_of_a_range_is_found_by_the_blooms_S1(
    chain: FakeChain, silent: Callable[[int], bool]
) -> None:
    async with Lying(chain, silent) as node:
        assert await pings_of(node) == PINGS


async def test_row_03_without_receipts_by_block_the_logs_are_asked_for_by_hash_S1(chain: FakeChain) -> None:
    async with Lying(chain, lambda n: n < 200) as node:
        node.fail("eth_getBlockReceipts", "error", UNSUPPORTED, times=None)
        assert await pings_of(node) == PINGS


async def test_row_03_without_either_each_transaction_is_asked_for_its_receipt_S1(chain: FakeChain) -> None:
    async with Lying(chain, lambda n: n == 350) as node:
        node.by_hash = False
        node.fail("eth_getBlockReceipts", "error", UNSUPPORTED, times=None)
        assert await pings_of(node) == PINGS
        assert node.asked["eth_getTransactionReceipt"] >= 1


async def test_row_03_a_range_that_nothing_settles_is_held_reported_and_read_on_when_the_lie_ends_S1(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.3)
    async with Lying(chain, lambda n: 100 <= n < 300, stubborn=True) as node:
        settings = network_settings(node.http_url, start_block=0, reorg_window=20)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.observer.status.disputed is not None)
            assert "no logs of block 1" in str(follower.observer.status.disputed)
            assert follower.at < 105
            node.stubborn = False
            await follower.until(lambda: follower.at == 600)
            assert follower.observer.status.disputed is None
    assert follower.pings == PINGS


async def test_row_03_a_replay_of_a_range_that_nothing_settles_fails_and_says_why_S1(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.3)
    async with Lying(chain, lambda n: True, stubborn=True) as node:
        with pytest.raises(Disputed, match="no logs of block"):
            await pings_of(node)


async def test_row_03_two_endpoints_that_say_the_same_of_a_range_are_believed(chain: FakeChain) -> None:
    chain.blocks[351].bloom = chain.blocks[350].to_json()["logsBloom"]  # a ping's, which is not there
    async with FakeNode(chain) as one, FakeNode(chain) as two:
        assert await pings_of(one, two) == PINGS


async def test_row_03_a_bloom_that_hits_by_chance_holds_nothing_up(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainwatch.chain.bloom.admits", lambda bloom, wanted: True)
    async with FakeNode(chain) as node:
        assert await pings_of(node, first=300, last=330) == [n for n in PINGS if 300 <= n <= 330]


async def test_row_03_logs_that_are_looked_for_are_never_none_because_the_node_is_pruned_S1(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.3)
    topics = [(PING_TOPIC,), ((70).to_bytes(32, "big"),)]
    async with (
        Lying(chain, lambda n: n < 400, stubborn=True) as node,
        open_pool(network_settings(node.http_url)) as opened,
    ):
        with pytest.raises(Disputed, match="pruned"):
            await find_logs(opened, ADDRESS, topics, 0, 600)
        node.silent_about = lambda n: False
        found = await find_logs(opened, ADDRESS, topics, 0, 600)
    assert [log.block_number for log in found] == [70]
    assert node.asked["eth_getBlockByNumber"] < 150


@pytest.mark.parametrize("bloom", ["0x" + "00" * 256, "0x" + "ff" * 256, "0x" + "00" * 255 + "01", "0x"])
async def test_row_04_blooms_that_report_nothing_cost_nothing_and_are_not_believed_S1(
    chain: FakeChain, bloom: str
) -> None:
    for block in chain.blocks:
        block.bloom = bloom
    async with FakeNode(chain) as node:
        assert await pings_of(node) == PINGS
        assert node.asked["eth_getBlockReceipts"] <= 3
        full = bloom.endswith("ff")  # so are those of busy chains now and then
        assert node.asked["eth_getBlockByNumber"] < (600 if full else 400), (
            "one page shows what they are worth"
        )


async def test_row_12_last_blocks_that_are_missing_from_an_answer_are_found_S1(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completeness, "WHOLE", 0)
    async with Lying(chain, lambda n: n == 595) as node:
        assert await pings_of(node, last=595) == [n for n in PINGS if n <= 595]


async def test_row_14_logs_of_a_fork_in_a_range_are_refused_and_another_endpoint_asked_S1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.2)
    chain = FakeChain()
    for number in range(1, 301):
        chain.mine(ping(number))

    class Forked(FakeNode):
        def _result(self, method: str, params: list[Any]) -> Any:
            notified: Any = super()._result(method, params)
            if method == "eth_getLogs":
                return [
                    log | {"blockHash": "0x" + log["blockHash"][:1:-1]} for log in notified[:-1]
                ] + notified[-1:]
            return notified

    async with Forked(chain) as one, FakeNode(chain) as two:
        assert await pings_of(one, two, last=300) == list(range(1, 301))
        async with open_pool(network_settings(one.http_url)) as opened:
            with pytest.raises(NotThere, match="was replaced"):
                await anext(read_range(opened, watch_pings(), 1, 300))


# --- 13: pruned nodes -------------------------------------------------------------------------------------


async def test_row_13_a_pruned_only_endpoint_is_held_and_it_is_said_S1(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.3)
    monkeypatch.setattr(completeness, "WHOLE", 0)
    async with Lying(chain, lambda n: n < 400, stubborn=True) as node:
        settings = network_settings(node.http_url, start_block=0, reorg_window=20)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.observer.status.disputed is not None)
            assert "pruned" in str(follower.observer.status.disputed)
            assert follower.at == -1
            asked = node.asked["eth_getBlockByNumber"]
            await follower.until(lambda: node.asked["eth_getBlockReceipts"] > 8)
            assert node.asked["eth_getBlockByNumber"] < asked + 20, "the rest is not asked for in vain"
            node.silent_about = lambda n: False
            await follower.until(lambda: follower.at == 600)
    assert follower.pings == PINGS


async def test_row_13_a_pruned_endpoint_is_found_out_though_nothing_watched_is_in_its_blocks(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.3)
    monkeypatch.setattr(completeness, "WHOLE", 0)
    monkeypatch.setattr(completeness, "SAMPLE", 2)
    async with Lying(chain, lambda n: n < 400, stubborn=True) as node:
        with pytest.raises(Disputed, match="pruned"):
            await pings_of(node)
        assert await pings_of(node, first=400) == [n for n in PINGS if n >= 400], "it has these"


async def test_row_13_old_blocks_that_are_not_there_at_all_are_said_to_be_missing_S1(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.2)
    monkeypatch.setattr(failures, "HELD_AFTER", 0.2)

    class WithoutPast(FakeNode):
        def _result(self, method: str, params: list[Any]) -> Any:
            if method == "eth_getBlockByNumber" and params[0] != "latest" and int(params[0], 16) < 400:
                return None
            if method == "eth_getLogs" and "fromBlock" in params[0] and int(params[0]["fromBlock"], 16) < 400:
                return []
            notified: Any = super()._result(method, params)
            return notified

    async with WithoutPast(chain) as node:
        settings = network_settings(node.http_url, start_block=0, reorg_window=20)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: "is not known" in str(follower.observer.status.disputed))
            assert follower.at == -1


async def test_row_13_a_pruned_endpoint_is_refused_for_old_blocks_while_another_has_them_S1(
    chain: FakeChain, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Lying(chain, lambda n: n < 300, stubborn=True) as pruned, FakeNode(chain) as whole:
        assert await pings_of(pruned, whole, max_block_range=50) == PINGS
        assert "refused for old blocks" in capsys.readouterr().out
        assert pruned.asked["eth_getLogs"] > 4, "it serves the blocks that it has"


async def test_a_recording_of_the_watched_logs_alone_under_real_blooms_is_read(chain: FakeChain) -> None:
    for block in chain.blocks:
        block.bloom = block.to_json()["logsBloom"]
    for number in PINGS:  # each block had more than its ping
        bits = int(str(chain.blocks[number].bloom), 16) | int(str(chain.blocks[1].bloom), 16)
        chain.blocks[number].bloom = f"0x{bits:0512x}"
    for block in chain.blocks:
        block.logs = [log for log in block.logs if log["address"] == "0x" + ADDRESS.hex()]
    async with FakeNode(chain) as node:
        node.fail("eth_getBlockReceipts", "error", UNSUPPORTED, times=None)
        assert await pings_of(node) == PINGS


async def test_few_headers_are_asked_for_of_a_long_range_and_none_where_every_block_has_logs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(completeness, "WHOLE", 100)
    sparse, dense = FakeChain(), FakeChain()
    for number in range(1, 3001):
        sparse.mine(*([ping(number)] if number % 500 == 0 else []))
        dense.mine(ping(number))
    async with FakeNode(sparse) as node:
        assert await pings_of(node, last=3000) == list(range(500, 3001, 500))
        pages = node.asked["eth_getLogs"]
        assert node.asked["eth_getBlockByNumber"] <= 100 + pages * (completeness.SAMPLE + 2)
    async with FakeNode(dense) as node:
        assert await pings_of(node, last=3000) == list(range(1, 3001))
        assert node.asked["eth_getBlockByNumber"] <= node.asked["eth_getLogs"] * 3


class Cutting(FakeNode):
    """Gives the first hundred logs of any question for logs, and says nothing of the others."""

    def _result(self, method: str, params: list[Any]) -> Any:
        notified: Any = super()._result(method, params)
        return notified[:100] if method == "eth_getLogs" else notified


@pytest.mark.parametrize("receipts", [True, False])
@pytest.mark.parametrize("start", [0, 55])
async def test_row_12_one_block_that_is_cut_at_a_round_number_is_read_from_its_receipts_S1(
    receipts: bool, start: int
) -> None:
    chain = FakeChain()
    chain.mine(count=60)
    chain.mine(*[ping(number) for number in range(250)])
    chain.mine(*[ping(number) for number in range(250, 350)])  # a round number that is right
    if start == 0:
        chain.mine(count=60)
    async with Cutting(chain) as node:
        if not receipts:
            node.fail("eth_getBlockReceipts", "error", UNSUPPORTED, times=None)
        settings = network_settings(node.http_url, start_block=start, reorg_window=20)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.at == len(chain.blocks) - 1)
    assert follower.pings == list(range(350))


async def test_row_12_a_block_that_is_cut_whatever_is_asked_is_held_and_reported_S1() -> None:
    chain = FakeChain()
    chain.mine(*[ping(number) for number in range(250)])
    async with Cutting(chain) as node:
        for method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
            node.fail(method, "error", UNSUPPORTED, times=None)
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: "exactly 100 logs" in str(follower.observer.status.disputed))
            node.faults.clear()
            await follower.until(lambda: follower.at == 1)
    assert follower.pings == list(range(250))


async def test_row_12_a_round_number_that_nothing_can_disprove_is_believed() -> None:
    chain = FakeChain()
    chain.mine(*[ping(number) for number in range(100)])
    async with FakeNode(chain) as node:
        for method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
            node.fail(method, "error", UNSUPPORTED, times=None)
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.at == 1)
    assert follower.pings == list(range(100))


async def test_row_21_old_blocks_whose_time_goes_back_are_refused_and_another_endpoint_asked_S5(
    chain: FakeChain,
) -> None:
    chain.stamped = False
    for block in chain.blocks:
        for log in block.logs:
            log.pop("blockTimestamp", None)
    wrong = chain.clone()
    for block in wrong.blocks:
        block.timestamp -= 3 * block.number
    async with FakeNode(wrong) as one, FakeNode(chain) as two:
        assert await pings_of(one, two) == PINGS
