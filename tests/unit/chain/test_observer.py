"""What an observer reports of its network, and what it does about an outage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chainwatch.chain.chain_time import ChainTime
from chainwatch.chain.errors import WrongChain
from chainwatch.chain.headers import links
from chainwatch.chain.observer import Observer
from chainwatch.chain.pool import Pool
from chainwatch.chain.transport import open_session
from chainwatch.model import Seen
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import Follower, network_settings, open_pool, ping, watch_pings


async def test_before_the_first_answer_a_network_is_starting_and_then_blind() -> None:
    now = [1000.0]
    settings = network_settings("http://127.0.0.1:9", blind_after="15s")
    async with open_session() as session:
        observer = Observer(settings, watch_pings(), Pool(settings, session), lambda: now[0])
        assert observer.status.state == "starting"
        now[0] += 16
        assert observer.status.state == "blind"
        assert (observer.status.head, observer.status.checkpoint, observer.status.lag_blocks) == (
            None,
            None,
            0,
        )


async def test_the_status_reports_head_checkpoint_and_lag() -> None:
    chain = FakeChain()
    chain.mine(count=20)
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 20 and follower.observer.status.state == "live")
            status = follower.observer.status
            assert (status.name, status.chain_id, status.transport) == ("net", 1, "polling")
            assert status.head == status.checkpoint
            assert status.head is not None
            assert (status.head.number, status.lag_blocks, status.last_error) == (20, 0, None)


async def test_errors_of_reading_are_reported_and_forgotten_after_recovery() -> None:
    async with FakeNode(FakeChain()) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 0)
            fault = node.fail("eth_getBlockByNumber", "html", times=None)
            await follower.until(lambda: follower.observer.status.last_error is not None)
            assert "malformed" in str(follower.observer.status.last_error) + str(pool.endpoints[0].last_error)
            fault.times = 0
            await follower.until(lambda: follower.observer.status.last_error is None)


async def test_another_chain_behind_the_url_ends_it_at_the_start_only() -> None:
    chain = FakeChain()
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 0)
            node.chain = FakeChain(chain_id=9)
            await node.stop()
            await follower.until(lambda: pool.endpoints[0].state == "down")
            await node.start()
            await follower.until(lambda: pool.endpoints[0].state == "refused")
            await follower.until(lambda: "is chain 9" in str(follower.observer.status.last_error))
            with pytest.raises(WrongChain):
                async for _ in Observer(settings, watch_pings(), pool, lambda: 0.0).batches(None, []):
                    pass


async def test_after_an_outage_a_head_that_does_not_move_proves_nothing_for_as_long_S5() -> None:
    chain = FakeChain()
    now = [chain.head.timestamp + 100.0]

    def clock() -> float:
        return now[0]

    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with (
            open_pool(settings, clock) as pool,
            Follower(settings, pool, clock).running() as follower,
        ):
            await follower.until(lambda: isinstance(follower.items[-1], Seen) if follower.items else False)
            await node.stop()
            await follower.until(lambda: follower.observer.status.last_error is not None)
            now[0] += 8
            await node.start()
            await follower.until(lambda: follower.observer.status.last_error is None)
            count = len(follower.items)
            now[0] += 7
            follower.observer.wake()
            await asyncio.sleep(0.1)
            assert len(follower.items) == count
            now[0] += 2
            follower.observer.wake()
            await follower.until(lambda: len(follower.items) > count)
            assert follower.items[-1] == Seen("net", int(now[0]) - 2)


async def test_while_no_source_proves_the_time_this_machines_clock_shows_nothing_as_seen_S5() -> None:
    chain = FakeChain()

    def clock() -> float:
        return chain.head.timestamp + 100.0

    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        unproven = ChainTime(clock, alone_after=3600.0)
        async with (
            open_pool(settings, clock) as pool,
            Follower(settings, pool, clock, chain_time=unproven).running() as follower,
        ):
            await follower.until(lambda: follower.at == 0)
            await looks(follower, node)
            assert follower.items == follower.batches


class OtherHead(FakeNode):
    """Names another block of the same number as its newest one while ``forked``."""

    forked = False

    def _result(self, method: str, params: list[Any]) -> Any:
        found = super()._result(method, params)
        if self.forked and method == "eth_getBlockByNumber" and params[0] == "latest":
            return found | {"hash": "0x" + "77" * 32}
        return found


async def test_a_head_that_is_not_the_block_that_was_read_shows_nothing_as_seen_S5() -> None:
    chain = FakeChain()
    chain.mine(count=3)
    now = chain.head.timestamp + 100.0

    async with OtherHead(chain) as node:
        node.forked = True
        settings = network_settings(node.http_url, start_block=0)
        async with (
            open_pool(settings, lambda: now) as pool,
            Follower(settings, pool, lambda: now).running() as follower,
        ):
            await follower.until(lambda: follower.at == 3)
            await looks(follower, node)
            assert follower.items == follower.batches
            node.forked = False
            await follower.until(lambda: isinstance(follower.items[-1], Seen))


class SlowHead(FakeNode):
    """Takes three seconds of ``now`` to name its newest block; ``asked_at``: when it was asked last."""

    def __init__(self, chain: FakeChain, now: list[float]) -> None:
        super().__init__(chain)
        self.now = now
        self.asked_at = 0.0

    def _result(self, method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            self.asked_at = self.now[0]
            self.now[0] += 3.0
        return super()._result(method, params)


async def test_a_head_that_comes_late_shows_what_was_when_it_was_asked_for_S5() -> None:
    chain = FakeChain()
    now = [chain.head.timestamp + 100.0]
    async with SlowHead(chain, now) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with (
            open_pool(settings, lambda: now[0]) as pool,
            Follower(settings, pool, lambda: now[0]).running() as follower,
        ):
            await follower.until(lambda: isinstance(follower.items[-1], Seen) if follower.items else False)
            (seen,) = (item for item in follower.items if isinstance(item, Seen))
            assert seen.until <= node.asked_at - 2


class Racing(FakeNode):
    """Gives block 2 of another fork, which has no logs, the first ``times`` that it is asked for."""

    times = 3

    def _result(self, method: str, params: list[Any]) -> Any:
        other = "0x" + "77" * 32
        if method == "eth_getLogs" and params[0].get("blockHash") == other:
            return []
        found = super()._result(method, params)
        if self.times and method == "eth_getBlockByNumber" and params[0] == "0x2":
            self.times -= 1
            return found | {"hash": other}
        return found


async def test_blocks_that_do_not_link_are_read_again_S1() -> None:
    chain = FakeChain()
    for number in range(1, 5):
        chain.mine(*([] if number == 2 else [ping(number)]))
    async with Racing(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 4)
    assert node.times == 0
    assert links(None, list(follower.headers.values()))
    assert follower.pings == [1, 3, 4]


async def looks(follower: Follower, node: FakeNode) -> None:
    """Returns once the observer has looked at ``node`` a few times more."""
    before = node.posts
    follower.observer.wake()
    await follower.until(lambda: node.posts >= before + 6)
