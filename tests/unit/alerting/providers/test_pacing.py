"""No rate is ever exceeded, and nothing waits longer than the rates ask."""

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.alerting.providers.pacing import Pace, Rate

CHAT, GROUP = Rate(1, 1.0), Rate(20, 60.0)


def turns(pace: Pace, moments: Sequence[float]) -> list[float]:
    """The turns of calls that are wanted at these moments, each taken."""
    given_turns = []
    for now in moments:
        given_turns.append(turn := pace.next_turn(now))
        pace.take(turn)
    return given_turns


def test_the_first_call_goes_at_once_and_the_next_ones_a_second_apart() -> None:
    assert turns(Pace([CHAT]), [5.0, 5.0, 5.2, 9.0]) == [5.0, 6.0, 7.0, 9.0]


def test_of_two_rates_both_are_kept() -> None:
    made = turns(Pace([CHAT, GROUP]), [0.0] * 42)
    assert made[:20] == list(map(float, range(20)))
    assert made[20:22] == [60.0, 61.0]
    assert made[40] == 120.0


def test_nothing_goes_out_within_a_pause_that_was_asked_for() -> None:
    pace = Pace([CHAT])
    pace.pause(30.0)
    pace.pause(20.0)
    assert turns(pace, [1.0, 40.0]) == [30.0, 40.0]


def test_a_turn_that_is_not_taken_is_free() -> None:
    pace = Pace([CHAT])
    assert pace.next_turn(1.0) == pace.next_turn(1.0) == 1.0


def test_without_rates_nothing_waits() -> None:
    assert turns(Pace([]), [1.0, 1.0]) == [1.0, 1.0]


@pytest.mark.parametrize("rates", [[CHAT], [GROUP], [CHAT, GROUP], [Rate(3, 7.5), Rate(5, 30.0)]])
@given(waits=st.lists(st.floats(0.0, 40.0), max_size=60))
def test_no_rate_is_exceeded_in_any_window(rates: list[Rate], waits: list[float]) -> None:
    moments = list(accumulate(waits))
    made = turns(Pace(rates), moments)
    assert all(turn >= moment for turn, moment in zip(made, moments, strict=True))
    for calls, seconds in rates:
        assert all(
            later - earlier >= seconds - 1e-6 for earlier, later in zip(made, made[calls:], strict=False)
        )
