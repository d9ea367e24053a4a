"""How often an endpoint is asked."""

from __future__ import annotations

import asyncio

import pytest

from chainwatch.chain import pace
from chainwatch.chain.pace import PacedTransport
from tests.support.timeless import timeless


def now() -> float:
    return asyncio.get_running_loop().time()


def lasts(seconds: float) -> object:
    return pytest.approx(seconds, abs=0.001)


class Quick:
    """A transport that answers at once."""

    name = "quick"
    largest_batch = 64

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        return body


@timeless
async def test_without_a_limit_nothing_waits() -> None:
    transport = PacedTransport(Quick(), None)
    begun = now()
    for _ in range(200):
        assert await transport.exchange(b"x", 1, 1.0) == b"x"
    assert now() == begun
    assert transport.rate is None


@timeless
async def test_no_more_requests_a_second_are_sent_than_configured() -> None:
    transport = PacedTransport(Quick(), 20.0)
    begun = now()
    for _ in range(30):  # a second's worth at once, the rest a second later
        await transport.exchange(b"x", 1, 1.0)
    assert now() - begun == lasts(pace.WINDOW + pace.MARGIN)


class Noting(Quick):
    """Notes when each call was sent."""

    def __init__(self) -> None:
        self.sent: list[float] = []

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        self.sent += [now()] * calls
        return body


@pytest.mark.parametrize("calls", [1, 3])
@timeless
async def test_no_second_has_more_calls_than_are_allowed_not_even_the_first(calls: int) -> None:
    noting = Noting()
    transport = PacedTransport(noting, 12.0)
    await asyncio.gather(*(transport.exchange(b"x", 1, 1.0, calls) for _ in range(30 // calls)))
    busiest = max(sum(at <= other < at + 1.0 for other in noting.sent) for at in noting.sent)
    assert busiest == 12
    assert noting.sent[-1] - noting.sent[0] == lasts(2 * (pace.WINDOW + pace.MARGIN)), "no later"


@timeless
async def test_less_than_one_call_a_second_is_one_in_several_seconds() -> None:
    noting = Noting()
    transport = PacedTransport(noting, 0.8)
    for _ in range(2):
        await transport.exchange(b"x", 1, 1.0)
    assert noting.sent[1] - noting.sent[0] == lasts(1 / 0.8 + pace.MARGIN)


@timeless
async def test_each_call_of_a_batch_counts_and_a_batch_is_no_larger_than_a_second_allows() -> None:
    transport = PacedTransport(Quick(), 20.0)
    assert transport.largest_batch == 20
    begun = now()
    for _ in range(3):
        await transport.exchange(b"x", 1, 1.0, calls=10)
    assert now() - begun == lasts(pace.WINDOW + pace.MARGIN)
    assert PacedTransport(Quick(), 0.5).largest_batch == 1
    assert PacedTransport(Quick(), 1000.0).largest_batch == Quick.largest_batch


@timeless
async def test_a_batch_waits_its_turn_and_no_longer_while_others_ask_without_end() -> None:
    transport = PacedTransport(Quick(), 50.0)

    async def read_on() -> None:
        while True:
            await transport.exchange(b"x", 1, 1.0)

    others = [asyncio.create_task(read_on()) for _ in range(3)]
    await asyncio.sleep(0.1)
    begun = now()
    try:
        await transport.exchange(b"x", 1, 1.0, calls=20)
        assert 0.2 < now() - begun < 3.0, "its calls count"
    finally:
        for task in others:
            task.cancel()


@timeless
async def test_the_rate_that_a_complaint_halves_is_that_of_calls() -> None:
    transport = PacedTransport(Quick(), None)
    await transport.exchange(b"x", 1, 1.0, calls=60)
    transport.slow_down()
    assert transport.rate == 30.0
    assert transport.largest_batch == 30
    await transport.exchange(b"x", 1, 1.0, calls=64)  # made up before the complaint: sent all the same


@timeless
async def test_a_complaint_halves_the_rate_and_peace_raises_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = PacedTransport(Quick(), None)
    for _ in range(40):
        await transport.exchange(b"x", 1, 1.0)
    transport.slow_down()
    assert transport.rate == 20.0
    transport.slow_down()
    assert transport.rate == 10.0
    monkeypatch.setattr(pace, "FASTER_AFTER", 0.0)
    await transport.exchange(b"x", 1, 1.0)
    assert transport.rate == 15.0


@timeless
async def test_a_complaint_about_a_connection_before_any_call_teaches_nothing() -> None:
    transport = PacedTransport(Quick(), None)
    transport.slow_down()
    assert transport.rate is None


@timeless
async def test_the_learned_rate_stays_between_the_least_and_the_configured_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = PacedTransport(Quick(), 8.0)
    await transport.exchange(b"x", 1, 1.0)
    for _ in range(4):
        transport.slow_down()
    assert transport.rate == pace.LEAST
    monkeypatch.setattr(pace, "FASTER_AFTER", 0.0)
    for _ in range(6):
        await transport.exchange(b"x", 1, 1.0)
    assert transport.rate == 8.0
