"""Alertmanager's rules for alerts that are sent again, from its own cases (``types.Alert.Merge``, ``TestAlertMerge``)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chainwatch.alert_model import Alert, Expiry
from chainwatch.alerting.engine.submission import DEFAULT_SEVERITY, Submission, parse, signal_of
from chainwatch.model import Signal

NOW = 1_000_000.0
TIMEOUT = 300.0


def sent(starts_at: float | None = None, ends_at: float | None = None) -> Submission:
    return Submission("f", {"alertname": "Down", "severity": "P1"}, {}, starts_at, ends_at)


def known(starts_at: float, ends_at: float | None = None) -> Alert:
    state = "firing" if ends_at is None else "resolved"
    labels = {"alertname": "Down", "severity": "P1"}
    return Alert(1, "f", labels, {}, starts_at, NOW, state=state, ends_at=ends_at)  # type: ignore[arg-type]


def ending(expires_at: float, *, timeout: bool = True) -> Expiry:
    return Expiry("f", expires_at, timeout)


def after(
    one: Submission, before: Alert | None = None, expiry: Expiry | None = None
) -> tuple[float | None, float | None, float | None]:
    """When it starts, when it has ended, when it ends by itself."""
    signal, ends = signal_of(one, before, expiry, NOW, TIMEOUT)
    return (
        None if signal is None else signal.starts_at,
        None if signal is None else signal.ends_at,
        None if ends is None else ends.expires_at,
    )


def test_an_alert_without_times_starts_now_and_ends_after_the_timeout() -> None:
    assert after(sent()) == (NOW, None, NOW + TIMEOUT)


def test_an_alert_with_an_end_to_come_ends_then() -> None:
    assert after(sent(NOW - 10, NOW + 60)) == (NOW - 10, None, NOW + 60)


def test_an_alert_with_only_an_end_starts_at_its_end() -> None:
    assert after(sent(None, NOW + 60)) == (NOW + 60, None, NOW + 60)


def test_the_end_of_an_alert_that_nobody_sent_says_nothing() -> None:
    assert after(sent(NOW - 60, NOW - 1)) == (None, None, None)


def test_sending_again_keeps_the_earliest_start_and_puts_the_end_off() -> None:
    assert after(sent(), known(1000), ending(NOW + 5)) == (1000, None, NOW + TIMEOUT)


def test_an_earlier_start_sent_later_counts() -> None:
    assert after(sent(NOW - 600), known(int(NOW) - 60), ending(NOW + 5)) == (NOW - 600, None, NOW + TIMEOUT)


def test_a_named_end_that_is_later_outlives_a_timeout() -> None:
    assert after(sent(), known(1000), ending(NOW + 9000, timeout=False)) == (1000, None, NOW + 9000)


def test_a_timeout_does_not_outlive_a_named_end() -> None:
    assert after(sent(NOW - 1, NOW + 10), known(1000), ending(NOW + 200)) == (1000, None, NOW + 10)


def test_an_end_ends_it_whatever_was_named_before() -> None:
    assert after(sent(1000, NOW - 2), known(1000), ending(NOW + 900, timeout=False)) == (1000, NOW - 2, None)


def test_of_two_ends_the_later_counts() -> None:
    assert after(sent(1000, NOW - 10), known(1000, int(NOW) - 20)) == (
        None,
        None,
        None,
    )  # begins together: no overlap
    assert after(sent(1500, NOW - 10), known(1000, int(NOW) - 20)) == (1000, NOW - 10, None)
    assert after(sent(1500, NOW - 30), known(1000, int(NOW) - 20)) == (None, None, None)


def test_what_fires_after_its_end_is_new() -> None:
    assert after(sent(), known(1000, 2000)) == (NOW, None, NOW + TIMEOUT)


def test_what_fires_again_within_its_old_interval_keeps_the_start() -> None:
    assert after(sent(1500, NOW + 60), known(1000, 2000)) == (1000, None, NOW + 60)


def test_times_are_read_in_every_form() -> None:
    when = datetime(2026, 1, 31, 12, tzinfo=UTC)
    forms: list[Any] = [when, when.timestamp(), "2026-01-31T12:00:00Z", "2026-01-31T13:00:00.000+01:00"]
    for form in forms:
        for key in ("startsAt", "starts_at"):
            (one,) = parse([{"labels": {"alertname": "Down"}, key: form}])
            assert one.starts_at == when.timestamp()


def test_what_go_sends_for_no_time_is_none() -> None:
    (one,) = parse(
        [{"labels": {"alertname": "Down"}, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://x"}]
    )
    assert one.ends_at is None


def test_severity_has_a_default_and_all_its_names() -> None:
    first, second = parse(
        [
            {"labels": {"alertname": "Down"}},
            {"labels": {"alertname": "Down", "severity": "critical", "a": ""}},
        ]
    )
    assert first.labels["severity"] == DEFAULT_SEVERITY
    assert second.labels == {"alertname": "Down", "severity": "P0"}


@pytest.mark.parametrize(
    ("alert", "message"),
    [
        ({"labels": {}}, "alertname"),
        ({"labels": {"alertname": "Down", "severity": "bad"}}, "'bad'"),
        (
            {"labels": {"alertname": "Down", "n": 1}},
            "labels: expected a table of text to text, found int at 'n'",
        ),
        (
            {"labels": {"alertname": "Down", 1: "n"}},
            "labels: expected a table of text to text, found int at 1",
        ),
        (
            {"labels": {"alertname": "Down"}, "annotations": {"a": "\ud800"}},
            "annotations: 'a': no Unicode text",
        ),
        (
            {"labels": {"alertname": "Down"}, "annotations": {"\ud800": "a"}},
            "annotations: '\\ud800': no Unicode",
        ),
        ({"labels": {"alertname": "Down"}, "endAt": 1}, "unknown key 'endAt'"),
        ({"labels": {"alertname": "Down"}, "starts_at": "yesterday"}, "'yesterday'"),
        ({"labels": {"alertname": "Down"}, "starts_at": True}, "found bool"),
        ({"labels": {"alertname": "Down"}, "starts_at": 5, "ends_at": 4}, "before"),
        ("Down", "found str"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(alert: Any, message: str) -> None:
    with pytest.raises(ValueError, match="alert 1: ") as raised:
        parse([{"labels": {"alertname": "Up"}}, alert])
    assert message in str(raised.value)


def test_a_start_after_the_time_out_needs_an_end() -> None:
    later = {"labels": {"alertname": "Down"}, "starts_at": NOW + TIMEOUT + 1}
    with pytest.raises(ValueError, match=r"alert 0: starts_at .* give ends_at"):
        parse([later], NOW + TIMEOUT)
    assert len(parse([{**later, "ends_at": NOW + 2 * TIMEOUT}], NOW + TIMEOUT)) == 1


def test_a_datetime_without_a_zone_is_utc_and_the_last_one_means_never() -> None:
    first = datetime(2026, 1, 31, 12, tzinfo=UTC)
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    naive = {"starts_at": first.replace(tzinfo=None), "ends_at": last.replace(tzinfo=None)}
    (one,) = parse([{"labels": {"alertname": "Down"}, **naive}])
    assert one.starts_at == first.timestamp()
    assert one.ends_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def test_starts_and_ends_are_kept_to_the_millisecond() -> None:
    assert after(sent(NOW - 1.75049, NOW - 0.25), known(NOW - 1))[:2] == (NOW - 1.750, NOW - 0.25)
    assert after(sent(NOW - 0.4996))[0] == NOW - 0.5


def test_a_resolved_signal_never_ends_before_it_starts() -> None:
    signal, _ = signal_of(sent(2000, 1500.0), known(1800), ending(NOW + 1), NOW, TIMEOUT)
    assert isinstance(signal, Signal)
    assert signal.ends_at is not None
    assert signal.ends_at >= signal.starts_at
