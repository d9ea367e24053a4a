"""The observer against real anvil nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from chainwatch.chain.errors import WrongChain
from chainwatch.model import Seen
from tests.support.anvil import Anvil
from tests.support.observing import ADDRESS, PING_TOPIC, Follower, network_settings, open_pool

pytestmark = pytest.mark.anvil

EMITTER = "0x" + ADDRESS.hex()


@pytest.fixture
def node(anvil_factory: Callable[..., Anvil]) -> Anvil:
    node = anvil_factory(chain_id=1)
    node.set_emitter(EMITTER)
    return node


async def ping(node: Anvil, *numbers: int) -> None:
    for number in numbers:
        await asyncio.to_thread(node.emit, EMITTER, [PING_TOPIC, number.to_bytes(32, "big")], b"")


async def test_a_mined_block_comes_without_waiting_for_the_next_poll(node: Anvil) -> None:
    settings = network_settings(node.ws_url, node.http_url, poll_interval="30s")
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 0 and pool.subscribed)
        took = []
        for number in range(1, 11):
            await ping(node, number)
            began = time.perf_counter()
            await follower.until(lambda number=number: follower.at == number)  # type: ignore[misc]  # bound now
            took.append(time.perf_counter() - began)
        assert follower.pings == list(range(1, 11))
        assert sorted(took)[5] < 10, "polling takes 30 s"


@pytest.mark.parametrize("depth", [1, 4])
async def test_reorged_pings_stop_counting_S4(node: Anvil, depth: int) -> None:
    settings = network_settings(node.ws_url, node.http_url)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 0)
        await ping(node, 1, 2, 3, 4, 5)
        await follower.until(lambda: follower.at == 5)
        await asyncio.to_thread(node.reorg, depth)
        kept = list(range(1, 6 - depth))
        await follower.until(lambda: follower.pings == kept)
        await ping(node, 6)
        await follower.until(lambda: follower.at == 6)
        assert follower.pings == [*kept, 6]


async def test_a_revert_to_a_shorter_chain_is_found_with_its_next_block_S4(node: Anvil) -> None:
    settings = network_settings(node.http_url)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await ping(node, 1)
        snapshot = node.rpc("evm_snapshot")
        await ping(node, 2, 3, 4)
        await follower.until(lambda: follower.at == 4)
        node.rpc("evm_revert", snapshot)
        await ping(node, 12)
        await follower.until(lambda: follower.at == 2)
        assert follower.pings[-1:] == [12]
        assert not {2, 3, 4} & set(follower.pings)


async def test_a_thousand_blocks_at_once_are_all_read_S1(node: Anvil) -> None:
    settings = network_settings(node.ws_url, node.http_url)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await ping(node, 1)
        await follower.until(lambda: follower.at >= 1)
        await asyncio.to_thread(node.mine, 1000)
        await ping(node, 2)
        await follower.until(lambda: follower.at == 1002)
        assert follower.pings[-1] == 2


async def test_what_a_node_mined_before_and_while_it_was_not_followed_is_read_S1(node: Anvil) -> None:
    settings = network_settings(node.http_url, start_block=0, reorg_window=16)
    await ping(node, 1)
    await asyncio.to_thread(node.mine, 300)
    await ping(node, 2)
    async with open_pool(settings) as pool:
        follower = Follower(settings, pool)
        async with follower.running():
            await follower.until(lambda: follower.at == 302)
        await ping(node, 3)
        await asyncio.to_thread(node.mine, 100)
        await ping(node, 4)
        async with follower.running():
            await follower.until(lambda: follower.at == 404)
    assert follower.pings == [1, 2, 3, 4]


async def test_a_restarted_node_is_followed_on(node: Anvil) -> None:
    settings = network_settings(node.ws_url, node.http_url)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await ping(node, 1)
        await follower.until(lambda: follower.at == 1)
        await asyncio.to_thread(node.stop)
        await follower.until(lambda: follower.observer.status.last_error is not None)
        await asyncio.to_thread(node.start)
        await ping(node, 2)
        await follower.until(lambda: follower.at == 2 and pool.subscribed)
        assert follower.pings[-1] == 2


async def test_a_frozen_node_is_blind_and_reports_nothing_seen_until_it_goes_on_S5(node: Anvil) -> None:
    settings = network_settings(node.ws_url, node.http_url, blind_after="1s", request_timeout="400ms")
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await ping(node, 1)
        await follower.until(lambda: follower.at == 1)
        node.freeze()
        follower.observer.wake()
        await follower.until(lambda: follower.observer.status.state == "blind")
        seen = [item for item in follower.items if isinstance(item, Seen)]
        assert all(item.until <= time.time() - 1 for item in seen)
        node.thaw()
        await ping(node, 2)
        await follower.until(lambda: follower.at == 2)
        await follower.until(lambda: follower.observer.status.state == "live")


async def test_the_second_of_two_nodes_with_the_same_chain_takes_over_S8(
    node: Anvil, anvil_factory: Callable[..., Anvil]
) -> None:
    await ping(node, 1, 2)
    copy = anvil_factory(chain_id=1, arguments=["--fork-url", node.http_url])
    settings = network_settings(copy.http_url, node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 2)
        await asyncio.to_thread(copy.kill)
        await ping(node, 3)
        await follower.until(lambda: follower.at == 3)
        assert follower.pings == [1, 2, 3]


async def test_a_node_of_another_chain_is_refused(node: Anvil) -> None:
    with pytest.raises(WrongChain, match="is chain 1"):
        async with open_pool(network_settings(node.ws_url, node.http_url, chain_id=10)):
            pass
