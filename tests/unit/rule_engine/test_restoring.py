"""What becomes of alerts after a time without evaluation."""

from dataclasses import replace

import pytest

from chainwatch.promql.series import Labels
from chainwatch.rule_engine.restoring import grace_after, moved, restored
from chainwatch.rules.evaluation import Alert
from chainwatch.store.rule_alerts import StoredRuleAlert

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


def stored(state: str) -> StoredRuleAlert:
    fired_at = 5_000_000 if state == "firing" else None
    return StoredRuleAlert("rule", "print", {"alertname": "A"}, state, 1_000_000, fired_at, None, None, 0.0)


@pytest.mark.parametrize(
    ("gap", "active_at"),
    [
        (0, 1_000_000),
        (5 * MINUTE, 1_000_000),
        (10 * MINUTE, 1_000_000 + 10 * MINUTE),
        (HOUR, 1_000_000 + HOUR),
    ],
)
def test_a_pending_alert_waits_on_and_a_long_gap_does_not_count(gap: int, active_at: int) -> None:
    alert = restored(stored("pending"), gap)
    assert alert is not None
    assert (alert.state, alert.active_at) == ("pending", active_at)


def test_after_an_outage_a_pending_alert_begins_anew_and_one_that_fires_goes_on() -> None:
    assert restored(stored("pending"), HOUR + 1) is None
    alert = restored(stored("firing"), 100 * HOUR)
    assert alert is not None
    assert (alert.state, alert.active_at, alert.fired_at) == ("firing", 1_000_000, 5_000_000)


def test_alerts_stay_for_a_while_after_a_gap_in_which_samples_were_missed() -> None:
    assert grace_after(30 * SECOND) == 0
    assert grace_after(2 * MINUTE) == 2 * MINUTE


def test_what_waits_is_moved_with_the_clock_but_not_when_it_fired() -> None:
    alert = moved(Alert(Labels({"a": "b"}), {}, "firing", 1.0, 1_000, 2_000, 3_000), HOUR)
    assert (alert.active_at, alert.fired_at, alert.keep_firing_since) == (1_000 + HOUR, 2_000, 3_000 + HOUR)
    assert moved(replace(alert, resolved_at=4_000), HOUR).resolved_at == 4_000 + HOUR
