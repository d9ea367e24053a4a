"""A block that cannot have been made yet: every deadline before it would be over, so one endpoint is not believed that."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chainwatch.chain import history
from chainwatch.chain.chain_time import ALONE_AFTER, ChainTime
from chainwatch.chain.history import read_range
from chainwatch.chain.page_ends import FUTURE, FromTheFuture
from chainwatch.chain.pool import Pool
from chainwatch.chain.tip import read_blocks
from chainwatch.chain.transport import open_session
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import network_settings, watch_pings

NOW = time.time()
YEAR_2106 = 2**32 - 10


class Host:
    """Its clock is ``ahead`` of the time by so many seconds, and it has run for a while."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.up = 0.0
        self.chain_time = ChainTime(lambda: NOW + self.up + ahead, lambda: self.up)
        self.up = ALONE_AFTER

    def other_network(self) -> None:
        """Another network makes blocks, and they come at once."""
        for _ in range(4):
            self.up += 4
            self.chain_time.saw_head("other", int(NOW + self.up), slack=0.5)


@asynccontextmanager
async def pool_of_one(start: float, host: Host) -> AsyncIterator[Pool]:
    chain = FakeChain(start=int(start))
    chain.mine(count=3)
    async with FakeNode(chain) as node, open_session() as session:
        pool = Pool(network_settings(node.http_url), session, chain_time=host.chain_time)
        async with pool:
            yield pool


@pytest.mark.parametrize(
    "start", [YEAR_2106, NOW + 3600, NOW + FUTURE + 60], ids=["year 2106", "an hour", "more than the margin"]
)
async def test_one_endpoint_is_not_believed_what_the_clock_and_another_network_refute_S5(
    monkeypatch: pytest.MonkeyPatch, start: float
) -> None:
    host = Host()
    host.other_network()
    async with pool_of_one(start, host) as pool:
        with pytest.raises(FromTheFuture, match="in the future"):
            await read_blocks(pool, watch_pings(), None, 0, 3)
        monkeypatch.setattr(history, "PATIENCE", 0.0)
        with pytest.raises(FromTheFuture):
            async for _ in read_range(pool, watch_pings(), 0, 3):
                pass


async def test_a_clock_that_is_behind_stops_no_network_from_being_read() -> None:
    host = Host(ahead=-3600.0)
    host.other_network()
    async with pool_of_one(NOW, host) as pool:
        assert (await read_blocks(pool, watch_pings(), None, 0, 3)).last.number == 3


async def test_without_another_network_a_single_endpoint_is_believed() -> None:
    async with pool_of_one(NOW + 3600, Host()) as pool:
        assert (await read_blocks(pool, watch_pings(), None, 0, 3)).last.number == 3
