"""Apprise: one message a notification through one of its services, over real HTTP; nothing in it is markup or a mention."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from chainwatch.alerting.providers import DeliveryError, Transport
from chainwatch.alerting.providers.apprise import AppriseProvider, AppriseSettings, message
from chainwatch.config import ConfigError, read_dict
from tests.unit.alerting.helpers import notification, notified

HOSTILE = [
    "<!channel>",
    "<@U123> <#C1>",
    "@everyone",
    "[click](https://evil.example)",
    "https://evil.example",
    "*bold* _it_ ~no~ `code`",
    "<b>x</b><script>alert(1)</script>",
    "one\nP0 FIRING: two",
]


class Service:
    """What Apprise's plugin ``json`` posts to."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        await self.gate.wait()
        return web.Response(status=self.status)


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    fake = Service()
    app = web.Application()
    app.router.add_post("/hook", fake.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield fake, f"json://127.0.0.1:{port}/hook"
    fake.gate.set()
    await runner.cleanup()


def provider(url: str, timeout: str = "5s") -> AppriseProvider:
    data = {
        "receivers": {"ops": {"provider": "apprise", "url": url, "timeout": timeout}},
        "routes": [{"receivers": ["ops"]}],
    }
    settings = read_dict(data, watches=False).settings().receivers["ops"]
    assert isinstance(settings, AppriseSettings)
    return AppriseProvider(settings, Transport())


async def test_a_notification_is_one_message_with_its_type(service: tuple[Service, str]) -> None:
    fake, url = service
    sender = provider(url)
    await sender.send(sender.render(notification(notified()), None))
    [body] = fake.bodies
    assert body["title"].startswith("FIRING 1: TransferOverdue")
    assert "P1 FIRING: TransferOverdue" in body["message"]
    assert body["type"] == "failure"


async def test_a_refusal_is_an_error_without_the_url(service: tuple[Service, str]) -> None:
    fake, url = service
    fake.status = 500
    sender = provider(url)
    with pytest.raises(DeliveryError, match="did not take it") as caught:
        await sender.send(sender.render(notification(notified()), None))
    assert "127.0.0.1" not in str(caught.value)


async def test_a_service_that_hangs_is_given_up(service: tuple[Service, str]) -> None:
    fake, url = service
    fake.gate.clear()
    sender = provider(url, timeout="200ms")
    with pytest.raises(DeliveryError, match=r"within 0\.2 seconds"):
        await sender.send(sender.render(notification(notified()), None))


@pytest.mark.parametrize("url", ["nope://S3CR3T", "S3CR3T", "https://S3CR3T.example/", "discord://S3CR3T"])
def test_what_apprise_does_not_know_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider(url)
    assert "Apprise knows" in str(caught.value)
    assert "S3CR3T" not in str(caught.value)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_from_outside_is_neither_markup_nor_a_mention_nor_a_link(hostile: str) -> None:
    alert = notified(
        labels={"alertname": hostile, "severity": "P0", "transfer": hostile},
        annotations={"summary": hostile, "description": hostile, "note": hostile},
    )
    sent = message(notification(alert))
    both = f"{sent.title}\n{sent.body}"
    assert not set("<>`*_~|@") & set(both)
    assert "://" not in both
    assert "\nP0 FIRING: two" not in both


def test_what_is_not_shown_is_counted() -> None:
    assert "… and 5 more" in message(notification(*[notified() for _ in range(25)])).body


def test_the_type_follows_the_most_urgent_that_fires() -> None:
    kinds = {
        severity: message(notification(notified(labels={"alertname": "A", "severity": severity}))).kind.value
        for severity in ("P0", "P2", "P3")
    }
    assert kinds == {"P0": "failure", "P2": "warning", "P3": "info"}
    assert message(notification(notified(status="resolved", ends_at=1e9))).kind.value == "success"


def test_the_url_is_in_no_text() -> None:
    settings = AppriseSettings(
        name="ops", provider="apprise", url=SecretStr("json://user:S3CR3T@host.example")
    )
    assert "S3CR3T" not in repr(settings) + json.dumps(
        repr(AppriseProvider(settings, Transport()).render(notification(notified()), None))
    )
