"""The time that everything waits by, while the host's clock jumps."""

from __future__ import annotations

import pytest

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
    lasted = host.clock() - before
    assert 10 <= lasted <= 20.0001
    assert abs(host.clock.jump) > 5
    host.wall -= jump
    host.pass_(80)
    assert host.clock() == pytest.approx(host.wall, abs=0.001)


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


@pytest.mark.parametrize("back", [30.0, 600.0, 3600.0])
def test_a_clock_that_was_set_back_is_waited_for_and_never_goes_back(back: float) -> None:
    host = Host()
    host.wall -= back
    before = host.clock()
    for _ in range(20):
        host.pass_(back / 10)
        assert host.clock() > before
        before = host.clock()
    assert host.clock() == pytest.approx(host.wall, abs=0.001)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_how_long_something_lasts_is_the_same_whatever_is_followed(jump: float) -> None:
    host = Host()
    host.clock.judge(True)
    before = host.clock.unadjusted()
    host.wall += jump
    host.pass_(20)
    assert host.clock.unadjusted() - before == pytest.approx(20, abs=0.001)
