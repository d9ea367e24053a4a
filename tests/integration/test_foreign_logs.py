"""Logs that nobody asked for are no answer: they are refused and asked for again, whichever way they come in (S1).

One such answer does not settle what an endpoint's blooms are worth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chainwatch.chain import bloom, pool
from chainwatch.chain.completeness import proven_logs
from chainwatch.chain.errors import MalformedAnswer
from chainwatch.chain.history import find_logs, read_range
from chainwatch.chain.rpc import Endpoint
from chainwatch.model import RawLog
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

OTHER_TOPIC = "0x" + "77" * 32
UNSUPPORTED = {"code": -32601, "message": "the method does not exist"}
RECEIPTS = ("eth_getBlockReceipts", "eth_getTransactionReceipt")

Spoil = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def other_first_topic(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [log | {"topics": [OTHER_TOPIC, *log["topics"][1:]]} for log in logs]


def no_topics(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [log | {"topics": []} for log in logs]


def last_with_another_topic(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*logs[:-1], *other_first_topic(logs[-1:])]


def other_address(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [log | {"address": "0x" + "bb" * 20} for log in logs]


def other_block_hash(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [log | {"blockHash": "0x" + log["blockHash"][:1:-1]} for log in logs]


def other_block(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [log | {"blockNumber": hex(int(log["blockNumber"], 16) + 10_000)} for log in logs]


def doubled(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*logs, *logs]


def made_later(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [log | {"blockTimestamp": hex(int(log["blockTimestamp"], 16) + 900)} for log in logs]


SPOILT = [other_first_topic, no_topics, last_with_another_topic, other_address, other_block, doubled]


class Spoiling(FakeNode):
    """Passes the logs of every `eth_getLogs` with a filter through ``spoil`` for the next ``times`` that there are any."""

    def __init__(self, chain: FakeChain, spoil: Spoil, times: float = float("inf")) -> None:
        super().__init__(chain)
        self.spoil = spoil
        self.times = times

    def _result(self, method: str, params: list[Any]) -> Any:
        notified: Any = super()._result(method, params)
        if method == "eth_getLogs" and "address" in params[0] and notified and self.times > 0:
            self.times -= 1
            return self.spoil(notified)
        return notified


@pytest.fixture
def chain() -> FakeChain:
    """120 blocks, each third with a ping of its number."""
    chain = FakeChain()
    for number in range(1, 121):
        chain.mine(*([ping(number)] if number % 3 == 0 else []))
    return chain


PINGS = list(range(3, 121, 3))


@pytest.mark.parametrize("by_hash", [True, False])
@pytest.mark.parametrize("spoil", [*SPOILT, other_block_hash])
async def test_at_the_tip_they_are_refused_and_another_endpoint_is_asked(
    chain: FakeChain, spoil: Spoil, by_hash: bool
) -> None:
    async with Spoiling(chain, spoil) as bad, FakeNode(chain) as good:
        bad.by_hash = by_hash
        settings = network_settings(bad.http_url, good.http_url, start_block=0)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.at == 120)
    assert follower.pings == PINGS


@pytest.mark.parametrize("spoil", [*SPOILT, made_later])
async def test_in_a_range_they_are_refused_and_another_endpoint_is_asked(
    chain: FakeChain, spoil: Spoil
) -> None:
    async with (
        Spoiling(chain, spoil) as bad,
        FakeNode(chain) as good,
        open_pool(network_settings(bad.http_url, good.http_url)) as opened,
    ):
        await opened.all_tried()
        found = [e async for b in read_range(opened, watch_pings(), 1, 120) for e in b.events]
    assert [event.args["n"] for event in found] == PINGS
    assert [event.log.timestamp for event in found] == [chain.blocks[n].timestamp for n in PINGS]


@pytest.mark.parametrize("spoil", SPOILT)
async def test_in_a_range_of_an_only_endpoint_nothing_passes_until_it_answers_rightly(
    chain: FakeChain, spoil: Spoil
) -> None:
    async with Spoiling(chain, spoil, times=3) as node:
        settings = network_settings(node.http_url, start_block=0, reorg_window=20)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.at == 120)
    assert follower.pings == PINGS


async def test_a_search_for_one_key_refuses_the_logs_of_another(chain: FakeChain) -> None:
    topics = [(PING_TOPIC,), ((30).to_bytes(32, "big"),)]

    def every_ping(_: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [log for block in chain.blocks for log in block.logs]

    async with (
        Spoiling(chain, every_ping) as bad,
        FakeNode(chain) as good,
        open_pool(network_settings(bad.http_url, good.http_url)) as opened,
    ):
        await opened.all_tried()
        found = await find_logs(opened, ADDRESS, topics, 0, 120)
        assert [log.block_number for log in found] == [30]
        assert "topics that were not asked for" in str(opened.endpoints[0].last_error)


@pytest.mark.parametrize("spoil", [other_first_topic, doubled])
async def test_one_such_answer_does_not_make_false_empty_answers_believed(
    chain: FakeChain, spoil: Spoil
) -> None:
    async with Spoiling(chain, spoil, times=1) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.at == 120)
            node.fail("eth_getLogs", "result", [], times=None)
            chain.mine(ping(121))
            await follower.until(lambda: follower.at == 121)
    assert follower.pings == [*PINGS, 121]


@pytest.mark.parametrize("receipts", [True, False])
async def test_a_watched_log_that_its_block_does_not_have_is_refused_and_blooms_go_on_to_count(
    chain: FakeChain, receipts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HELD_PATIENCE", 0.2)
    chain.mine(FakeLog(bytes.fromhex("bb" * 20), [b"\x05" * 32]), ping(121))
    chain.mine(FakeLog(bytes.fromhex("bb" * 20), [b"\x06" * 32]))
    invented = chain.blocks[121].logs[1] | {
        "blockNumber": hex(122),
        "blockHash": chain.blocks[122].hash,
        "blockTimestamp": hex(chain.blocks[122].timestamp),
    }

    def with_invented(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*logs, invented]

    async with (
        Spoiling(chain, with_invented) as node,
        open_pool(network_settings(node.http_url)) as opened,
    ):
        for method in () if receipts else RECEIPTS:
            node.fail(method, "error", UNSUPPORTED, times=None)
        with pytest.raises(MalformedAnswer, match="a log of block 122 that its bloom excludes"):
            await opened.ask(page)
        node.spoil = list
        node.fail("eth_getLogs", "result", [], times=None)
        if receipts:
            assert [log.block_number for log in await opened.ask(page, 5.0)] == [117, 120, 121]


async def page(endpoint: Endpoint) -> list[RawLog]:
    """The pings of the blocks 115 to 122, put to the proof."""
    wanted, blocks = watch_pings().filter, await endpoint.blocks(range(115, 123))
    return await proven_logs(endpoint, wanted, blocks, await endpoint.logs(wanted, 115, 122))


async def test_blooms_that_were_found_foreign_count_again_once_they_are_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bloom, "FIRST_LOOK", 0.0)
    chain = FakeChain()
    for number in range(1, 6):
        chain.mine(ping(number))
    for block in chain.blocks:
        block.bloom = "0x" + "00" * 255 + "01"
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as opened, Follower(settings, opened).running() as follower:
            await follower.until(lambda: follower.at == 5)
            chain.mine(ping(6))
            await follower.until(lambda: follower.at == 6)
            node.fail("eth_getLogs", "result", [], times=None)
            chain.mine(ping(7))
            await follower.until(lambda: follower.at == 7)
    assert follower.pings == [1, 2, 3, 4, 5, 6, 7]


def test_blooms_that_stay_foreign_are_tested_ever_more_seldom() -> None:
    trust = bloom.BloomTrust()
    assert not trust.is_due(0.0)
    looks, now = 0, 0.0
    trust.judge(foreign=True, now=now)
    while now < 3_600.0:
        now += 1.0
        if trust.is_due(now):
            looks += 1
            trust.judge(foreign=True, now=now)
    assert looks < 20
    trust.judge(foreign=False, now=now)
    assert not trust.foreign
