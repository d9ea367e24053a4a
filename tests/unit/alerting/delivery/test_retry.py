"""When deliveries are tried again, from tables."""

import itertools

import pytest

from chainwatch.alerting.delivery.retry import FIRST_PROBE, OPENS_AFTER, Breaker, backoff, is_hopeless


@pytest.mark.parametrize(
    ("attempts", "longest"), [(5, 1), (6, 2), (9, 16), (13, 256), (14, 300), (10_000, 300)]
)
def test_the_wait_doubles_up_to_five_minutes_with_full_jitter(attempts: int, longest: float) -> None:
    assert backoff(attempts, 1.0) == longest
    assert backoff(attempts, 0.0) == 0.0


@pytest.mark.parametrize("attempts", [1, 2, 3, 4])
def test_the_first_waits_are_half_a_second(attempts: int) -> None:
    assert 0.45 <= backoff(attempts, 0.0) < backoff(attempts, 1.0) <= 0.5


def test_a_receiver_that_refuses_everything_for_half_a_minute_is_asked_ten_times_at_most() -> None:
    breaker, now, attempts = Breaker(), 0.0, 0
    while now < 30.0:
        attempts += 1
        breaker.failed(now)
        now = breaker.probe_at or now + backoff(attempts, 0.0)
    assert attempts <= 10


@pytest.mark.parametrize(
    ("attempts", "permanent", "waited", "hopeless"),
    [
        (1, False, 10.0, False),
        (999, False, 99.9, False),
        (1, False, 100.0, True),
        (4, True, 10.0, False),
        (5, True, 10.0, True),
        (9, True, 4.9, False),
    ],
)
def test_a_message_is_given_up_after_its_time_or_a_handful_of_refusals(
    attempts: int, permanent: bool, waited: float, hopeless: bool
) -> None:
    assert is_hopeless(attempts, permanent, waited, give_up_after=100.0) is hopeless


def _failed(times: int, now: float = 100.0) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker.failed(now)
    return breaker


def test_the_breaker_stays_closed_for_a_few_failures_and_permits_no_more_than_would_open_it() -> None:
    breaker = _failed(OPENS_AFTER - 2)
    assert not breaker.is_open
    assert breaker.permits(0, 8, 100.0) == 2
    assert breaker.permits(1, 8, 100.0) == 1
    assert breaker.permits(7, 8, 100.0) == 0


def test_a_receiver_that_took_something_is_sent_as_much_at_a_time_as_it_may_be() -> None:
    breaker = Breaker()
    assert breaker.permits(0, 8, 100.0) == OPENS_AFTER
    breaker.succeeded()
    assert breaker.permits(0, 8, 100.0) == 8


def test_an_open_breaker_permits_nothing_and_then_one_probe_at_a_time() -> None:
    breaker = _failed(OPENS_AFTER)
    assert breaker.probe_at is not None
    assert breaker.permits(0, 4, breaker.probe_at - 0.1) == 0
    assert breaker.permits(0, 4, breaker.probe_at) == 1
    assert breaker.permits(1, 4, breaker.probe_at) == 0


def test_probes_come_ever_more_seldom_but_every_ten_seconds_at_least() -> None:
    breaker, pauses = _failed(OPENS_AFTER), []
    now = 100.0
    for _ in range(6):
        assert breaker.probe_at is not None
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker.failed(now)
    assert pauses == pytest.approx([0.8, 2.4, 7.2, 10, 10, 10])


@pytest.mark.parametrize(
    ("down_for", "pause"), [(250.0, 10.0), (301.0, 30.0), (3_500.0, 30.0), (3_601.0, 60.0), (1e6, 60.0)]
)
def test_the_longer_a_receiver_is_down_the_more_seldom_it_is_tried(down_for: float, pause: float) -> None:
    breaker, now = _failed(OPENS_AFTER), 100.0
    while now < 100.0 + down_for:
        assert breaker.probe_at is not None
        before, now = now, breaker.probe_at
        breaker.failed(now)
    assert breaker.probe_at is not None
    assert breaker.probe_at - now == pytest.approx(pause)
    assert now - before <= pause


def test_a_receiver_that_hangs_is_probed_as_often_as_one_that_refuses() -> None:
    breaker, begun, starts = _failed(OPENS_AFTER), 0.0, []
    for _ in range(8):
        assert breaker.probe_at is not None
        begun = breaker.probe_at
        starts.append(begun)
        breaker.failed(begun + 9.5, begun)
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert max(pauses) == pytest.approx(9.5 + FIRST_PROBE)


def test_attempts_that_set_out_before_it_opened_do_not_put_the_probe_off() -> None:
    assert _failed(OPENS_AFTER + 7).probe_at == _failed(OPENS_AFTER).probe_at


def test_a_success_closes_the_breaker_and_forgets_the_failures() -> None:
    breaker = _failed(OPENS_AFTER)
    breaker.succeeded()
    breaker.failed(200.0)
    assert (breaker.is_open, breaker.failing_since) == (False, 200.0)
