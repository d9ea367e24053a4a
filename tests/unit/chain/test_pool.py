"""A network's endpoints: order, failover, refusal, and what is known of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chainwatch.chain import member
from chainwatch.chain.errors import MalformedAnswer, NodeError, NotThere, RangeTooWide, RpcError, Unavailable
from chainwatch.chain.pace import LEAST
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.wire import Call
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import network_settings, open_pool
from tests.support.waiting import PATIENCE, eventually


@pytest.fixture
async def nodes() -> AsyncIterator[list[FakeNode]]:
    async with FakeNode(FakeChain()) as one, FakeNode(FakeChain()) as two:
        yield [one, two]


async def name_of(endpoint: Endpoint) -> str:
    return endpoint.name


async def test_the_first_usable_endpoint_is_asked(nodes: list[FakeNode]) -> None:
    async with open_pool(network_settings(*[node.http_url for node in nodes])) as pool:
        await pool.all_tried()
        assert (await pool.ask(name_of)).startswith("net[0] ")
        assert [endpoint.state for endpoint in pool.endpoints] == ["ok", "ok"]


async def test_http_endpoints_are_asked_before_websockets(nodes: list[FakeNode]) -> None:
    async with open_pool(network_settings(nodes[0].ws_url, nodes[1].http_url)) as pool:
        await pool.all_tried()
        assert (await pool.ask(name_of)).startswith("net[1] ")
        assert [endpoint.kind for endpoint in pool.endpoints] == ["websocket", "http"]


@pytest.mark.parametrize(("error", "set_aside"), [(MalformedAnswer, True), (NotThere, False)])
async def test_a_failed_question_goes_to_the_next_and_its_endpoint_is_set_aside_only_for_its_own_fault(
    nodes: list[FakeNode], error: type[RpcError], set_aside: bool
) -> None:
    async def fail_first(endpoint: Endpoint) -> str:
        if endpoint.name.startswith("net[0]"):
            raise error(endpoint.name, "bad")
        return endpoint.name

    async with open_pool(network_settings(*[node.http_url for node in nodes])) as pool:
        await pool.all_tried()
        assert (await pool.ask(fail_first)).startswith("net[1] ")
        first = pool.endpoints[0]
        assert (first.state, first.errors, first.last_error) == ("down" if set_aside else "ok", 1, "bad")


async def test_a_question_for_less_is_the_askers_business(nodes: list[FakeNode]) -> None:
    async def too_wide(endpoint: Endpoint) -> None:
        raise RangeTooWide(endpoint.name, "too much")

    async with open_pool(network_settings(nodes[0].http_url)) as pool:
        with pytest.raises(RangeTooWide):
            await pool.ask(too_wide, patience=60)
        assert pool.endpoints[0].state == "ok"


async def test_a_patient_question_outlasts_an_outage(nodes: list[FakeNode]) -> None:
    node = nodes[0]
    async with open_pool(network_settings(node.http_url)) as pool:
        await node.stop()
        with pytest.raises(RpcError):
            await pool.ask(Endpoint.head)
        with pytest.raises(Unavailable, match="no endpoint is usable now"):
            await pool.ask(Endpoint.head)
        asking = asyncio.create_task(pool.ask(Endpoint.head, patience=PATIENCE))
        await asyncio.sleep(0.1)
        await node.start()
        assert (await asking).number == 0


async def test_many_errors_make_an_endpoint_degraded_until_it_answers_again(nodes: list[FakeNode]) -> None:
    async with open_pool(network_settings(nodes[0].http_url)) as pool:
        nodes[0].fail("eth_getBlockByNumber", "error", {"code": -32603, "message": "oops"}, times=3)
        for _ in range(3):
            with pytest.raises(NodeError):
                await pool.ask(Endpoint.head)
        assert pool.endpoints[0].state == "degraded"
        for _ in range(15):
            await pool.ask(Endpoint.head)
        assert pool.endpoints[0].state == "ok"
        assert pool.endpoints[0].latency is not None


async def test_an_endpoint_that_cannot_be_reached_at_first_is_used_when_it_comes(
    nodes: list[FakeNode],
) -> None:
    await nodes[0].stop()
    async with open_pool(network_settings(nodes[0].http_url)) as pool:
        assert pool.endpoints[0].state == "down"
        await nodes[0].start()
        assert (await pool.ask(Endpoint.head, patience=PATIENCE)).number == 0


async def test_one_endpoint_of_another_chain_is_refused_and_the_other_serves(nodes: list[FakeNode]) -> None:
    nodes[0].chain.chain_id = 2
    async with open_pool(network_settings(*[node.http_url for node in nodes])) as pool:
        assert (await pool.ask(name_of, patience=PATIENCE)).startswith("net[1] ")
        await eventually(lambda: pool.endpoints[0].state == "refused")
        assert "serves chain 2, but chain_id 1 is configured" in str(pool.endpoints[0].last_error)


async def test_news_comes_from_a_websocket_at_a_new_block(nodes: list[FakeNode]) -> None:
    heard = asyncio.Event()
    async with open_pool(network_settings(nodes[0].ws_url)) as pool:
        pool.add_listener(heard.set)
        nodes[0].chain.mine()
        await nodes[0].announce()
        await asyncio.wait_for(heard.wait(), PATIENCE)
        assert pool.subscribed


async def test_an_endpoint_with_an_old_head_is_frozen_asked_last_and_down_after_five_minutes(
    nodes: list[FakeNode],
) -> None:
    now = float(nodes[0].chain.head.timestamp)
    nodes[1].chain.mine(count=400)
    settings = network_settings(*[node.http_url for node in nodes], block_time="1s")
    async with open_pool(settings, lambda: now) as pool:
        await pool.all_tried()
        assert (await pool.ask(Endpoint.head)).number == 0
        now += 13
        assert (await pool.ask(Endpoint.head)).number == 400
        assert [endpoint.state for endpoint in pool.endpoints] == ["frozen", "ok"]
        now += 300
        assert [endpoint.state for endpoint in pool.endpoints] == ["down", "ok"]


async def test_a_slow_endpoint_is_frozen_and_probed_until_it_is_quick_again(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "FROZEN_LATENCY", 0.6)
    monkeypatch.setattr(member, "PROBE_EVERY", 0.05)
    nodes[0].fail("eth_getBlockByNumber", "late", 0.9, times=1)
    async with open_pool(network_settings(*[node.http_url for node in nodes])) as pool:
        await pool.all_tried()
        await pool.ask(Endpoint.head)
        assert [endpoint.state for endpoint in pool.endpoints] == ["frozen", "ok"]
        assert (await pool.ask(name_of)).startswith("net[1] ")
        await eventually(lambda: pool.endpoints[0].state != "frozen")
        assert (await pool.ask(name_of)).startswith("net[0] ")


async def test_an_endpoint_that_says_429_is_asked_less_often(nodes: list[FakeNode]) -> None:
    nodes[0].fail("eth_blockNumber", "status", 429)
    async with open_pool(network_settings(nodes[0].http_url, max_rps=50)) as pool:
        assert pool.endpoints[0].max_rps == 50
        with pytest.raises(RpcError):
            await pool.ask(lambda endpoint: endpoint.rpc.call(Call("eth_blockNumber")))
        assert pool.endpoints[0].max_rps == LEAST


async def test_an_endpoint_that_said_429_is_asked_after_the_others_for_a_while(nodes: list[FakeNode]) -> None:
    nodes[0].fail("eth_blockNumber", "status", 429)
    async with open_pool(network_settings(*[node.http_url for node in nodes])) as pool:
        await pool.all_tried()
        await pool.ask(lambda endpoint: endpoint.rpc.call(Call("eth_blockNumber")))
        await eventually(lambda: pool.endpoints[0].state != "down")
        assert (await pool.ask(name_of)).startswith("net[1] ")


async def test_each_answer_within_a_long_read_shows_that_an_endpoint_answers(nodes: list[FakeNode]) -> None:
    now = 1_000.0

    async def read(endpoint: Endpoint) -> None:
        nonlocal now
        for _ in range(2):
            now += 100.0
            await endpoint.headers([0])
            assert pool.last_answer_at == now

    async with open_pool(network_settings(nodes[0].http_url), lambda: now) as pool:
        assert pool.last_answer_at is None
        await pool.ask(read)


async def test_answers_of_an_endpoint_that_make_no_sense_do_not_show_that_it_answers(
    nodes: list[FakeNode],
) -> None:
    now = 1_000.0
    nodes[0].fail("eth_getBlockByNumber", "result", {}, times=None)
    async with open_pool(network_settings(nodes[0].http_url), lambda: now) as pool:
        for seconds in (0.0, 100.0, 100.0):
            now += seconds
            with pytest.raises(MalformedAnswer):
                await pool.ask(Endpoint.head)
            await eventually(lambda: pool.endpoints[0].state != "down")  # its chain id is verified again
        assert pool.last_answer_at in (None, 1_000.0)


async def test_an_endpoint_gets_no_more_calls_a_second_than_configured_however_they_are_batched(
    nodes: list[FakeNode],
) -> None:
    nodes[0].chain.mine(count=30)
    async with open_pool(network_settings(nodes[0].http_url, max_rps=10)) as pool:
        posts, begun = nodes[0].posts, asyncio.get_running_loop().time()
        assert len(await pool.ask(lambda endpoint: endpoint.headers(range(15)))) == 15
        assert asyncio.get_running_loop().time() - begun > 0.4
        assert nodes[0].posts - posts == 2
