"""A call that takes longer than usual is put to the next endpoint too; who hangs is asked last until it proves itself."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from chainwatch.chain import hedging, latency, member, pace
from chainwatch.chain.errors import Disputed, NodeError, RangeTooWide, RpcError
from chainwatch.chain.latency import Latencies, patience
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import Follower, network_settings, open_pool, ping
from tests.support.waiting import PATIENCE, eventually

HANG = ("hang", None, None)


@pytest.fixture
async def nodes() -> AsyncIterator[list[FakeNode]]:
    chain = FakeChain()
    chain.mine(count=20)
    async with FakeNode(chain) as one, FakeNode(chain) as two, FakeNode(chain) as three:
        yield [one, two, three]


@asynccontextmanager
async def pool_of(*nodes: FakeNode, **settings: object) -> AsyncIterator[Pool]:
    async with open_pool(
        network_settings(*[node.http_url for node in nodes], request_timeout="10m", **settings)
    ) as pool:
        await pool.all_tried()
        yield pool


async def block(endpoint: Endpoint) -> str:
    """Who answers."""
    await endpoint.headers([5])
    return endpoint.name[:6]


async def took(question: Awaitable[object]) -> float:
    begun = time.monotonic()
    await question
    return time.monotonic() - begun


async def warm(pool: Pool, times: int = latency.ENOUGH) -> None:
    for _ in range(times):
        await pool.ask(block)


async def test_a_hanging_call_is_put_to_the_next_endpoint_after_the_usual_time(nodes: list[FakeNode]) -> None:
    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        nodes[0].fail("eth_getBlockByNumber", *HANG)
        assert await took(pool.ask(block)) < PATIENCE
        assert await pool.ask(block) == "net[1]"
        slow = pool.endpoints[0]
        assert (slow.state, slow.errors) == ("frozen", 1)
        assert "another endpoint was asked" in (slow.last_error or "")


async def test_before_anything_is_known_a_call_has_a_second(nodes: list[FakeNode]) -> None:
    nodes[0].fail("eth_getBlockByNumber", *HANG)
    async with pool_of(*nodes[:2]) as pool:
        assert 0.9 < await took(pool.ask(block)) < PATIENCE


async def test_what_peers_usually_take_counts_where_nothing_is_known_of_an_endpoint() -> None:
    own, quick, slow = Latencies(), Latencies(), Latencies()
    assert patience("a 1", own, [quick, slow]) == latency.DEFAULT_PATIENCE
    for _ in range(latency.ENOUGH):
        quick.note("a 1", 0.4)
        slow.note("a 1", 3.0)
    assert patience("a 1", own, [quick, slow]) == 0.4
    assert patience("b 1", own, [quick, slow]) == latency.DEFAULT_PATIENCE
    assert patience("a 1", slow, [quick, slow]) == 3.0
    quick.note("a 1", 0.01)
    assert patience("a 1", quick, [slow]) == 0.4  # one in a hundred may take that long
    for _ in range(latency.WINDOW):
        quick.note("a 1", 0.01)
    assert patience("a 1", quick, [slow]) == latency.LEAST_PATIENCE


async def test_a_half_dead_endpoint_slows_no_block(nodes: list[FakeNode]) -> None:
    """It answers everything but eth_getLogs, on which it hangs."""
    chain = nodes[0].chain
    nodes[0].fail("eth_getLogs", *HANG)
    nodes[0].fail("batch", *HANG)
    settings = network_settings(
        nodes[0].http_url, nodes[1].http_url, request_timeout="10m", poll_interval="20ms"
    )
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.checkpoint is not None)
        for number in range(8):
            chain.mine(ping(number))
            await follower.until(lambda number=number: number in follower.pings)  # type: ignore[misc]
        assert pool.endpoints[0].state == "frozen"


async def test_who_hangs_proves_itself_by_what_it_hung_at(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "PROBE_EVERY", 0.05)
    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        fault = nodes[0].fail("eth_getBlockByNumber", *HANG)
        assert await pool.ask(block) == "net[1]"
        for _ in range(3):
            await pool.ask(Endpoint.chain_id)  # which it answers
        await asyncio.sleep(0.4)
        assert await pool.ask(block) == "net[1]"
        fault.times = 0
        async with asyncio.timeout(PATIENCE):
            while await pool.ask(block) != "net[0]":
                await asyncio.sleep(0.02)


async def test_a_timeout_is_not_made_good_by_the_chain_id(nodes: list[FakeNode]) -> None:
    nodes[0].fail("eth_getBlockByNumber", *HANG)
    settings = network_settings(nodes[0].http_url, nodes[1].http_url, request_timeout="2s")
    async with open_pool(settings) as pool:
        await pool.all_tried()
        assert await pool.ask(block) == "net[1]"
        await eventually(lambda: pool.endpoints[0].state == "frozen")  # it is verified again
        asked = nodes[0].asked["eth_getBlockByNumber"]
        assert await pool.ask(block) == "net[1]"
        assert nodes[0].asked["eth_getBlockByNumber"] == asked


async def test_one_that_hangs_is_still_asked_when_no_other_answers(nodes: list[FakeNode]) -> None:
    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        nodes[0].fail("eth_getBlockByNumber", *HANG).times = 1
        assert await pool.ask(block) == "net[1]"
        nodes[1].fail("eth_getBlockByNumber", "status", 500, times=None)
        assert await pool.ask(block) == "net[0]"
        assert pool.endpoints[0].state != "frozen"  # it has answered the like


async def test_a_question_that_nobody_could_answer_is_forgiven(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FORGIVE_AFTER", 0.6)
    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        nodes[0].fail("eth_getBlockByNumber", *HANG).times = 1
        assert await pool.ask(block) == "net[1]"
        async with asyncio.timeout(PATIENCE):
            while await pool.ask(block) != "net[0]":
                await asyncio.sleep(0.05)


async def test_healthy_endpoints_are_not_asked_twice(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "LEAST_PATIENCE", 5.0)  # however busy the machine is
    async with pool_of(*nodes[:2]) as pool:
        await warm(pool, 100)
        assert nodes[1].asked["eth_getBlockByNumber"] == 0


async def test_all_being_slow_at_once_does_not_double_the_load(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "LEAST_PATIENCE", 0.01)
    monkeypatch.setattr(pace, "LEAST_PATIENCE", 0.01)
    monkeypatch.setattr(latency, "WINDOW", 8)
    monkeypatch.setattr(hedging, "MOST_HEDGES", 3.0)
    asked: Counter[str] = Counter()

    async def slow(endpoint: Endpoint) -> str:
        asked[endpoint.name] += 1
        return await block(endpoint)

    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        for node in nodes[:2]:
            node.fail("eth_getBlockByNumber", "late", 0.1, None)
        for _ in range(3):
            await asyncio.gather(*[pool.ask(slow) for _ in range(10)])
        assert sum(asked.values()) <= 30 + 3 + 3


async def test_waiting_for_ones_turn_is_not_hanging(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "LEAST_PATIENCE", 2.0)
    async with pool_of(*nodes[:2], max_rps=5) as pool:
        await warm(pool, 9)
        await asyncio.gather(*[pool.ask(block) for _ in range(16)])  # the last one after three seconds
        assert nodes[1].asked["eth_getBlockByNumber"] == 0


async def test_the_first_good_answer_wins_and_who_is_beside_it_is_cut_short(nodes: list[FakeNode]) -> None:
    cut: list[str] = []
    other_is_asked = asyncio.Event()

    async def read(endpoint: Endpoint) -> str:
        try:
            if endpoint.name.startswith("net[1]"):
                other_is_asked.set()
                await asyncio.Event().wait()
            return await block(endpoint)
        except asyncio.CancelledError:
            cut.append(endpoint.name[:6])
            raise

    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        nodes[0].fail("eth_getBlockByNumber", "late", other_is_asked)
        assert await pool.ask(read) == "net[0]"
        assert cut == ["net[1]"]
        assert [endpoint.errors for endpoint in pool.endpoints] == [0, 0]
        assert pool.endpoints[0].state == "ok"


async def test_a_hedge_that_fails_leaves_the_first_to_answer(nodes: list[FakeNode]) -> None:
    async with pool_of(*nodes[:2]) as pool:
        await warm(pool)
        nodes[0].fail("eth_getBlockByNumber", "late", 0.5)
        nodes[1].fail("eth_getBlockByNumber", "error", {"code": -32603, "message": "oops"})
        assert await pool.ask(block) == "net[0]"


async def test_a_second_opinion_is_not_asked_of_who_hangs(nodes: list[FakeNode]) -> None:
    async with pool_of(*nodes) as pool:
        await warm(pool)
        nodes[0].fail("eth_getBlockByNumber", *HANG)
        assert await pool.ask(block) == "net[1]"
        by = pool._members[1].endpoint
        assert await pool.ask_another(block, by) == "net[2]"


async def test_agreement_is_reached_beside_one_that_hangs(nodes: list[FakeNode]) -> None:
    async def head(endpoint: Endpoint) -> int:
        return (await endpoint.headers([5]))[0].number

    async with pool_of(*nodes, agreement=2) as pool:
        for _ in range(latency.ENOUGH):
            await pool.ask_agreeing(head)
        nodes[0].fail("eth_getBlockByNumber", *HANG)
        assert await took(pool.ask_agreeing(head)) < PATIENCE


async def test_without_agreement_it_stays_disputed(nodes: list[FakeNode]) -> None:
    async with pool_of(*nodes[:2], agreement=2) as pool:
        with pytest.raises(Disputed, match="of 2 answers 1 are the same"):
            await pool.ask_agreeing(block)
        nodes[1].fail("eth_getBlockByNumber", "error", {"code": -32603, "message": "oops"}, times=None)
        with pytest.raises(Disputed, match=r"of 1 answers 1 are the same; .*oops"):
            await pool.ask_agreeing(block)


@pytest.mark.parametrize("error", [RangeTooWide, NodeError])
async def test_errors_are_those_of_the_endpoints(nodes: list[FakeNode], error: type[RpcError]) -> None:
    asked: list[str] = []

    async def read(endpoint: Endpoint) -> None:
        asked.append(endpoint.name[:6])
        if error is NodeError:
            raise NodeError(endpoint.name, "eth_call", -32000, "bad")
        raise error(endpoint.name, "bad")

    async with pool_of(*nodes[:2]) as pool:
        with pytest.raises(error):
            await pool.ask(read)
    assert asked == (["net[0]"] if error is RangeTooWide else ["net[0]", "net[1]"])


async def test_who_stops_waiting_leaves_nothing_running(nodes: list[FakeNode]) -> None:
    ended = asyncio.Event()

    async def read(endpoint: Endpoint) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with pool_of(*nodes[:2]) as pool:
        asking = asyncio.create_task(pool.ask(read))
        await asyncio.sleep(0.02)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert ended.is_set()
