"""Previews: every provider's message without sending it, as JSON and as a page in which nothing from outside is markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from chainwatch.config import Settings, read_dict
from chainwatch.config.receivers import PROVIDERS
from chainwatch.operations.errors import NotFound
from chainwatch.operations.receiver_preview import preview
from chainwatch.presentation.preview_page import page
from tests.unit.alerting.helpers import T0

SECRET = "s3cr3t"
TABLES: dict[str, dict[str, Any]] = {
    "alertmanager": {"urls": [f"https://am.example/{SECRET}"]},
    "apprise": {"url": f"json://user:{SECRET}@host.example"},
    "console": {},
    "discord": {"url": f"https://discord.com/api/webhooks/1/{SECRET}"},
    "email": {"host": "mail.example", "from": "a@example.org", "to": ["b@example.org"]},
    "exec": {"command": ["/bin/cat"]},
    "file": {"path": "alerts.jsonl"},
    "pagerduty": {"routing_key": "0123456789abcdef0123456789abcdef"},
    "slack": {"url": f"https://hooks.slack.com/services/T/B/{SECRET}"},
    "telegram": {"token": f"123:{SECRET}", "chat_id": -1001},
    "webhook": {"url": f"https://hooks.example/{SECRET}"},
}


def settings(provider: str, **more: Any) -> Settings:
    receiver = {"provider": provider, **TABLES[provider], **more}
    tables = {"receivers": {"ops": receiver}, "routes": [{"receivers": ["ops"]}]}
    return read_dict({**tables, "templates": {"mine": {"title": "in my words"}}}, watches=False).settings()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_s_message_can_be_seen_without_its_secrets(provider: str) -> None:
    shown = preview(settings(provider), "ops", "P0", T0)
    text = json.dumps(shown.message)
    assert "TransferOverdue" in text
    assert SECRET not in text + shown.html
    assert shown.html.startswith("<!doctype html>") or shown.html.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_preview_is_by_the_receiver_s_template_and_may_be_over(provider: str) -> None:
    templated = settings(provider, template="mine")
    text = json.dumps(preview(templated, "ops", "P2", T0, resolved=True).message)
    assert "esolve" in text or "RESOLVED" in text or "endsAt" in text
    if provider not in ("alertmanager", "exec", "file", "webhook"):  # these have Alertmanager's form
        assert "in my words" in json.dumps(preview(templated, "ops", "P2", T0).message)


def test_an_unknown_receiver_is_named() -> None:
    with pytest.raises(NotFound, match="nobody"):
        preview(settings("console"), "nobody", "P1", T0)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        assert all(value is None or not value.startswith("javascript:") for _, value in attrs)


@pytest.mark.parametrize(
    "hostile", ["<script>x</script>", "[a](javascript:x)", '"><img onerror=x>', "**<b>**", "\\<script>"]
)
def test_nothing_in_a_message_is_markup_of_the_page(hostile: str) -> None:
    embed = {"title": hostile, "description": hostile, "color": 1, "footer": {"text": hostile}}
    embed["fields"] = [{"name": hostile, "value": hostile, "inline": True}]
    for provider, message in (
        ("discord", {"whole": {"content": hostile, "embeds": [embed]}}),
        ("x", {"a": hostile}),
    ):
        tags = _Tags()
        tags.feed(page(hostile, provider, message))
        assert not tags.found & {"script", "img"}


def test_a_preview_is_plain_data() -> None:
    assert msgspec.json.encode(preview(settings("console"), "ops", "P1", T0))
