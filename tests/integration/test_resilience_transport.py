"""How the ways to nodes fail, row by row: backends that lag, subscriptions that end or send nonsense, overload."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.fakenode import FakeChain, FakeNode
from tests.fakenode.chain import UnknownBlock
from tests.support.observing import Follower, network_settings, open_pool, ping


class TwoBackends(FakeNode):
    """Some requests go to a backend that is three blocks behind, and that knows no better than "none"."""

    dice = Random(1)

    def _answers(self, asked: Any) -> Any:
        self.lag = self.dice.choice((0, 3))
        return super()._answers(asked)

    def _result(self, method: str, params: list[Any]) -> Any:
        try:
            return super()._result(method, params)
        except UnknownBlock:
            return []


def growing(count: int = 10) -> FakeChain:
    """A chain with a ping of its number in each block."""
    chain = FakeChain()
    for number in range(1, count + 1):
        chain.mine(ping(number))
    return chain


async def test_row_01_a_backend_that_lags_behind_the_same_url_loses_nothing_S1() -> None:
    chain = growing()
    async with TwoBackends(chain) as node:
        settings = network_settings(node.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            for number in range(11, 31):
                chain.mine(ping(number))
                if number % 5 == 0:
                    await follower.until(lambda: follower.at >= chain.head.number - 3)
            await follower.until(lambda: follower.at == 30)
    assert follower.pings == list(range(1, 31))


async def test_row_07_a_connection_that_ends_in_the_middle_of_a_frame_is_opened_again_S1() -> None:
    chain = growing()
    async with FakeNode(chain) as node:
        settings = network_settings(node.ws_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            for socket in list(node._sockets):
                assert socket._req is not None
                assert socket._req.transport is not None
                socket._req.transport.write(b'\x81\x7e\x10\x00{"jsonrpc"')  # a text of 4,096 bytes begins
                socket._req.transport.close()
            chain.mine(ping(11))
            await follower.until(lambda: follower.at == 11)
    assert follower.pings == list(range(1, 12))
    assert node.connections == 2


async def test_row_07_a_subscription_closed_before_its_acknowledgement_is_opened_again() -> None:
    chain = growing()
    async with FakeNode(chain) as node:
        node.fail("eth_subscribe", "close", 1011, times=2)
        settings = network_settings(node.ws_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
    assert node.connections == 3


async def test_row_09_heads_that_are_skipped_repeated_and_out_of_order_are_all_read_once_S3() -> None:
    chain = growing()
    async with FakeNode(chain) as node:
        settings = network_settings(node.ws_url, node.http_url, start_block=0, poll_interval="30s")
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            for number in range(11, 17):
                chain.mine(ping(number))
            for lag in (0, 4, 4, 1, 5, 0, 0):
                await notify(node, {"subscription": "0x1", "result": chain.block("latest", lag)})
            await follower.until(lambda: follower.at == 16)
    assert follower.pings == list(range(1, 17))


@pytest.mark.parametrize("notified", ["nothing", "twice before", "twice after"])
async def test_row_10_removed_missing_doubled_or_late_ends_in_the_same_state_S4(notified: str) -> None:
    chain = growing()
    async with FakeNode(chain) as node:
        settings = network_settings(node.ws_url, node.http_url, start_block=0, poll_interval="30s")
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            removed = [log | {"removed": True} for block in chain.blocks[8:] for log in block.logs] * 2
            chain.rewind(3)
            chain.mine(ping(88), count=4)
            notices = [{"subscription": "0x2", "result": log} for log in removed]
            for notice in notices if notified == "twice before" else []:
                await notify(node, notice)
            await node.announce()
            for notice in notices if notified == "twice after" else []:
                await notify(node, notice)
            await follower.until(lambda: follower.at == chain.head.number)
    assert follower.pings == [1, 2, 3, 4, 5, 6, 7, 88]


async def test_row_11_503_without_end_gets_few_questions_and_few_log_lines_while_another_serves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chain = growing()
    async with FakeNode(chain) as sick, FakeNode(chain) as well:
        settings = network_settings(sick.http_url, well.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            asked = sick.posts
            sick.fail("*", "status", 503, times=None)
            for number in range(11, 41):
                chain.mine(ping(number))
                await follower.until(lambda: follower.at == chain.head.number)
            assert pool.endpoints[0].state == "down"
    assert follower.pings == list(range(1, 41))
    assert sick.posts - asked <= 12
    assert len([line for line in capsys.readouterr().out.splitlines() if "warning" in line]) <= 3


async def notify(node: FakeNode, params: dict[str, Any]) -> None:
    """Sends a notification to every subscriber."""
    message = json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
    for socket in list(node._subscribed):
        await socket.send_str(message)
