"""A chain that began anew, and a node that was thrown back: noticed, reported, and never taken for a network in health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from chainwatch.chain import pool as pool_module
from chainwatch.chain.errors import ChainReset, DeepReorg, NotThere
from chainwatch.chain.failures import Failures
from chainwatch.chain.headers import HeaderWindow
from chainwatch.chain.tip import find_ancestor
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import Follower, network_settings, open_pool, ping

START = 1_700_000_000
LATER = START + 50_000


def long_chain(blocks: int = 400) -> FakeChain:
    chain = FakeChain(start=START, block_time=12)
    chain.mine(count=blocks)
    return chain


def new_chain(blocks: int = 5) -> FakeChain:
    """What stands in its place after it was reset."""
    chain = FakeChain(start=LATER, block_time=12)
    chain.rewind(0)  # from here on its blocks are others
    chain.mine(count=blocks)
    return chain


@pytest.mark.parametrize("blocks", [0, 5, 200])
async def test_a_head_below_all_that_is_kept_but_made_later_proves_a_reset_at_once(blocks: int) -> None:
    async with FakeNode(long_chain()) as node:
        settings = network_settings(node.http_url, start_block=380, reorg_window=16)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 400)
            node.chain = new_chain(blocks)
            with pytest.raises(ChainReset, match=r"chainwatch rewind net BLOCK") as raised:
                await follower.until(lambda: False)
            assert f"block {blocks}" in str(raised.value)
            assert follower.observer.status.state == "halted"
            assert follower.at == 400, "nothing is dropped by guessing"


@pytest.mark.parametrize("blocks", [50, 100, 130, 390, 401, 450, 900])
async def test_a_reset_chain_of_any_height_halts_the_network(blocks: int) -> None:
    chain = long_chain(100)
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=0, reorg_window=64)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 100)
            node.chain = new_chain(blocks)
            with pytest.raises(DeepReorg, match=r"chainwatch rewind net BLOCK"):
                await follower.until(lambda: False)
            assert follower.observer.status.state == "halted"


async def test_a_reset_while_the_process_was_down_is_found_at_restart() -> None:
    async with FakeNode(long_chain()) as node:
        settings = network_settings(node.http_url, start_block=380, reorg_window=16)
        async with open_pool(settings) as pool:
            follower = Follower(settings, pool)
            async with follower.running():
                await follower.until(lambda: follower.at == 400)
            node.chain = new_chain()
            async with follower.running():
                with pytest.raises(ChainReset):
                    await follower.until(lambda: False)


async def test_a_block_between_those_that_are_kept_is_compared_by_the_nearest_one_below() -> None:
    async with FakeNode(long_chain()) as node:
        settings = network_settings(node.http_url, start_block=380, reorg_window=64)
        async with open_pool(settings) as pool:
            follower = Follower(settings, pool)
            async with follower.running():
                await follower.until(lambda: follower.at == 400)
            follower.headers = {n: h for n, h in follower.headers.items() if n % 10 == 0}
            node.chain = new_chain(395)
            async with follower.running():
                with pytest.raises(DeepReorg):
                    await follower.until(lambda: False)


@pytest.mark.parametrize("first", ["reset", "honest"])
@pytest.mark.parametrize("blocks", [5, 390, 400, 401, 450])
async def test_of_a_reset_and_an_honest_endpoint_the_honest_one_counts_S8(first: str, blocks: int) -> None:
    honest = long_chain()
    reset = new_chain(blocks)
    async with FakeNode(honest.clone()) as one, FakeNode(honest) as other:
        urls = [one.http_url, other.http_url]
        settings = network_settings(
            *(urls if first == "reset" else reversed(urls)), start_block=380, reorg_window=16
        )
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 400)
            one.chain = reset
            for number in range(401, 410):
                honest.mine(ping(number))
                await asyncio.sleep(0.05)
            await follower.until(lambda: follower.at == 409)
            assert follower.pings == list(range(401, 410))


async def test_a_reset_is_not_believed_at_once_while_another_endpoint_is_away() -> None:
    now = [float(LATER)]
    honest = long_chain()
    async with FakeNode(honest.clone()) as reset, FakeNode(honest) as other:
        settings = network_settings(
            reset.http_url, other.http_url, start_block=380, reorg_window=16, blind_after="1h"
        )

        def clock() -> float:
            return now[0]

        async with open_pool(settings, clock) as pool, Follower(settings, pool, clock).running() as follower:
            await follower.until(lambda: follower.at == 400)
            await other.stop()
            reset.chain = new_chain()
            await follower.until(lambda: follower.observer.status.last_error is not None)
            await asyncio.sleep(0.3)
            assert follower.error is None
            now[0] += 16
            with pytest.raises(DeepReorg):
                await follower.until(lambda: False)


async def test_an_endpoint_that_comes_back_while_a_reset_one_is_asked_is_waited_for_S8() -> None:
    """Which it was not where it came back between the question and the verdict: the network was halted."""

    class Returning(FakeNode):
        """By its answers the other endpoint is back."""

        def _result(self, method: str, params: list[Any]) -> Any:
            if method == "eth_getBlockByNumber":
                other.state = "ok"
            return super()._result(method, params)

    async with FakeNode(long_chain()) as honest, Returning(new_chain(450)) as reset:
        settings = network_settings(reset.http_url, honest.http_url)
        async with open_pool(settings) as pool:
            other = pool._members[1]
            await pool.all_tried()
            window = HeaderWindow(16, await other.endpoint.headers(list(range(385, 401))))
            pool.avoid(pool._members[0].endpoint, "it was reset")
            pool._members[0].state = "ok"
            other.state = "down"
            now = [0.0]
            failures = Failures(settings, pool, lambda: now[0])
            with pytest.raises(DeepReorg) as raised:
                await find_ancestor(pool, window, 400)
            assert (pool.whole, failures.is_reorg_final(raised.value.all_asked)) == (True, False)
            now[0] += 60
            assert not failures.is_reorg_final(raised.value.all_asked)
            with pytest.raises(NotThere, match="another history than the others"):
                await find_ancestor(pool, window, 400)


async def test_of_a_reset_endpoint_that_was_contradicted_nothing_is_believed_while_the_honest_one_is_away_S8(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "AVOIDED_FOR", 0.2)
    now = [float(LATER)]
    honest = long_chain()
    async with FakeNode(honest.clone()) as reset, FakeNode(honest) as other:
        settings = network_settings(
            reset.http_url, other.http_url, start_block=380, reorg_window=16, blind_after="1h"
        )

        def clock() -> float:
            return now[0]

        async with open_pool(settings, clock) as pool, Follower(settings, pool, clock).running() as follower:
            await follower.until(lambda: follower.at == 400)
            reset.chain = new_chain(450)
            honest.mine(ping(401))
            await follower.until(lambda: follower.at == 401)
            await other.stop()
            await follower.until(lambda: "none of the" in str(follower.observer.status.last_error))
            now[0] += 60
            await asyncio.sleep(0.5)
            now[0] += 60
            await follower.until(lambda: follower.observer.status.disputed is not None)
            assert follower.error is None
            honest.mine(ping(402))
            monkeypatch.undo()
            await other.start()
            await follower.until(lambda: follower.at == 402)
            assert follower.pings[-2:] == [401, 402]


@pytest.mark.parametrize("blocks", [394, 397])
async def test_with_confirmations_a_reset_is_found_though_the_head_is_above_what_was_read(
    blocks: int,
) -> None:
    async with FakeNode(long_chain()) as node:
        settings = network_settings(node.http_url, start_block=370, reorg_window=64, confirmations=12)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 388)
            node.chain = new_chain(blocks)
            with pytest.raises(DeepReorg):
                await follower.until(lambda: False)


def _thrown_back(chain: FakeChain) -> None:
    del chain.blocks[-50:]


def _far_thrown_back(chain: FakeChain) -> None:
    del chain.blocks[-350:]


@pytest.mark.parametrize("how", [_thrown_back, _far_thrown_back])
async def test_a_node_that_was_thrown_back_is_not_live_and_proves_nothing_S5(
    how: Callable[[FakeChain], None],
) -> None:
    chain = long_chain()
    now = [chain.head.timestamp + 1.0]
    async with FakeNode(chain) as node:
        settings = network_settings(node.http_url, start_block=380, blind_after="5s")

        def clock() -> float:
            return now[0]

        async with open_pool(settings, clock) as pool, Follower(settings, pool, clock).running() as follower:
            await follower.until(lambda: follower.at == 400 and follower.observer.status.state == "live")
            how(chain)
            await follower.until(lambda: follower.observer.status.behind_since is not None)
            for _ in range(4):
                now[0] += 2
                await asyncio.sleep(0.12)
            assert follower.observer.status.state == "stalled"
            assert all(
                item.until < chain.head.timestamp + 12 * 400
                for item in follower.items[1:]
                if hasattr(item, "until")
            )
            assert follower.checkpoint is not None
            assert follower.checkpoint.seen_until <= START + 400 * 12 + 1
