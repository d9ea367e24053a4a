"""How often an endpoint is asked."""

from __future__ import annotations

import asyncio
import time

import pytest

from chainwatch.chain import pace
from chainwatch.chain.pace import PacedTransport


class Quick:
    """A transport that answers at once."""

    name = "quick"
    largest_batch = 64

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        return body


async def test_without_a_limit_nothing_waits() -> None:
    transport = PacedTransport(Quick(), None)
    begun = time.monotonic()
    for _ in range(200):
        assert await transport.exchange(b"x", 1, 1.0) == b"x"
    assert time.monotonic() - begun < 0.5
    assert transport.rate is None


async def test_no_more_requests_a_second_are_sent_than_configured() -> None:
    transport = PacedTransport(Quick(), 20.0)
    begun = time.monotonic()
    for _ in range(30):  # a second's worth at once, the rest at the rate
        await transport.exchange(b"x", 1, 1.0)
    assert 0.4 < time.monotonic() - begun < 1.5


class Noting(Quick):
    """Notes when each call was sent."""

    def __init__(self) -> None:
        self.sent: list[float] = []

    async def exchange(self, body: bytes, id: int, seconds: float, calls: int = 1) -> bytes:
        self.sent += [time.monotonic()] * calls
        return body


@pytest.mark.parametrize("calls", [1, 3])
async def test_no_second_has_more_calls_than_are_allowed_not_even_the_first(calls: int) -> None:
    noting = Noting()
    transport = PacedTransport(noting, 12.0)
    await asyncio.gather(*(transport.exchange(b"x", 1, 1.0, calls) for _ in range(30 // calls)))
    busiest = max(sum(at <= other < at + 1.0 for other in noting.sent) for at in noting.sent)
    assert busiest == 12
    assert noting.sent[-1] - noting.sent[0] < 2.5, "as quickly as that allows"


async def test_less_than_one_call_a_second_is_one_in_several_seconds() -> None:
    noting = Noting()
    transport = PacedTransport(noting, 0.8)
    for _ in range(2):
        await transport.exchange(b"x", 1, 1.0)
    assert 1.25 <= noting.sent[1] - noting.sent[0] < 1.6


async def test_each_call_of_a_batch_counts_and_a_batch_is_no_larger_than_a_second_allows() -> None:
    transport = PacedTransport(Quick(), 20.0)
    assert transport.largest_batch == 20
    begun = time.monotonic()
    for _ in range(3):
        await transport.exchange(b"x", 1, 1.0, calls=10)
    assert 0.4 < time.monotonic() - begun < 1.5
    assert PacedTransport(Quick(), 0.5).largest_batch == 1
    assert PacedTransport(Quick(), 1000.0).largest_batch == Quick.largest_batch


async def test_a_batch_waits_its_turn_and_no_longer_while_others_ask_without_end() -> None:
    transport = PacedTransport(Quick(), 50.0)

    async def read_on() -> None:
        while True:
            await transport.exchange(b"x", 1, 1.0)

    others = [asyncio.create_task(read_on()) for _ in range(3)]
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    try:
        await asyncio.wait_for(transport.exchange(b"x", 1, 1.0, calls=20), 3.0)
        assert time.monotonic() - begun > 0.2, "its calls count"
    finally:
        for task in others:
            task.cancel()


async def test_the_rate_that_a_complaint_halves_is_that_of_calls() -> None:
    transport = PacedTransport(Quick(), None)
    await transport.exchange(b"x", 1, 1.0, calls=60)
    transport.slow_down()
    assert transport.rate == 30.0
    assert transport.largest_batch == 30
    await transport.exchange(b"x", 1, 1.0, calls=64)  # made up before the complaint: sent all the same


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


async def test_a_complaint_about_a_connection_before_any_call_teaches_nothing() -> None:
    transport = PacedTransport(Quick(), None)
    transport.slow_down()
    assert transport.rate is None


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
