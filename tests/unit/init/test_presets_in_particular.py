"""What is particular to a preset: what its own events may hide, on the logs of its protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.presets import ccip, layerzero, stargate
from tests.support.presets.protocol import HOUR, OTHER, Alerted, Protocol, Route
from tests.support.presets.world import BEGIN, LONG, World, watched

ROUTE = Route("ethereum", "base")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[[Protocol], World]]:
    """Opens the networks of a protocol."""
    with ExitStack() as stack:
        yield lambda protocol: stack.enter_context(watched(protocol, tmp_path))


def test_a_forged_packet_that_took_the_place_of_an_honest_one_is_a_mismatch(
    world: Callable[[Protocol], World],
) -> None:
    """LayerZero's guid and nonce do not bind the content."""
    seen = world(layerzero.ENDPOINT)
    seen.run(layerzero.packet_sent(ROUTE, 1), BEGIN)
    seen.run(layerzero.packet_verified(ROUTE, 1, b"all your tokens"), BEGIN + 100)
    seen.run(layerzero.packet_delivered(ROUTE, 1), BEGIN + 120)
    seen.see(BEGIN + LONG)
    assert seen.alerted() == [Alerted("TransferMismatch", "verify")]
    assert set(seen.statuses().values()) == {"disputed"}


def test_a_packet_may_be_verified_again(world: Callable[[Protocol], World]) -> None:
    seen = world(layerzero.ENDPOINT)
    seen.run(layerzero.packet_sent(ROUTE, 1), BEGIN)
    seen.run(layerzero.packet_verified(ROUTE, 1), BEGIN + 100)
    seen.run(layerzero.packet_verified(ROUTE, 1), BEGIN + 110)
    seen.run(layerzero.packet_delivered(ROUTE, 1), BEGIN + 120)
    seen.see(BEGIN + LONG)
    assert (seen.alerted(), set(seen.statuses().values())) == ([], {"complete"})


def test_a_bus_pays_out_each_of_its_passengers(world: Callable[[Protocol], World]) -> None:
    seen = world(stargate.PROTOCOL)
    seen.run(stargate.sent(ROUTE, 1, stargate.bus(5)), BEGIN)
    seen.run(stargate.received(ROUTE, 1, passengers=5), BEGIN + 100)
    seen.see(BEGIN + LONG)
    assert (seen.alerted(), set(seen.statuses().values())) == ([], {"complete"})


def test_a_message_of_ccip_that_failed_is_overdue_until_it_is_executed_by_hand(
    world: Callable[[Protocol], World],
) -> None:
    seen = world(ccip.PROTOCOL)
    seen.run(ccip.sent(ROUTE, 1), BEGIN)
    seen.run(ccip.executed(ROUTE, 1, ccip.FAILURE), BEGIN + 1200)
    seen.see(BEGIN + 3 * HOUR)
    assert seen.alerted() == [Alerted("TransferOverdue", "execute")]
    seen.run(ccip.executed(ROUTE, 1), BEGIN + 4 * HOUR)
    assert seen.alerted() == [Alerted("TransferOverdue", "execute", "resolved")]


@pytest.mark.parametrize(
    ("paid", "alerts"),
    [
        ({"amount": stargate.AMOUNT * 10**12}, []),
        ({"amount": stargate.AMOUNT + 1}, [Alerted("TransferMismatch", "receive")]),
        ({"receiver": OTHER}, [Alerted("TransferMismatch", "receive")]),
    ],
)
def test_a_taxi_must_pay_what_it_carries_to_whom(
    paid: dict[str, Any], alerts: list[Alerted], world: Callable[[Protocol], World]
) -> None:
    seen = world(stargate.PROTOCOL)
    seen.run(stargate.sent(ROUTE, 1), BEGIN)
    seen.run(stargate.received(ROUTE, 1, **paid), BEGIN + 100)
    seen.see(BEGIN + LONG)
    assert seen.alerted() == alerts
