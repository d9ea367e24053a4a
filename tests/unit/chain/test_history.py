"""Finding blocks by time, the size of pages, and what is kept in flight."""

from __future__ import annotations

import pytest

from chainwatch.chain import history
from chainwatch.chain.errors import RpcError
from chainwatch.chain.history import block_at, read_range
from tests.fakenode import FakeChain, FakeNode
from tests.fakenode.chain import GENESIS_TIME
from tests.support.observing import network_settings, open_pool, ping, watch_pings


@pytest.mark.parametrize(
    ("seconds", "block"), [(-5, 0), (0, 0), (1, 1), (12, 1), (13, 2), (120, 10), (600, 50), (601, 51)]
)
async def test_the_first_block_at_a_time_is_found(seconds: int, block: int) -> None:
    chain = FakeChain(block_time=12)
    chain.mine(count=50)
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        assert await block_at(pool, GENESIS_TIME + seconds) == block


async def test_dense_pages_become_small_and_sparse_ones_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "GOOD_PAGE", 64)
    chain = FakeChain()
    for _ in range(300):
        chain.mine(*[ping(1)] * 8)
    chain.mine(count=3000)
    async with FakeNode(chain) as node, open_pool(network_settings(node.http_url)) as pool:
        sizes = [b.last.number - b.first + 1 async for b in read_range(pool, watch_pings(), 1, 3300)]
    assert 8 in sizes[1:8]
    assert max(sizes) > 500
    assert sum(sizes) == 3300


async def test_no_page_is_larger_than_configured() -> None:
    chain = FakeChain()
    chain.mine(count=500)
    async with FakeNode(chain) as node:
        async with open_pool(network_settings(node.http_url, max_block_range=37)) as pool:
            assert [b.last.number async for b in read_range(pool, watch_pings(), 1, 500)][-1] == 500
        assert max(int(q["toBlock"], 16) - int(q["fromBlock"], 16) for q in node.queries) == 36


async def test_few_pages_are_read_ahead_of_a_slow_consumer_S10() -> None:
    chain = FakeChain()
    chain.mine(count=2000)
    async with FakeNode(chain) as node:
        async with open_pool(network_settings(node.http_url, max_block_range=10)) as pool:
            pages = read_range(pool, watch_pings(), 1, 2000)
            async for batch in pages:
                if batch.last.number >= 100:
                    break
            await pages.aclose()
        assert len(node.queries) <= 10 + history.IN_FLIGHT


async def test_a_page_that_stays_unreadable_raises_and_the_pages_before_it_were_given_S1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "PATIENCE", 0.3)
    chain = FakeChain()
    chain.mine(count=100)
    given = []

    async def read(node: FakeNode) -> None:
        async with open_pool(network_settings(node.http_url, max_block_range=10)) as pool:
            async for batch in read_range(pool, watch_pings(), 1, 100):
                given.append(batch.last.number)
                if batch.last.number == 30:
                    node.fail("eth_getLogs", "html", times=None)

    async with FakeNode(chain) as node:
        with pytest.raises(RpcError):
            await read(node)
    assert given == list(range(10, given[-1] + 1, 10))
    assert given[-1] < 100
