"""PagerDuty's Events API v2: one event for each alert, idempotent, within its limits."""

import json
from typing import Any

import msgspec
import pytest

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import DeliveryError, Transport, build_provider
from chainwatch.alerting.providers.pagerduty import Events, PagerDutyProvider, PagerDutySettings, render
from chainwatch.presentation.presenter import Shown
from tests.support.pagerduty import ROUTING_KEY, PagerDuty
from tests.support.receiver import Answer, Receiver
from tests.unit.alerting.helpers import T0, notification, notified

TX = "0x" + "ab" * 32


def _provider(url: str, transport: Transport, **settings: Any) -> PagerDutyProvider:
    table = {"name": "pd", "provider": "pagerduty", "url": url, "routing_key": ROUTING_KEY}
    model = PagerDutySettings.model_validate({**table, "allow_private": True, **settings})
    built = build_provider(model, transport)
    assert isinstance(built, PagerDutyProvider)
    return built


def _trigger(message: Events) -> dict[str, Any]:
    found: dict[str, Any] = next(e for e in message.events.values() if e["event_action"] == "trigger")
    return found


def _several(number: int, **fields: Any) -> Notification:
    return notification(*(notified(fingerprint=f"{i:016x}", **fields) for i in range(number)))


async def test_an_alert_triggers_an_incident_and_its_end_resolves_it() -> None:
    pagerduty = PagerDuty()
    async with Receiver(pagerduty) as server, Transport() as transport:
        provider = _provider(server.url, transport)
        await provider.send(provider.render(notification(), None))
        assert pagerduty.alerts == {"00112233aabbccdd": "triggered"}
        ended = notification(notified(status="resolved", ends_at=T0 + 60), idempotency_key="1" * 32)
        await provider.send(provider.render(ended, None))
    assert pagerduty.alerts == {"00112233aabbccdd": "resolved"}


async def test_an_acknowledgement_acknowledges_the_incident_and_pages_nobody_again() -> None:
    pagerduty = PagerDuty()
    async with Receiver(pagerduty) as server, Transport() as transport:
        provider = _provider(server.url, transport)
        receipt = await provider.send(provider.render(_several(2), None))
        first, second = _several(2).alerts
        alerts = msgspec.structs.replace(first, annotations={"acknowledged_by": "ann"}), second
        update = notification(*alerts, kind="update", idempotency_key="1" * 32)
        await provider.send(provider.render(update, receipt))
    assert list(pagerduty.alerts.values()) == ["acknowledged", "triggered"]
    assert len(pagerduty.events) == 3


async def test_an_alert_that_was_acknowledged_before_it_was_sent_is_acknowledged_there() -> None:
    pagerduty = PagerDuty()
    async with Receiver(pagerduty) as server, Transport() as transport:
        provider = _provider(server.url, transport)
        await provider.send(provider.render(_several(1, annotations={"acknowledged_by": "ann"}), None))
    assert list(pagerduty.alerts.values()) == ["acknowledged"]


def test_an_event_holds_what_the_alert_says() -> None:
    alert = notified(
        labels={"alertname": "TransferOverdue", "severity": "P1", "flow": "xcall", "network": "optimism"},
        annotations={"summary": "execute is late", "tx": TX, "runbook_url": "https://wiki.example/late"},
        link="https://cw.example/alerts/1",
        shown={"tx": Shown(links={TX: f"https://etherscan.io/tx/{TX}"})},
    )
    (event,) = render(notification(alert, note="nobody has acknowledged this")).events.values()
    assert event == {
        "event_action": "trigger",
        "dedup_key": "00112233aabbccdd",
        "payload": {
            "summary": "P1 TransferOverdue: execute is late",
            "source": "optimism",
            "severity": "error",
            "timestamp": "2023-11-14T22:13:20Z",
            "component": "xcall",
            "group": '{}/{}:{alertname="TransferOverdue"}',
            "class": "TransferOverdue",
            "custom_details": {
                "tx": TX,
                "flow": "xcall",
                "network": "optimism",
                "note": "nobody has acknowledged this",
            },
        },
        "links": [
            {"href": "https://cw.example/alerts/1", "text": "chainwatch"},
            {"href": "https://wiki.example/late", "text": "Runbook"},
            {"href": f"https://etherscan.io/tx/{TX}", "text": f"tx {TX}"},
        ],
        "client": "chainwatch",
        "client_url": "https://cw.example/alerts/1",
    }


@pytest.mark.parametrize(
    ("severity", "theirs"), [("P0", "critical"), ("P1", "error"), ("P2", "warning"), ("P3", "info")]
)
def test_severities_are_pagerdutys(severity: str, theirs: str) -> None:
    alert = notified(labels={"alertname": "A", "severity": severity})
    assert _trigger(render(notification(alert)))["payload"]["severity"] == theirs


def test_an_alert_that_rose_has_its_higher_severity() -> None:
    alert = notified(annotations={"escalated_to": "P0"})
    assert _trigger(render(notification(alert)))["payload"]["severity"] == "critical"


def test_what_began_and_ended_meanwhile_is_an_incident_that_is_resolved() -> None:
    alerts = notified(is_over=True), notified(status="resolved", ends_at=T0 + 1)
    actions = [event["event_action"] for event in render(notification(*alerts)).events.values()]
    assert actions == ["trigger", "resolve"]


async def test_the_longest_event_is_within_the_limits() -> None:
    pagerduty = PagerDuty()
    labels = {"alertname": "A" * 9_000, "severity": "P0", "flow": "f" * 9_000, "network": "n" * 9_000}
    annotations = {f"{i}{'é' * 300}": "\N{BOMB}" * 9_000 for i in range(300)}
    alert = notified(labels=labels, annotations={"summary": "\n" * 9_000, **annotations})
    async with Receiver(pagerduty) as server, Transport() as transport:
        provider = _provider(server.url, transport)
        await provider.send(provider.render(notification(alert, note="x" * 99_999), None))
    assert len(pagerduty.events) == 1


async def test_a_cut_off_notification_is_continued_where_it_stopped() -> None:
    pagerduty = PagerDuty()
    message = _several(5)
    async with Receiver(pagerduty) as server, Transport() as transport:
        provider = _provider(server.url, transport)
        server.usual = lambda request: pagerduty(request) if len(pagerduty.events) < 3 else Answer(429)
        with pytest.raises(DeliveryError, match="429") as caught:
            await provider.send(provider.render(message, None))
        assert not caught.value.permanent
        server.usual = pagerduty
        await provider.send(provider.render(message, None))
    assert [key for _, key in pagerduty.events] == [f"{i:016x}" for i in range(5)]


async def test_an_event_that_is_refused_for_good_does_not_hold_up_the_others() -> None:
    pagerduty = PagerDuty()
    async with Receiver(pagerduty) as server, Transport() as transport:
        provider = _provider(server.url, transport)
        server.script.append(Answer(400, json.dumps({"message": "no", "errors": ["bad source"]})))
        with pytest.raises(DeliveryError, match="400 Bad Request: no; bad source") as caught:
            await provider.send(provider.render(_several(3), None))
        assert caught.value.permanent
        assert len(pagerduty.events) == 2


async def test_a_key_that_is_refused_ends_a_notification_soon_and_is_in_no_error_s9() -> None:
    wrong = "wrong-key-that-is-long-enough"
    async with Receiver(PagerDuty()) as server, Transport() as transport:
        provider = _provider(server.url, transport, routing_key=wrong)
        with pytest.raises(DeliveryError, match="routing_key") as caught:
            await provider.send(provider.render(_several(500), None))
        server.script.append(Answer(400, json.dumps({"message": f"no such key {wrong}"})))
        with pytest.raises(DeliveryError) as repeated:
            await provider.send(provider.render(_several(1), None))
    assert len(server.requests) < 20
    assert wrong not in f"{caught.value} {repeated.value} {provider.render(_several(1), None)}"


@pytest.mark.parametrize(
    ("answer", "said", "permanent", "retry_after"),
    [
        (Answer(429, headers={"Retry-After": "7"}), "429", False, 7.0),
        (Answer(500), "500", False, None),
        (Answer(503, "<html>busy</html>"), "503", False, None),
        (Answer(403), "403", True, None),
        (Answer(302, headers={"Location": "/"}), "302", True, None),
        (Answer(200, "<html>hotel wifi</html>"), "not as PagerDuty does", False, None),
        (Answer(400, "[" * 100_000), "400", True, None),
    ],
)
async def test_every_other_answer_is_a_failed_delivery(
    answer: Answer, said: str, permanent: bool, retry_after: float | None
) -> None:
    async with Receiver() as server, Transport() as transport:
        server.script.append(answer)
        provider = _provider(server.url, transport)
        with pytest.raises(DeliveryError, match=said) as caught:
            await provider.send(provider.render(notification(), None))
    assert (caught.value.permanent, caught.value.retry_after) == (permanent, retry_after)


async def test_a_server_that_hangs_is_a_failed_delivery() -> None:
    async with Receiver(lambda _: Answer(delay=1.0)) as server, Transport() as transport:
        provider = _provider(server.url, transport, timeout="50ms")
        with pytest.raises(DeliveryError, match=r"within 0\.05 seconds"):
            await provider.send(provider.render(notification(), None))


def test_the_region_is_chosen_by_the_url() -> None:
    settings = PagerDutySettings.model_validate(
        {
            "name": "pd",
            "provider": "pagerduty",
            "routing_key": ROUTING_KEY,
            "url": "https://events.eu.pagerduty.com",
        }
    )
    assert PagerDutyProvider(settings, Transport()).server.url == "https://events.eu.pagerduty.com/v2/enqueue"
