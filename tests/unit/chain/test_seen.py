"""Until when a network is seen while no new block comes."""

from __future__ import annotations

import pytest

from chainwatch.chain.seen import seen_beyond
from chainwatch.model import Header
from tests.support.observing import network_settings

T0 = 1_700_000_000
HEAD = Header(7, b"\x01" * 32, b"\x02" * 32, T0)


def seen(age: float, ahead: float = 0.0, **settings: str) -> int | None:
    """How many seconds after the head the network is seen, ``age`` seconds after it, by a clock that is ``ahead``."""
    network = network_settings("http://node", **settings)
    until = seen_beyond(network, HEAD, T0 + age, T0 + age + ahead)
    return None if until is None else until - T0


@pytest.mark.parametrize(("age", "until"), [(3.0, 1), (6.0, 4), (6.1, None), (18.0, None), (40.0, None)])
def test_a_head_older_than_two_block_times_and_a_margin_proves_nothing_S5(
    age: float, until: int | None
) -> None:
    assert seen(age, block_time="2s") == until


def test_the_next_block_may_be_under_way_for_as_long_as_blocks_take_S5() -> None:
    assert seen(25.0, block_time="12s") == 13


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
