"""Five minutes of trouble, counted: how often a node in trouble is asked, and how many lines the log has of it (S10)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chainwatch.chain import member
from chainwatch.config import NetworkSettings
from chainwatch.monitor.self_monitoring import network_signals
from tests.fakenode import FakeChain
from tests.support.observing import Follower, network_settings, open_pool, ping
from tests.support.timeless import SILENCE, Wire, error, run_timeless, status

FIVE_MINUTES = 300.0

TROUBLE = {
    "503": status(503),
    "429": status(429),
    "429, Retry-After: 0": status(429, 0.0),
    "429, Retry-After: 20": status(429, 20.0),
    "a daily quota": error(-32005, "daily request count exceeded, request rate limited"),
    "a daily quota as an HTTP 200": error(429, "Your app has exceeded its compute units per second capacity"),
    "{}": b"{}",
    "HTML": b"<html>502 Bad Gateway</html>",
    "an internal error": error(-32603, "internal error"),
}
"""What a node says, by name."""

LIMITED = {name for name in TROUBLE if name.startswith(("503", "429", "a daily"))}


@pytest.fixture
def chain() -> FakeChain:
    """Blocks 1 to 10, each with a ping of its number."""
    chain = FakeChain()
    for number in range(1, 11):
        chain.mine(ping(number))
    return chain


async def outage(wire: Wire, urls: list[str], says: Any, method: str) -> tuple[list[int], Follower]:
    """Calls to each host in five minutes in which ``first`` answers ``method`` (``*``: any) only with ``says``."""
    loop = asyncio.get_running_loop()
    settings = network_settings(*urls, start_block=0, poll_interval="2s", block_time="2s")
    async with open_pool(settings, loop.time) as pool:
        follower = Follower(settings, pool, loop.time)
        async with follower.running():
            await follower.until(lambda: follower.at == 10)
            since = loop.time()
            wire.trouble["first"] = lambda asked: says if method in ("*", asked) else None
            for number in range(11, 11 + int(FIVE_MINUTES / 2)):
                await asyncio.sleep(2.0)
                for node in {id(node.chain): node for node in wire.nodes.values()}.values():
                    node.chain.mine(ping(number))
            counts = [wire.count(host, since) for host in wire.nodes]
            wire.mend()
            await follower.until(lambda: follower.at == 10 + int(FIVE_MINUTES / 2), 100.0)
    return counts, follower


@pytest.mark.parametrize("method", ["*", "eth_getLogs"])
@pytest.mark.parametrize("says", TROUBLE)
def test_row_11_a_node_in_trouble_for_five_minutes_is_asked_seldom_and_reported_of_in_few_lines_S10(
    says: str,
    method: str,
    chain: FakeChain,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wire = Wire(first=chain)
    monkeypatch.setattr(member, "HttpTransport", wire.transport)
    (calls,), follower = run_timeless(outage(wire, ["http://first"], TROUBLE[says], method))
    assert follower.pings == list(range(1, 161)), "nothing is lost (S1)"
    assert calls <= (90 if says in LIMITED else 900)
    lines = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert 1 <= len(lines) <= 12


@pytest.mark.parametrize("says", sorted(LIMITED))
def test_row_11_while_a_node_has_enough_the_next_one_serves(
    says: str, chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(first=chain, second=chain)
    monkeypatch.setattr(member, "HttpTransport", wire.transport)
    urls = ["http://first", "http://second"]
    (first, second), follower = run_timeless(outage(wire, urls, TROUBLE[says], "*"))
    assert follower.pings == list(range(1, 161))
    assert first <= 40 < second


def test_row_06_a_node_that_takes_questions_and_never_answers_is_reported_in_15_s_and_delays_no_other_S8(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = chain.clone()
    wire = Wire(frozen=chain, well=other)
    monkeypatch.setattr(member, "HttpTransport", wire.transport)

    async def freeze() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        settings, well = (
            NetworkSettings.model_validate(
                {"name": "net", "chain_id": 1, "rpc": [url], "start_block": 0, "block_time": "12s"}
            )
            for url in ("http://frozen", "http://well")
        )
        begun = loop.time()
        async with open_pool(settings, loop.time) as pool, open_pool(well, loop.time) as second:
            frozen, going_on = Follower(settings, pool, loop.time), Follower(well, second, loop.time)
            async with frozen.running(), going_on.running():
                await frozen.until(lambda: frozen.at == going_on.at == 10, 30.0)
                wire.trouble["frozen"] = lambda method: SILENCE
                frozen_at = loop.time()
                chain.mine(ping(11))
                other.mine(ping(11))
                while "NetworkBlind" not in names(settings, frozen, begun):
                    await asyncio.sleep(0.1)
                notified_at = loop.time()
                assert frozen.observer.status.state == "blind"
                assert (going_on.at, names(well, going_on, begun)) == (11, [])
                wire.mend()
                mended_at = loop.time()
                await frozen.until(lambda: frozen.at == 11, 60.0)
                assert names(settings, frozen, begun) == []
                return notified_at - frozen_at, loop.time() - mended_at

    def names(settings: NetworkSettings, follower: Follower, begun: float) -> list[str]:
        now = asyncio.get_running_loop().time()
        signals = network_signals(settings, follower.observer.status, begun, now)
        return [signal.labels["alertname"] for signal in signals if "endpoint" not in signal.labels]

    until_notified, until_read = run_timeless(freeze())
    assert until_notified <= 15.2
    assert until_read <= 16.0


def test_row_11_an_endpoint_that_is_well_again_is_asked_as_before(
    chain: FakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(first=chain)
    monkeypatch.setattr(member, "HttpTransport", wire.transport)

    async def twice() -> float:
        loop = asyncio.get_running_loop()
        settings = network_settings("http://first", start_block=0)
        async with (
            open_pool(settings, loop.time) as pool,
            Follower(settings, pool, loop.time).running() as follower,
        ):
            wire.trouble["first"] = lambda asked: status(503)
            await asyncio.sleep(FIVE_MINUTES)
            wire.mend()
            await follower.until(lambda: follower.at == 10, 70.0)
            await asyncio.sleep(2 * member.PEACE)
            wire.trouble["first"] = lambda asked: status(503)
            await follower.until(lambda: pool.endpoints[0].state == "down")
            wire.mend()
            back_from = loop.time()
            await follower.until(lambda: pool.endpoints[0].state != "down", 70.0)
            return loop.time() - back_from

    assert run_timeless(twice()) < 1.0
