"""A false hash of a block far behind the head is found before it is stored: later it would look like a deep reorg (S1)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import Follower, network_settings, open_pool, ping

FALSE = "0x" + "ee" * 32
FIRST_PAGE_ENDS, RANGE_ENDS, HEAD = 31, 80, 100


class LyingNode(FakeNode):
    """Gives the block ``number`` a false hash, ``times`` times."""

    def __init__(self, chain: FakeChain, number: int, times: float) -> None:
        super().__init__(chain)
        self.lies = 0
        self._number = number
        self._times = times

    def _result(self, method: str, params: list[Any]) -> Any:
        result = super()._result(method, params)
        if method == "eth_getBlockByNumber" and params[0] == hex(self._number) and self.lies < self._times:
            self.lies += 1
            return result | {"hash": FALSE}
        return result


@pytest.fixture
def chain() -> FakeChain:
    chain = FakeChain()
    for number in range(1, HEAD + 1):
        chain.mine(*([ping(number)] if number % 2 and number != FIRST_PAGE_ENDS else []))
    return chain


@pytest.mark.parametrize("times", [1, float("inf")], ids=["once", "for ever"])
@pytest.mark.parametrize("number", [FIRST_PAGE_ENDS, RANGE_ENDS])
@pytest.mark.parametrize("first", [True, False], ids=["asked first", "asked second"])
async def test_one_endpoint_that_lies_of_a_hash_halts_nothing_S1(
    chain: FakeChain, number: int, times: float, first: bool
) -> None:
    async with LyingNode(chain, number, times) as liar, FakeNode(chain) as honest:
        urls = [liar.http_url, honest.http_url] if first else [honest.http_url, liar.http_url]
        settings = network_settings(*urls, start_block=0, reorg_window=20, max_block_range=32)
        async with open_pool(settings) as pool:
            follower = Follower(settings, pool)
            async with follower.running():
                await follower.until(lambda: follower.at >= number)
            async with follower.running():  # from what was stored
                await follower.until(lambda: follower.at == HEAD)
        assert follower.pings == [n for n in range(1, HEAD + 1, 2) if n != FIRST_PAGE_ENDS]
        assert all(batch.last.hash != bytes.fromhex(FALSE[2:]) for batch in follower.batches)
        assert all(batch.ancestor is None for batch in follower.batches), "nothing was reorged"


async def test_a_single_endpoint_that_contradicts_itself_is_asked_again(chain: FakeChain) -> None:
    async with LyingNode(chain, FIRST_PAGE_ENDS, 1) as liar:
        settings = network_settings(liar.http_url, start_block=0, reorg_window=20, max_block_range=32)
        async with open_pool(settings) as pool:
            follower = Follower(settings, pool)
            async with follower.running():
                await follower.until(lambda: follower.at == FIRST_PAGE_ENDS)
            async with follower.running():
                await follower.until(lambda: follower.at == HEAD)
        assert liar.lies == 1
        assert all(batch.ancestor is None for batch in follower.batches)
