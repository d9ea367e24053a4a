"""What time it is by the chains, whatever the host's clock shows."""

from __future__ import annotations

import pytest

from chainwatch.chain.chain_time import ALONE_AFTER, TOLERANCE, ChainTime

TRUE = 1_700_000_000.0


class Host:
    """A machine whose clock is ``ahead`` of the true time by so many seconds."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead
        self.up = 100.0
        self.time = ChainTime(lambda: self.true + self.ahead, lambda: self.up)

    @property
    def true(self) -> float:
        return TRUE + self.up

    def heads(self, *networks: str, late: float = 0.5, times: int = 4, every: float = 4.0) -> None:
        """Each network makes a block from time to time, seen so many seconds later."""
        for _ in range(times):
            self.up += every
            for network in networks:
                self.time.saw_head(network, int(self.true - late), slack=late)

    def proven(self) -> float:
        """How far ahead of the true time something counts as proven."""
        return self.time.proven(self.time.moment()) - self.true


OFF = [-3600.0, -600.0, -30.0, 30.0, 600.0, 3600.0]


def test_without_any_witness_there_is_only_the_hosts_clock_after_a_minute() -> None:
    host = Host(ahead=30.0)
    assert host.time.proven(host.time.moment()) == 0.0
    assert host.time.now() == pytest.approx(host.true + 30.0)
    host.up += 60
    assert host.proven() == pytest.approx(30.0)
    assert host.time.error_of(host.true) is None


@pytest.mark.parametrize("paced", [True, False])
def test_one_endpoint_whose_clock_is_ahead_proves_nothing_S5(paced: bool) -> None:
    host = Host(ahead=0.0)
    if paced:
        host.heads("right")
    host.time.saw_date("ahead", int(host.true + 3600))
    assert host.proven() <= 0.0


def test_one_network_whose_blocks_are_ahead_makes_nothing_late_elsewhere_S5() -> None:
    host = Host(ahead=0.0)
    for _ in range(4):
        host.up += 4
        host.time.saw_head("ahead", int(host.true + 3600), slack=1.0)
    assert host.proven() <= 0.0
    host.time.saw_date("ahead", int(host.true + 3600))
    host.time.saw_date("right", int(host.true))
    assert host.proven() <= 0.0


def test_a_clock_that_is_behind_hides_nothing_once_a_block_agrees_with_a_date() -> None:
    host = Host(ahead=-3600.0)
    host.time.saw_date("node", int(host.true))
    assert host.proven() == pytest.approx(-3600.0)
    host.time.saw_head("on demand", int(host.true), slack=1.0)
    assert -2.0 <= host.proven() <= 0.0


@pytest.mark.parametrize("ahead", [0.0, *OFF])
def test_what_is_proven_is_never_later_than_the_true_time_whatever_the_clock_shows_S5(ahead: float) -> None:
    host = Host(ahead)
    host.heads("a", "b")
    assert -2.0 <= host.proven() <= 0.0
    host.up += 300
    assert -2.0 <= host.proven() <= 0.0, "heads go on by the monotonic clock"


@pytest.mark.parametrize("ahead", OFF)
def test_a_wrong_clock_is_known_by_the_heads_and_put_right(ahead: float) -> None:
    host = Host(ahead)
    host.heads("a", "b")
    assert host.time.error_of(host.true + ahead) == pytest.approx(ahead, abs=2.0)
    assert host.time.now() == pytest.approx(host.true, abs=2.0)


@pytest.mark.parametrize("ahead", [-TOLERANCE + 2, -1.0, 0.0, TOLERANCE - 1])
def test_a_clock_that_is_right_enough_is_believed_for_ages(ahead: float) -> None:
    host = Host(ahead)
    host.heads("a", "b")
    assert host.time.error_of(host.true + ahead) == 0.0
    assert host.time.now() == host.true + ahead


def test_a_single_new_head_bounds_a_clock_that_is_ten_minutes_ahead_S5() -> None:
    host = Host(ahead=600.0)
    host.time.saw_head("on demand", int(host.true), slack=1.0)
    assert -1.0 <= host.proven() <= 0.0
    host.up += 60
    assert -1.0 <= host.proven() <= 0.0


def test_the_dates_of_answers_report_the_time_where_no_block_comes() -> None:
    host = Host(ahead=600.0)
    host.time.saw_date("node", int(host.true))
    assert -1.0 <= host.proven() <= 0.0
    assert host.time.error_of(host.true + 600) == pytest.approx(600, abs=1.0)


def test_one_chain_that_is_far_behind_is_not_a_wrong_clock() -> None:
    host = Host(ahead=0.0)
    host.heads("a", "b")
    host.heads("late", late=1800.0)
    assert host.time.error_of(host.true) == 0.0


def test_a_chain_alone_that_is_behind_is_not_a_wrong_clock_where_answers_are_dated() -> None:
    host = Host(ahead=0.0)
    host.heads("late", late=1800.0)
    host.time.saw_date("node", int(host.true))
    assert host.time.error_of(host.true) == 0.0


def test_of_two_chains_that_disagree_none_says_that_the_clock_is_wrong() -> None:
    host = Host(ahead=0.0)
    host.time.saw_date("node", int(host.true))
    for _ in range(4):
        host.up += 4
        host.time.saw_head("a", int(host.true), 1.0)
        host.time.saw_head("late", int(host.true - 600), 1.0)
    assert host.time.error_of(host.true) == 0.0


def test_heads_that_are_caught_up_with_do_not_report_the_time() -> None:
    host = Host(ahead=0.0)
    for n in range(10):
        host.up += 4
        host.time.saw_head("syncing", int(TRUE - 90_000 + 400 * n), slack=1.0)
    assert host.time.error_of(host.true) is None


def test_a_jump_of_the_clock_changes_nothing_that_is_proven_S5() -> None:
    host = Host(ahead=0.0)
    host.heads("a", "b")
    for ahead in (3600.0, -3600.0, 0.0):
        host.ahead = ahead
        assert -2.0 <= host.proven() <= 0.0
        assert host.time.now() == pytest.approx(host.true, abs=2.0)


@pytest.mark.parametrize("ahead", [3600.0, 2.6e9])
def test_a_block_from_the_future_is_refuted_by_the_clock_and_another_network(ahead: float) -> None:
    host = Host(ahead=0.0)
    host.heads("right")
    assert host.time.refutes("lying", host.true + ahead)
    host.time.saw_date("lying", host.true + ahead)
    host.time.saw_head("lying", int(host.true + ahead), slack=1.0)
    assert host.time.refutes("lying", host.true + ahead)
    assert not host.time.refutes("lying", host.true)


def test_without_another_network_or_by_a_clock_that_may_be_wrong_nothing_is_refuted() -> None:
    host = Host(ahead=0.0)
    host.heads("alone")
    assert not host.time.refutes("alone", host.true + 3600)
    host = Host(ahead=-3600.0)
    host.heads("a", "b")
    assert not host.time.refutes("a", host.true)
    host = Host(ahead=3700.0)
    host.heads("late", late=1800.0)
    assert not host.time.refutes("right", host.true)


def test_just_after_the_start_a_block_from_the_future_waits_until_something_can_be_known() -> None:
    host = Host(ahead=0.0)
    assert host.time.refutes("lying", host.true + 3600)
    assert not host.time.refutes("right", host.true)
    host.up += ALONE_AFTER
    assert not host.time.refutes("the only one", host.true + 3600)


def test_one_endpoint_with_a_wrong_date_does_not_make_a_clock_wrong_that_the_blocks_agree_with() -> None:
    host = Host(ahead=0.0)
    host.heads("right")
    host.time.saw_date("wrong", host.true + 2.6e9)
    assert host.time.error_of(host.true) == 0.0
    assert host.time.now() == pytest.approx(host.true)
