"""The observer against a node that fails as real ones do: no event lost, none invented, no storm of questions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chainwatch.chain import observer, pace, wakeups
from chainwatch.chain.errors import DeepReorg, HttpStatusError, NodeError, NotThere, RpcError, WrongChain
from chainwatch.chain.history import find_logs, read_range
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.chain.transport import open_session
from chainwatch.model import Seen
from tests.fakenode import FakeChain, FakeNode
from tests.support.observing import (
    ADDRESS,
    PING_TOPIC,
    Follower,
    network_settings,
    open_pool,
    ping,
    watch_pings,
)

ODD = [1, 3, 5, 7, 9]

ANSWER_FAULTS = [
    ("html", None),
    ("{}", None),
    ("cut", None),
    ("close", None),
    ("status", 500),
    ("status", 503),
    ("null", None),
    ("error", {"code": -32603, "message": "internal error"}),
    ("error", {"code": -32005, "message": "daily request count exceeded, request rate limited"}),
]


@pytest.mark.parametrize(("kind", "value"), ANSWER_FAULTS)
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByNumber"])
async def test_a_failed_answer_is_never_taken_for_no_logs_S1(
    node: FakeNode, chain: FakeChain, method: str, kind: str, value: Any
) -> None:
    node.fail(method, kind, value, times=3)
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        assert follower.pings == ODD
        chain.mine(ping(11))
        await follower.until(lambda: follower.at == 11)
        assert follower.pings == [*ODD, 11]


@pytest.mark.parametrize("kind", ["shuffle", "drop"])
async def test_a_batch_out_of_order_or_with_a_hole_loses_nothing_S1(node: FakeNode, kind: str) -> None:
    node.fail("batch", kind, times=2)
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        assert follower.pings == ODD


@pytest.mark.parametrize(
    "change",
    [
        {"blockNumber": hex(99)},
        {"blockHash": None},
        {"logIndex": None},
        {"address": "0x" + "bb" * 20},
        {"blockHash": "0x" + "00" * 32},
        {"removed": True},
    ],
)
async def test_a_log_that_nobody_asked_for_is_refused_with_its_answer_S1(
    node: FakeNode, chain: FakeChain, change: dict[str, Any]
) -> None:
    node.fail("eth_getLogs", "result", [chain.blocks[9].logs[0] | change], times=3)
    settings = network_settings(node.http_url, start_block=9)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        assert follower.pings == [9]


async def test_without_start_block_it_begins_at_the_head_with_a_checkpoint(node: FakeNode) -> None:
    settings = network_settings(node.http_url)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
    first = follower.batches[0]
    assert (first.first, first.last.number) == (10, 10)
    assert [header.number for header in first.headers] == list(range(11))


async def test_a_node_without_batches_block_hash_filters_and_log_timestamps_is_read_as_well(
    chain: FakeChain,
) -> None:
    chain = FakeChain(stamped=False)
    for number in range(1, 400):
        chain.mine(ping(number))
    async with FakeNode(chain) as node:
        node.batches = node.by_hash = False
        settings = network_settings(node.http_url, start_block=0, reorg_window=20)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 399)
            chain.mine(ping(400))
            await follower.until(lambda: follower.at == 400)
    assert follower.pings == list(range(1, 401))
    stamps = {e.log.block_number: e.log.timestamp for batch in follower.batches for e in batch.events}
    assert stamps == {block.number: block.timestamp for block in chain.blocks[1:]}


async def test_a_websocket_alone_wakes_and_reads(node: FakeNode, chain: FakeChain) -> None:
    settings = network_settings(node.ws_url, start_block=0, poll_interval="30s")
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        chain.mine(ping(11))
        await node.announce()
        await follower.until(lambda: follower.at == 11, 0.5 * wakeups.LONGEST_IDLE_POLL)
        assert follower.pings == [*ODD, 11]
        assert node.posts == 0
        assert follower.observer.status.transport == "websocket"


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011])
async def test_blocks_mined_while_a_websocket_was_closed_are_all_read(
    node: FakeNode, chain: FakeChain, code: int
) -> None:
    settings = network_settings(node.ws_url, node.http_url, start_block=0, poll_interval="30s")
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10 and pool.subscribed)
        node.fail("eth_subscribe", "close", 1011, times=1)
        await node.drop(code)
        chain.mine(ping(11))
        chain.mine(ping(12))
        await follower.until(lambda: follower.at == 12)
        assert follower.pings == [*ODD, 11, 12]
        await follower.until(lambda: pool.subscribed)
        assert node.connections == 3


async def test_a_head_that_moves_backwards_is_no_reorg_S4(node: FakeNode, chain: FakeChain) -> None:
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        for lag in (1, 8, 0):
            node.lag = lag
            before = node.posts
            await follower.until(lambda before=before: node.posts >= before + 3)  # type: ignore[misc]  # bound now
        chain.mine(ping(11))
        await follower.until(lambda: follower.at == 11)
        assert follower.pings == [*ODD, 11]
        assert all(batch.ancestor is None for batch in follower.batches)


@pytest.mark.parametrize(("depth", "grows"), [(1, 0), (3, 0), (3, 5), (4, -2), (10, 0)])
async def test_a_reorg_is_replaced_from_its_common_ancestor_in_one_batch_S4(
    node: FakeNode, chain: FakeChain, depth: int, grows: int
) -> None:
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        chain.rewind(depth)
        for _ in range(depth + grows):
            chain.mine(ping(len(chain.blocks) + 100))
        head = 10 + grows
        await follower.until(
            lambda: follower.checkpoint is not None and follower.checkpoint.last.hash.hex() in chain.head.hash
        )
        first = 11 - depth
        assert follower.pings == [n for n in ODD if n < first] + [n + 100 for n in range(first, head + 1)]
        replacements = [batch for batch in follower.batches if batch.ancestor is not None]
        assert [batch.first for batch in replacements] == [first]
        assert replacements[0].last.number == min(head, 10)


async def test_a_reorg_while_the_process_was_down_is_found_at_restart_S4(
    node: FakeNode, chain: FakeChain
) -> None:
    settings = network_settings(node.http_url, start_block=0, reorg_window=8)
    async with open_pool(settings) as pool:
        follower = Follower(settings, pool)
        async with follower.running():
            await follower.until(lambda: follower.at == 10)
        chain.rewind(4)
        for number in range(7, 40):
            chain.mine(ping(number))
        async with follower.running():
            await follower.until(lambda: follower.at == 39)
    assert follower.pings == [1, 3, 5, *range(7, 40)]
    assert [batch.ancestor.number for batch in follower.batches if batch.ancestor] == [6]


async def test_a_reorg_deeper_than_the_window_halts_the_network_S4(node: FakeNode, chain: FakeChain) -> None:
    settings = network_settings(node.http_url, start_block=0, reorg_window=4)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        chain.reorg(6)
        with pytest.raises(DeepReorg, match=r"7\.\.10"):
            await follower.until(lambda: False)
        assert follower.observer.status.state == "halted"
        assert follower.pings == ODD, "nothing is dropped"


async def test_confirmations_keep_it_behind_the_head_and_unseen_S5(node: FakeNode, chain: FakeChain) -> None:
    settings = network_settings(node.http_url, start_block=0, confirmations=3)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 7)
        chain.mine(count=2)
        await follower.until(lambda: follower.at == 9)
        assert not [item for item in follower.items if isinstance(item, Seen)]


async def test_at_the_head_a_network_on_demand_is_seen_until_shortly_before_the_question_S5(
    node: FakeNode, chain: FakeChain
) -> None:
    now = [chain.head.timestamp + 100.7]
    settings = network_settings(node.http_url, start_block=0)
    async with (
        open_pool(settings, lambda: now[0]) as pool,
        Follower(settings, pool, lambda: now[0]).running() as follower,
    ):
        await follower.until(lambda: isinstance(follower.items[-1], Seen) if follower.items else False)
        assert follower.items[-1] == Seen("net", chain.head.timestamp + 98)
        now[0] += 1
        follower.observer.wake()
        await follower.until(lambda: follower.items[-1] == Seen("net", chain.head.timestamp + 99))


@pytest.mark.parametrize(("age", "seen"), [(23.0, 11), (26.0, 12), (27.0, None), (241.0, None)])
async def test_with_a_block_time_one_may_be_under_way_and_an_old_head_proves_nothing_S5(
    node: FakeNode, chain: FakeChain, age: float, seen: int | None
) -> None:
    settings = network_settings(node.http_url, start_block=0, block_time="12s")
    clock = chain.head.timestamp + age
    async with (
        open_pool(settings, lambda: clock) as pool,
        Follower(settings, pool, lambda: clock).running() as follower,
    ):
        await follower.until(lambda: follower.at == 10)
        before = node.posts
        await follower.until(lambda: node.posts >= before + 3)
        expected = [] if seen is None else [Seen("net", chain.head.timestamp + seen)]
        assert [item for item in follower.items if isinstance(item, Seen)] == expected
        assert follower.observer.status.state == ("live" if age < 240 else "stalled")


async def test_the_next_endpoint_takes_over_and_the_first_is_used_again_later_S8(chain: FakeChain) -> None:
    async with FakeNode(chain) as first, FakeNode(chain) as second:
        settings = network_settings(first.http_url, second.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            await first.stop()
            chain.mine(ping(11))
            await follower.until(lambda: follower.at == 11)
            assert [endpoint.state for endpoint in pool.endpoints] == ["down", "ok"]
            assert follower.observer.status.state == "live"
            await first.start()
            await follower.until(lambda: pool.endpoints[0].state != "down")
            before = first.posts
            await follower.until(lambda: first.posts > before + 2)
        assert follower.pings == [*ODD, 11]


async def test_an_endpoint_that_is_back_from_an_outage_is_well(node: FakeNode) -> None:
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        await node.stop()
        await follower.until(lambda: pool.endpoints[0].errors >= 4)
        await node.start()
        await follower.until(lambda: pool.endpoints[0].state != "down")
        assert pool.endpoints[0].state == "ok"


async def test_all_endpoints_on_another_chain_are_refused_loudly(node: FakeNode) -> None:
    settings = network_settings(node.http_url, node.ws_url, chain_id=5)
    with pytest.raises(WrongChain, match=r"chain_id 5 is configured, but net\[0\] .* is chain 1") as caught:
        async with open_pool(settings):
            pass
    assert "secret-key" not in str(caught.value)


async def test_an_endpoint_that_changes_its_chain_is_refused_and_the_next_takes_over(
    chain: FakeChain,
) -> None:
    other = FakeChain(chain_id=2)
    other.mine(ping(666), count=12)
    async with FakeNode(chain) as first, FakeNode(chain) as second:
        settings = network_settings(first.http_url, second.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            first.chain = other
            await follower.until(lambda: pool.endpoints[0].state == "refused")
            chain.mine(ping(11))
            await follower.until(lambda: follower.at == 11)
            assert follower.pings == [*ODD, 11]
            assert all(batch.ancestor is None for batch in follower.batches)


async def test_retry_after_is_obeyed(node: FakeNode) -> None:
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        node.fail("*", "status", 429).headers = {"Retry-After": "1"}
        loop = asyncio.get_running_loop()
        await follower.until(lambda: pool.endpoints[0].state == "down")
        began, posts = loop.time(), node.posts
        await follower.until(lambda: node.posts > posts)
        assert loop.time() - began > 0.9
        assert "429" in str(pool.endpoints[0].last_error)


async def test_an_overloaded_node_gets_few_questions(node: FakeNode) -> None:
    settings = network_settings(node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        node.fail("*", "status", 503, times=None)
        await follower.until(lambda: pool.endpoints[0].state == "down")
        posts = node.posts
        await asyncio.sleep(0.9)
        assert node.posts - posts <= 5
        node.faults.clear()


async def test_no_secret_of_a_url_is_in_status_or_errors_S9(node: FakeNode) -> None:
    settings = network_settings(node.http_url, node.ws_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10)
        node.fail(
            "*", "error", {"code": -32000, "message": "key secret-key-in-path is not valid"}, times=None
        )
        await follower.until(lambda: follower.observer.status.last_error is not None)
        status = repr(follower.observer.status)
        assert "key *** is not valid" in status
        await node.stop()
        await follower.until(lambda: "connect" in repr(follower.observer.status))
        assert "secret" not in repr(follower.observer.status) + repr(pool) + repr(settings)


async def first_header(pool: Pool) -> None:
    async with pool:
        await pool.ask(Endpoint.head, 60.0)


async def test_another_network_goes_on_while_one_hangs_S8(node: FakeNode, chain: FakeChain) -> None:
    async with FakeNode(FakeChain()) as dead:
        dead.fail("*", "hang", times=None)
        settings = network_settings(node.http_url, start_block=0)
        dead_settings = network_settings(dead.http_url, request_timeout="10m")
        async with open_session() as session:  # one for all networks, as in life
            hanging = asyncio.create_task(first_header(Pool(dead_settings, session)))
            async with Pool(settings, session) as pool, Follower(settings, pool).running() as follower:
                await follower.until(lambda: follower.at == 10)
                chain.mine(ping(11))
                await follower.until(lambda: follower.at == 11)
            assert follower.pings == [*ODD, 11]
            assert not hanging.done()
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)


async def test_a_silent_subscription_is_polled_beside_and_opened_anew(
    node: FakeNode, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainwatch.chain.wakeups.IDLE_POLL", 0.1)
    node.silent = True
    settings = network_settings(node.ws_url, node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10 and pool.subscribed)
        for number in range(11, 16):
            chain.mine(ping(number))
            await asyncio.sleep(0.22)
        await follower.until(lambda: follower.at == 15 and node.connections >= 2)
        assert follower.pings == [*ODD, *range(11, 16)]


async def test_a_subscription_that_stays_silent_makes_blocks_no_later_than_polling_does_S8(
    node: FakeNode, chain: FakeChain
) -> None:
    node.silent = True
    settings = network_settings(node.ws_url, node.http_url, start_block=0, poll_interval="200ms")
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10 and pool.subscribed)
        for number in range(11, 13):
            chain.mine(ping(number))
            await follower.until(lambda number=number: follower.at == number)  # type: ignore[misc]  # bound now
        for number in range(13, 17):
            chain.mine(ping(number))
            await follower.until(lambda number=number: follower.at == number, 20)  # type: ignore[misc]  # bound now
        assert node.connections <= 4


@pytest.mark.parametrize(
    "more",
    [{}, {"confirmations": 0, "block_time": "250ms"}, {"confirmations": 1}],
    ids=["at the head", "an old head", "behind the head"],
)
async def test_a_subscription_that_reports_nothing_all_the_time_makes_few_calls_S10(
    node: FakeNode, chain: FakeChain, more: dict[str, Any]
) -> None:
    settings = network_settings(node.ws_url, node.http_url, start_block=0, poll_interval="30s", **more)
    chain.mine(count=settings.confirmations)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10 and pool.subscribed)
        follower.observer.wake()  # a deadline is due, whether or not the network can be seen past it
        await asyncio.sleep(0.1)
        before, until = node.posts, asyncio.get_running_loop().time() + 1.5
        while asyncio.get_running_loop().time() < until:
            await node.announce()
            await asyncio.sleep(0.01)
        assert node.posts - before < 15
        chain.mine(ping(11))
        chain.mine(count=settings.confirmations)
        await node.announce()
        await follower.until(lambda: 11 in follower.pings, 0.5 * wakeups.LONGEST_IDLE_POLL)


async def test_a_websocket_that_floods_is_closed_and_opened_again_S8(
    node: FakeNode, chain: FakeChain
) -> None:
    settings = network_settings(node.ws_url, node.http_url, start_block=0)
    async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
        await follower.until(lambda: follower.at == 10 and pool.subscribed)
        await asyncio.gather(*(node.announce() for _ in range(5_000)), return_exceptions=True)
        chain.mine(ping(11))
        await follower.until(lambda: follower.at == 11 and node.connections >= 2 and pool.subscribed)
        assert follower.pings == [1, 3, 5, 7, 9, 11]
        assert node.connections < 10


class AheadOfItself(FakeChain):
    """Its newest block is one that it does not have."""

    ahead = 0

    def block(self, named: str, lag: int = 0) -> dict[str, Any] | None:
        block = super().block(named, lag)
        if named == "latest" and block is not None and self.ahead:
            return block | {"number": hex(int(block["number"], 16) + self.ahead), "hash": "0x" + "ab" * 32}
        return block


@pytest.mark.parametrize("ahead", [3, 10_000, 2**40])
@pytest.mark.parametrize("from_the_start", [False, True])
async def test_a_head_that_is_not_there_keeps_nobody_from_reading_what_is_S8(
    ahead: int, from_the_start: bool
) -> None:
    liar, chain = AheadOfItself(), FakeChain()
    chain.mine(count=10)
    liar.blocks = chain.blocks
    liar.ahead = ahead if from_the_start else 0
    async with FakeNode(liar) as first, FakeNode(chain) as second:
        settings = network_settings(first.http_url, second.http_url)
        async with open_pool(settings) as pool:
            await pool.all_tried()
            async with Follower(settings, pool).running() as follower:
                await follower.until(lambda: follower.at == 10)
                liar.ahead = ahead
                for number in range(11, 15):
                    chain.mine(ping(number))
                    await follower.until(lambda number=number: follower.at == number, 20)  # type: ignore[misc]  # bound now
                assert follower.pings == [11, 12, 13, 14]


async def test_another_endpoint_is_asked_when_the_first_stays_behind(chain: FakeChain) -> None:
    async with FakeNode(chain) as stuck, FakeNode(chain) as good:
        settings = network_settings(stuck.http_url, good.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 10)
            stuck.lag = 4
            chain.mine(ping(11))
            stuck.lag = 5
            await follower.until(lambda: follower.at == 11)
            assert follower.pings == [*ODD, 11]
            assert {endpoint.state for endpoint in pool.endpoints} == {"ok"}


async def test_on_demand_a_first_endpoint_that_stands_still_hides_no_blocks_of_another_S5(
    chain: FakeChain,
) -> None:
    now = [chain.head.timestamp + 100.0]
    async with FakeNode(chain.clone()) as stuck, FakeNode(chain) as good:
        settings = network_settings(stuck.http_url, good.http_url, start_block=0)
        async with (
            open_pool(settings, lambda: now[0]) as pool,
            Follower(settings, pool, lambda: now[0]).running() as follower,
        ):
            await follower.until(lambda: follower.at == 10)
            now[0] += 20
            chain.mine(ping(11))
            follower.observer.wake()
            await follower.until(lambda: follower.at == 11)
            at = follower.items.index(follower.batches[-1])
            assert all(item.until < now[0] - 2 for item in follower.items[:at] if isinstance(item, Seen))
            chain.mine(ping(12))
            await follower.until(lambda: follower.at == 12)
            assert {endpoint.state for endpoint in pool.endpoints} == {"ok"}


@pytest.mark.parametrize("agree", [False, True])
@pytest.mark.parametrize("window", [64, 2], ids=["at the tip", "in a range"])
async def test_a_block_from_the_future_is_believed_when_two_endpoints_say_so_S5(
    chain: FakeChain, agree: bool, window: int
) -> None:
    now = chain.head.timestamp + 1.0
    future = chain.clone()
    for block in future.blocks[6:]:
        block.timestamp += 3600
    for log in (log for block in future.blocks for log in block.logs):
        log["blockTimestamp"] = hex(future.blocks[int(log["blockNumber"], 16)].timestamp)
    async with FakeNode(future) as first, FakeNode(future if agree else chain) as second:
        settings = network_settings(
            first.http_url, second.http_url, start_block=0, block_time="12s", reorg_window=window
        )
        async with (
            open_pool(settings, lambda: now) as pool,
            Follower(settings, pool, lambda: now).running() as follower,
        ):
            await follower.until(lambda: follower.at == 10)
            assert follower.checkpoint is not None
            assert (follower.checkpoint.seen_until > now + 60) == agree
            assert follower.pings == ODD


async def test_heads_of_all_endpoints_are_asked_for_from_time_to_time_only(chain: FakeChain) -> None:
    async with FakeNode(chain) as first, FakeNode(chain) as second:
        settings = network_settings(first.http_url, second.http_url, start_block=0)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: any(isinstance(item, Seen) for item in follower.items))
            before, asked = second.posts, first.posts
            await follower.until(lambda: first.posts >= asked + 5)
            assert second.posts <= before + 1


async def test_on_demand_a_slow_endpoint_delays_no_block_of_another_and_is_compared_all_the_same_S8(
    chain: FakeChain,
) -> None:
    async with FakeNode(chain) as quick, FakeNode(chain) as slow:
        slow.fail("eth_getBlockByNumber", "late", 6.0, times=None)
        settings = network_settings(quick.http_url, slow.http_url, start_block=0, request_timeout="10s")
        async with open_pool(settings) as pool:
            await pool.all_tried()
            async with Follower(settings, pool).running() as follower:
                await follower.until(lambda: follower.at == 10, 5)
                chain.mine(ping(11))
                await follower.until(lambda: follower.at == 11, 5)
                await follower.until(lambda: any(isinstance(item, Seen) for item in follower.items))


async def test_a_round_number_of_logs_is_suspected_to_be_cut_off_S1() -> None:
    chain = FakeChain()
    chain.mine(*[ping(0)] * 60)
    chain.mine(*[ping(1)] * 60)
    chain.mine(count=30)
    async with FakeNode(chain) as node:
        node.fail("eth_getLogs", "result", [log for block in chain.blocks[1:] for log in block.logs][:100])
        assert await pings_in(node, 1, 32) == [0] * 60 + [1] * 60


# --- ranges ---------------------------------------------------------------------------------------------


@pytest.fixture
def long_chain() -> FakeChain:
    """3,000 blocks, each tenth with three pings."""
    chain = FakeChain()
    for number in range(1, 3001):
        chain.mine(*([ping(number)] * 3 if number % 10 == 0 else []))
    return chain


LONG = [number for number in range(10, 3001, 10) for _ in range(3)]


async def pings_in(node: FakeNode, first: int, last: int, **settings: Any) -> list[int]:
    async with open_pool(network_settings(node.http_url, **settings)) as pool:
        batches = [batch async for batch in read_range(pool, watch_pings(), first, last)]
    firsts = [batch.first for batch in batches]
    assert firsts == [first, *(batch.last.number + 1 for batch in batches[:-1])]
    assert batches[-1].last.number == last
    return [event.args["n"] for batch in batches for event in batch.events]


async def test_a_range_is_read_in_growing_pages(long_chain: FakeChain) -> None:
    async with FakeNode(long_chain) as node:
        assert await pings_in(node, 0, 3000) == LONG
        assert len(node.queries) < 12


@pytest.mark.parametrize(
    ("message", "limit", "most_refusals"),
    [("eth_getLogs is limited to a 64 blocks range", 64, 4), ("Block range is too large", 50, 40)],
)
async def test_a_limit_on_the_range_is_found_and_kept(
    long_chain: FakeChain, message: str, limit: int, most_refusals: int
) -> None:
    async with FakeNode(long_chain) as node:
        node.fail("eth_getLogs", "range", limit, times=None, message=message)
        assert await pings_in(node, 1, 3000) == LONG
        refused = [q for q in node.queries if int(q["toBlock"], 16) - int(q["fromBlock"], 16) >= limit]
        assert len(refused) <= most_refusals


@pytest.mark.parametrize("limit", [30, 7])
async def test_a_limit_on_the_results_splits(long_chain: FakeChain, limit: int) -> None:
    async with FakeNode(long_chain) as node:
        node.fail("eth_getLogs", "count", limit, times=None, message="query returned more than 10000 results")
        assert await pings_in(node, 1, 400) == LONG[:120]


async def test_one_block_over_the_limit_is_read_from_its_receipts(long_chain: FakeChain) -> None:
    async with FakeNode(long_chain) as node:
        node.fail("eth_getLogs", "count", 2, times=None, message="query returned more than 2 results")
        assert await pings_in(node, 5, 25) == LONG[:6]
        assert node.asked["eth_getBlockReceipts"] == 2


async def test_one_block_over_the_limit_at_the_tip_is_read_too(long_chain: FakeChain) -> None:
    async with FakeNode(long_chain) as node:
        node.fail("eth_getLogs", "count", 2, times=None, message="query returned more than 2 results")
        settings = network_settings(node.http_url, start_block=2985)
        async with open_pool(settings) as pool, Follower(settings, pool).running() as follower:
            await follower.until(lambda: follower.at == 3000)
            assert follower.pings == [2990] * 3 + [3000] * 3


@pytest.mark.parametrize(("kind", "value"), [*ANSWER_FAULTS, ("status", 413), ("big", 40_000_000)])
async def test_a_failed_page_is_read_again_S1(
    long_chain: FakeChain, kind: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LEAST", 1_000.0)  # a complaint would have it read slowly
    async with FakeNode(long_chain) as node:
        node.fail("eth_getLogs", kind, value, times=2)
        assert await pings_in(node, 1, 1000) == LONG[:300]


async def test_a_page_that_times_out_is_made_smaller_S1(long_chain: FakeChain) -> None:
    async with FakeNode(long_chain) as node:
        node.fail("eth_getLogs", "trickle", times=1)
        assert await pings_in(node, 1, 300, request_timeout="300ms") == LONG[:90]


async def test_a_header_of_another_fork_is_not_believed(long_chain: FakeChain) -> None:
    long_chain.stamped = False
    foreign = long_chain.block(hex(3000))
    assert foreign is not None
    async with FakeNode(long_chain) as node:
        node.fail("eth_getBlockByNumber", "result", foreign | {"hash": "0x" + "11" * 32}, times=1)
        async with open_pool(network_settings(node.http_url)) as pool:
            (batch,) = [batch async for batch in read_range(pool, watch_pings(), 3000, 3000)]
    assert "0x" + batch.last.hash.hex() == long_chain.head.hash
    assert len(batch.events) == 3


async def test_logs_are_found_by_their_topics(long_chain: FakeChain) -> None:
    async with FakeNode(long_chain) as node, open_pool(network_settings(node.http_url)) as pool:
        found = await find_logs(pool, ADDRESS, [(PING_TOPIC,), ((70).to_bytes(32, "big"),)], 0, 3000)
    assert [(log.block_number, log.log_index) for log in found] == [(70, 0), (70, 1), (70, 2)]
    assert {log.timestamp for log in found} == {long_chain.blocks[70].timestamp}


# --- where a network that was never read begins ------------------------------------------------------------


async def test_a_network_that_is_read_later_than_others_begins_before_what_is_under_way(
    node: FakeNode, chain: FakeChain
) -> None:
    settings = network_settings(node.http_url)
    async with open_pool(settings) as pool:
        follower = Follower(settings, pool, since=chain.blocks[4].timestamp)
        async with follower.running():
            await follower.until(lambda: follower.at == 10)

    assert follower.batches[0].first == 3
    assert follower.pings == [3, 5, 7, 9]


@pytest.mark.parametrize(
    "error",
    [
        NotThere("node", "block 5 was pruned"),
        NodeError("node", "eth_getBlockByNumber", -32003, "archive requests need a paid plan"),
        HttpStatusError("node", 403),
    ],
)
async def test_a_network_whose_earlier_blocks_are_refused_begins_at_the_head(
    node: FakeNode, error: RpcError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8: to wait for what is not given would be never to read it."""

    async def refused(_pool: Pool, _timestamp: int) -> int:
        raise error

    monkeypatch.setattr(observer, "block_at", refused)
    settings = network_settings(node.http_url)
    async with open_pool(settings) as pool:
        follower = Follower(settings, pool, since=1)
        async with follower.running():
            await follower.until(lambda: follower.at == 10)

    assert follower.batches[0].first == 10
