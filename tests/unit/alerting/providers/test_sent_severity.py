"""Alerts of other programs, whose severity is none of chainwatch's, and which may lack a name, as they are sent on."""

from __future__ import annotations

from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.webhook_bodies import alertmanager
from chainwatch.model import SENT_SEVERITY
from tests.unit.alerting.helpers import notification, notified


def test_people_see_what_it_stands_for_and_what_was_sent() -> None:
    alert = notified(labels={"alertname": "", "severity": "P0", SENT_SEVERITY: "page", "host": "db-1"})
    assert alert.severity == "P0"
    assert text.name_of(alert) == text.NO_NAME
    shown = [(fact.name, fact.value) for fact in text.facts(alert)]
    assert ("severity", "page") in shown
    assert not any(SENT_SEVERITY in name for name, _ in shown)


def test_machines_get_the_labels_that_were_sent() -> None:
    page = notified(labels={"alertname": "", "severity": "P0", SENT_SEVERITY: "page", "host": "db-1"})
    none = notified(labels={"alertname": "Down", "severity": "P2", SENT_SEVERITY: "", "host": "db-1"})
    own = notified(labels={"alertname": "Down", "severity": "P1", "host": "db-1"})
    body = alertmanager(notification(page, none, own))
    assert [alert["labels"] for alert in body["alerts"]] == [
        {"severity": "page", "host": "db-1"},
        {"alertname": "Down", "host": "db-1"},
        {"alertname": "Down", "severity": "P1", "host": "db-1"},
    ]
    assert body["commonLabels"] == {"host": "db-1"}
