"""The time that everything waits by, while the host's clock jumps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chainwatch.chain.chain_time import TOLERANCE, ChainTime
from chainwatch.support.clock import SETTLED_AFTER, SteadyClock

START = 1_700_000_000.0


class Host:
    def __init__(self) -> None:
        self.up = 50.0
        self.wall = START
        self.clock = SteadyClock(lambda: self.wall, lambda: self.up)

    def pass_(self, seconds: float, steps: int = 10) -> None:
        for _ in range(steps):
            self.up += seconds / steps
            self.wall += seconds / steps
            self.clock()


def test_it_shows_the_hosts_time() -> None:
    host = Host()
    host.pass_(100)
    assert host.clock() == pytest.approx(host.wall, abs=0.001)
    assert host.clock.jump == pytest.approx(0.0, abs=0.001)


@pytest.mark.parametrize("jump", [30.0, 600.0, 3600.0, -30.0, -600.0, -3600.0])
def test_a_jump_that_is_taken_back_within_a_minute_changes_no_wait(jump: float) -> None:
    host = Host()
    before = host.clock()
    host.wall += jump
    host.pass_(20)
    assert host.clock() - before == pytest.approx(20, abs=0.001)
    assert host.clock.jump == pytest.approx(jump, abs=0.001)
    host.wall -= jump
    host.pass_(80)
    assert host.clock() - before == pytest.approx(100, abs=0.001)
    assert host.clock() == pytest.approx(host.wall, abs=0.001)
    assert host.clock.follow() == 0.0


def test_a_jump_ahead_that_stays_is_followed_after_a_minute() -> None:
    host = Host()
    host.wall += 3600
    host.clock()
    host.pass_(SETTLED_AFTER - 1)
    assert host.clock.jump == pytest.approx(3600, abs=0.001)
    host.pass_(2)
    assert host.clock.jump == pytest.approx(0.0, abs=0.001)


def test_a_jump_ahead_is_followed_at_once_where_it_is_known_to_be_right() -> None:
    host = Host()
    host.wall += 28_800  # the machine has slept
    host.clock()
    host.clock.judge(True)
    assert host.clock() == pytest.approx(host.wall, abs=0.001)


def test_that_the_clock_was_right_before_a_jump_says_nothing_of_the_jump() -> None:
    host = Host()
    host.clock.judge(True)
    before = host.clock()
    host.wall += 3600
    assert host.clock() == before
    host.clock.judge(False)
    host.pass_(20)
    assert host.clock() == pytest.approx(before + 20, abs=0.001)


def test_a_jump_ahead_that_is_known_to_be_wrong_is_never_followed() -> None:
    host = Host()
    host.wall += 3600
    host.clock.judge(False)
    host.pass_(600)
    assert host.clock.jump == pytest.approx(3600, abs=0.001)


@pytest.mark.parametrize("jump", [-8.0, -2.0, 2.0, 8.0])
def test_a_small_difference_is_made_up_for_slowly(jump: float) -> None:
    host = Host()
    before = host.clock()
    host.wall += jump
    host.pass_(10)
    assert 9 <= host.clock() - before <= 11
    assert not host.clock.is_to_be_set
    host.pass_(80)
    assert host.clock() == pytest.approx(host.wall, abs=0.001)


@pytest.mark.parametrize("error", [30.0, 600.0, 3600.0, -30.0, -600.0, -3600.0])
def test_a_clock_that_was_wrong_from_the_start_is_followed_at_once_when_it_is_set_right(error: float) -> None:
    host = Host()
    host.wall = START + error
    host.clock = SteadyClock(lambda: host.wall, lambda: host.up)
    host.clock.judge(False)
    host.pass_(600)
    before = host.clock()
    host.wall -= error
    host.pass_(1)
    assert host.clock() - before == pytest.approx(1, abs=0.001), "until it is known to be right, waits go on"
    host.clock.judge(True)
    assert host.clock.is_to_be_set
    assert host.clock.follow() == pytest.approx(-error, abs=0.001)
    assert host.clock() == pytest.approx(host.wall, abs=0.001)
    assert not host.clock.is_to_be_set
    assert host.clock.follow() == 0.0


@pytest.mark.parametrize("back", [30.0, 600.0, 3600.0])
def test_a_clock_that_was_set_back_is_followed_after_a_minute_where_nothing_is_known(back: float) -> None:
    host = Host()
    before = host.clock()
    host.wall -= back
    host.clock()
    host.pass_(SETTLED_AFTER - 1)
    assert not host.clock.is_to_be_set
    host.pass_(2)
    assert host.clock() - before == pytest.approx(SETTLED_AFTER + 1, abs=0.001)
    assert host.clock.is_to_be_set
    assert host.clock.follow() == pytest.approx(-back, abs=0.001)


def test_a_jump_back_that_is_taken_back_later_is_no_time_that_has_passed() -> None:
    host = Host()
    for jump in (-3600.0, 3600.0):
        host.wall += jump
        host.clock()
        host.pass_(SETTLED_AFTER + 1)
        assert host.clock.follow() == pytest.approx(jump, abs=0.001)


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0])
def test_a_clock_that_stands_still_or_runs_wrongly_is_not_followed(rate: float) -> None:
    host = Host()
    before = host.clock()
    for second in range(600):
        host.up += 1
        host.wall += rate
        host.clock()
        if second > 30:
            host.clock.judge(False)
        assert host.clock.follow() == 0.0
    assert host.clock() - before == pytest.approx(600, abs=10)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_how_long_something_lasts_is_the_same_whatever_is_followed(jump: float) -> None:
    host = Host()
    host.clock.judge(True)
    before = host.clock.unadjusted()
    host.wall += jump
    host.pass_(20)
    assert host.clock.unadjusted() - before == pytest.approx(20, abs=0.001)


OFF = [-3600.0, -600.0, -30.0, 30.0, 600.0, 3600.0]


@pytest.mark.slow
@pytest.mark.parametrize("witness", ["heads", "dates", "one date and one head"])
@pytest.mark.parametrize("error", OFF)
@pytest.mark.parametrize(("wrong_from", "right_from"), [(0, 120), (60, 90), (60, 600), (60, 10_000)], ids=str)
def test_with_blocks_or_dates_as_witnesses_every_wait_keeps_its_length_and_a_right_clock_is_shown(
    witness: str, error: float, wrong_from: int, right_from: int
) -> None:
    host = Host()
    host.wall = START + (error if wrong_from == 0 else 0.0)
    clock = host.clock = SteadyClock(lambda: host.wall, lambda: host.up)
    chain_time = ChainTime(clock, lambda: host.up)
    tell = _witnesses(chain_time)[witness]
    waited_from, moved = clock(), 0.0
    for second in range(1, 900):
        true = START + second
        host.up += 1
        host.wall = true + (error if wrong_from <= second < right_from else 0.0)
        tell(second, true)
        found = chain_time.error_of(host.wall)
        clock.judge(None if found is None else found == 0.0)
        moved += clock.follow()
        assert clock() - waited_from - moved == pytest.approx(second, abs=1.0), "no wait is another length"
        if second > right_from + 2 or (wrong_from > 60 and second < wrong_from):
            assert abs(clock() - true) <= TOLERANCE
        if second > 60 and wrong_from <= second < right_from:
            assert found is not None
            assert found == pytest.approx(error, abs=3.0), "ClockSkew says so"


def _witnesses(chain_time: ChainTime) -> dict[str, Callable[[int, float], None]]:
    def heads(second: int, true: float) -> None:
        if second % 4 == 0:
            chain_time.saw_head("a", int(true), 1.0)
            chain_time.saw_head("b", int(true) - 1, 1.0)

    def dates(second: int, true: float) -> None:
        chain_time.saw_date("node", int(true))

    def one_each(second: int, true: float) -> None:
        dates(second, true)
        if second % 12 == 0:
            chain_time.saw_head("a", int(true) - 1, 1.0)

    return {"heads": heads, "dates": dates, "one date and one head": one_each}
