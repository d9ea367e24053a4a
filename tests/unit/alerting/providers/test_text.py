"""What people read, whatever the channel."""

import pytest

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import text
from tests.unit.alerting.helpers import T0, notification, notified


def test_a_headline_counts_and_names_what_it_is_about() -> None:
    message = notification(
        notified(),
        notified(status="resolved", ends_at=T0 + 60),
        group_labels={"alertname": "TransferOverdue", "destination": "optimism"},
    )
    assert text.headline(message) == "FIRING 1, RESOLVED 1: TransferOverdue (destination=optimism)"


def test_a_headline_of_a_group_of_several_kinds_says_so() -> None:
    other = notified(labels={"alertname": "NetworkBlind", "severity": "P0"})
    assert text.headline(notification(notified(), other, group_labels={})) == "FIRING 2: several alerts"


def test_urgent_firing_alerts_come_first() -> None:
    def with_severity(severity: str, status: str = "firing") -> object:
        return notified(labels={"alertname": "X", "severity": severity}, status=status)

    message = notification(with_severity("P0", "resolved"), with_severity("P2"), with_severity("P0"))  # type: ignore[arg-type]  # they are alerts
    assert [(a.status, a.severity) for a in text.by_urgency(message)] == [
        ("firing", "P0"),
        ("firing", "P2"),
        ("resolved", "P0"),
    ]


def test_facts_are_annotations_and_then_labels_each_once() -> None:
    alert = notified(
        annotations={"summary": "s", "runbook_url": "u", "amount": "12", "empty": "", "flow": "as told"},
        labels={"alertname": "X", "severity": "P1", "flow": "connext", "step": "execute"},
    )
    assert [fact[:2] for fact in text.facts(alert)] == [
        ("amount", "12"),
        ("flow", "as told"),
        ("step", "execute"),
    ]


def test_facts_that_are_times_are_written_out() -> None:
    annotations = {
        "opened_at": "1700000000",
        "due_at": "1700001800",
        "late_by": "125",
        "amount": "1700000000",
    }
    facts = text.facts(notified(annotations=annotations, labels={"alertname": "X"}))
    assert [fact[:2] for fact in facts] == [
        ("opened_at", "2023-11-14 22:13:20 UTC"),
        ("due_at", "2023-11-14 22:43:20 UTC"),
        ("late_by", "2m 5s"),
        ("amount", "1700000000"),
    ]


def test_a_time_that_no_calendar_has_is_shown_as_its_number() -> None:
    assert text.when(2**63) == str(2**63)
    assert text.when(1_700_000_000_000) == "1700000000000"


def test_a_storm_begins_with_its_counts_its_oldest_and_its_largest() -> None:
    alerts = [
        notified(
            labels={
                "alertname": "TransferOverdue",
                "transfer": f"{n:#x}",
                "severity": "P1" if n % 4 else "P0",
                "origin": "ethereum",
                "destination": "optimism" if n % 2 else "base",
            },
            annotations={"summary": f"transfer {n} is late", "amount": str(n * 10**18)},
            starts_at=T0 + 100 - n,
        )
        for n in range(100)
    ]
    lines = text.overview(notification(*alerts))
    assert lines == [
        "By severity: P1 75, P0 25",
        "By route: ethereum → base 50, ethereum → optimism 50",
        "Oldest: transfer 99 is late, since 2023-11-14 22:13:21 UTC",
        f"Largest amount: {99 * 10**18}, transfer 99 is late",
        "All of them: chainwatch alerts --limit 100",
    ]


def test_a_few_alerts_need_no_overview() -> None:
    assert text.overview(notification()) == []


def test_an_empty_digest_says_that_there_is_nothing() -> None:
    empty = Notification("ops", "{}", {}, (), "0", kind="digest")
    assert text.overview(empty) == ["Nothing new since the last digest."]
    assert text.headline(empty) == "DIGEST nothing: several alerts"


def test_a_summary_of_what_was_over_a_limit_and_a_reminder_say_so() -> None:
    assert text.overview(notification(kind="limited")) == [
        "And 1 more: TransferOverdue 1. They were over the rate limit."
    ]
    assert text.overview(notification(note="Reminder: acknowledged by ann.")) == [
        "Reminder: acknowledged by ann."
    ]


def test_what_came_and_went_has_a_line_for_its_firing_and_one_for_its_end() -> None:
    went = {"fingerprint": "a" * 16, "labels": {"alertname": "Went", "severity": "P0"}}
    message = notification(
        notified(status="firing", is_over=True, **went),
        notified(status="resolved", ends_at=T0 + 60, **went),
        notified(labels={"alertname": "Stays", "severity": "P2"}),
    )
    assert text.headline(message).startswith("FIRING 1, RESOLVED 1: ")
    assert text.overview(message) == ["1 of these began and ended before a notification could be sent."]
    assert [(a.name, a.status) for a in text.by_urgency(message)] == [
        ("Stays", "firing"),
        ("Went", "firing"),
        ("Went", "resolved"),
    ]
    assert message.status == "firing"
    assert notification(*message.alerts[:2]).status == "resolved"


@pytest.mark.parametrize("host", ["claim\U0001f525.com", "evil-.com", "evi\u0301.com"])
def test_no_host_name_becomes_a_link_in_a_mail_whatever_stands_before_its_dot(host: str) -> None:
    assert "[.]com" in text.plain(f"see {host} now")
