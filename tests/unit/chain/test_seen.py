"""Until when a network is seen while no new block comes (S5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain.seen import SEEN_MARGIN, seen_beyond
from chainwatch.config import NetworkSettings
from chainwatch.model import Header
from tests.support.observing import network_settings

T0 = 1_700_000_000
HEAD = Header(7, b"\x01" * 32, b"\x02" * 32, T0)


def seen(age: float, ahead: float = 0.0, **settings: str) -> int | None:
    """How many seconds after the head the network is seen, ``age`` seconds after it, by a clock that is ``ahead``."""
    network = network_settings("http://node", **settings)
    until = seen_beyond(network, HEAD, T0 + age, T0 + age + ahead)
    return None if until is None else until - T0


@pytest.mark.parametrize(
    ("age", "until"), [(3.0, 1), (4.0, 2), (6.0, 2), (6.1, None), (18.0, None), (40.0, None)]
)
def test_a_head_older_than_two_block_times_and_a_margin_proves_nothing_S5(
    age: float, until: int | None
) -> None:
    assert seen(age, block_time="2s") == until


def test_the_next_block_may_be_under_way_for_as_long_as_blocks_take_S5() -> None:
    assert seen(23.0, block_time="12s") == 11
    assert seen(26.0, block_time="12s") == 12


def test_a_fast_chain_is_seen_less_far_than_now_by_the_margin_S5() -> None:
    assert seen(2.4, block_time="250ms") == 0


def test_on_demand_a_head_may_be_of_any_age_S5() -> None:
    assert seen(86_400.0) == 86_398


def test_where_blocks_may_be_backdated_now_counts_so_much_later_S5() -> None:
    assert seen(5.0, backdated="1h") == 5 - 2 - 3600
    assert seen(5.0, backdated="1h", block_time="2s") == 5 - 2 - 3600


def test_a_clock_that_is_ahead_makes_a_head_older_and_nothing_later_S5() -> None:
    assert seen(3.0, ahead=30.0, block_time="2s") is None
    assert seen(3.0, ahead=600.0) == 1


Arrival = tuple[float, int]
"""When a block came, and its timestamp, both in seconds since the first one."""


def seen_at_arrivals(network: NetworkSettings, blocks: Sequence[Arrival]) -> list[int]:
    """How far the network was seen when each block but the first came, looked at every half second."""
    found, until = [], 0
    for (came, timestamp), (next_came, _) in pairwise(blocks):
        head = Header(7, b"\x01" * 32, b"\x02" * 32, T0 + timestamp)
        until = max(until, timestamp)
        for half in range(int(2 * came), int(2 * next_came) + 1):
            now = T0 + min(max(half / 2, came), next_came)
            until = max(until, (seen_beyond(network, head, now, now) or 0) - T0)
        found.append(until)
    return found


@given(
    st.sampled_from([1, 2, 5, 12]),
    st.lists(st.tuples(st.integers(1, 8), st.floats(0, 90)), min_size=1, max_size=20),
)
def test_no_block_in_slots_comes_with_a_time_that_was_seen_past_whatever_the_outages_S5(
    block_time: int, blocks: list[tuple[int, float]]
) -> None:
    """Slots may be missed; blocks come when they like, as after an outage, but not before their time."""
    came, timestamp, arrivals = 0.0, 0, [(0.0, 0)]
    for slots, pause in blocks:
        timestamp += slots * block_time
        came = max(came + pause, float(timestamp))
        arrivals.append((came, timestamp))
    network = network_settings("http://node", block_time=f"{block_time}s")
    for (_, timestamp), until in zip(arrivals[1:], seen_at_arrivals(network, arrivals), strict=True):
        assert until <= timestamp


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 60)), min_size=1, max_size=20))
def test_where_blocks_are_backdated_by_no_more_than_configured_none_was_seen_past_S5(
    blocks: list[tuple[int, float]],
) -> None:
    """Times jump by anything, also by nothing."""
    came, timestamp, arrivals = 0.0, 0, [(0.0, 0)]
    for step, late in blocks:
        timestamp += step
        came = max(came, min(timestamp + late, timestamp + 60.0))
        timestamp = max(timestamp, int(came) - 60)
        arrivals.append((came, timestamp))
    network = network_settings("http://node", backdated="1m")
    for (_, timestamp), until in zip(arrivals[1:], seen_at_arrivals(network, arrivals), strict=True):
        assert until <= timestamp


@pytest.mark.parametrize("block_time", [1, 2, 12])
def test_a_regular_chain_is_seen_within_two_block_times_or_four_seconds_of_now(block_time: int) -> None:
    network = network_settings("http://node", block_time=f"{block_time}s")
    arrivals = [(n * block_time + 0.5, n * block_time) for n in range(50)]
    for (came, _), until in zip(arrivals[1:], seen_at_arrivals(network, arrivals), strict=True):
        assert came - until <= 2 * max(block_time, SEEN_MARGIN)
