"""Rate limits, from tables and by a property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.alert_model import RateWindow
from chainwatch.alerting.policy import rate_limits
from chainwatch.model import Source


def test_a_window_takes_its_limit_and_begins_anew_when_it_is_over() -> None:
    assert rate_limits.take(None, 2, 100.0) == RateWindow(100.0, 1)
    assert rate_limits.take(RateWindow(100.0, 1), 2, 110.0) == RateWindow(100.0, 2)
    assert rate_limits.take(RateWindow(100.0, 2), 2, 159.9) is None
    assert rate_limits.take(RateWindow(100.0, 2), 2, 160.0) == RateWindow(160.0, 1)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10))
def test_no_window_ever_takes_more_than_its_limit(waits: list[float], limit: int) -> None:
    now, window, taken = 0.0, None, list[float]()
    for wait in waits:
        now += wait
        after = rate_limits.take(window, limit, now)
        if after is not None:
            window = after
            taken.append(after.started_at)
    assert all(taken.count(started_at) <= limit for started_at in taken)


def test_an_alert_of_another_program_counts_as_the_nearest_thing_that_its_labels_name() -> None:
    labels = {"alertname": "A", "network": "n", "flow": "f", "source": "s"}
    found = []
    for name in ("source", "flow", "network", ""):
        found.append(rate_limits.counted_as("external", labels))
        labels.pop(name, None)
    assert found == ["s", "f", "n", "A"]


@pytest.mark.parametrize(
    ("source", "label"),
    [("transfer", "f"), ("event", "f"), ("network", "n"), ("receiver", "A"), ("rule", "A"), ("process", "A")],
)
def test_an_alert_of_chainwatch_counts_as_what_it_is_about(source: Source, label: str) -> None:
    labels = {"alertname": "A", "network": "n", "flow": "f", "source": "s"}
    assert rate_limits.counted_as(source, labels) == label
