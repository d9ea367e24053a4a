"""Messages by templates: in place of chainwatch's own words in every channel, and never in place of an alert."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from chainwatch.alerting.delivery.notification import Notification, load, templated
from chainwatch.alerting.providers import console, discord, text
from chainwatch.alerting.providers.discord import DiscordSettings
from chainwatch.config import ConfigError, Settings, read_dict
from chainwatch.presentation.message_template import MessageTemplate
from chainwatch.presentation.presenter import Presenter
from chainwatch.store.alerting import outbox
from tests.unit.alerting.helpers import T0, fires, manager, notification, notified, route

SETTINGS = DiscordSettings(
    name="ops", provider="discord", url=SecretStr("https://discord.com/api/webhooks/1/x")
)
EXPLORERS = {"ethereum": "https://e.example"}
TEMPLATE = {
    "title": "{{ $labels.flow }} to {{ labels.destination }}",
    "body": "Value {{ value }}.\nSee {{ annotations.tx | link('ethereum') }}",
    "fields": {"Amount": "{{ annotations.amount | amount(6, 'USDC') }}", "Empty": "{{ labels.none }}"},
}
ALERT: dict[str, Any] = {
    "labels": {"alertname": "TransferOverdue", "severity": "P1", "flow": "bridge", "destination": "optimism"},
    "annotations": {"summary": "default words", "value": "3", "amount": "1500000", "tx": "0x" + "ab" * 32},
}


def settings(**tables: Any) -> Settings:
    data = {
        "receivers": {"ops": {"provider": "console", "template": "short"}},
        "templates": {"short": TEMPLATE},
        "routes": [{"receivers": ["ops"]}],
        **tables,
    }
    return read_dict(data, watches=False).settings()


def by(template: dict[str, Any], *alerts: Any) -> Notification:
    [compiled] = (MessageTemplate.of(t) for t in settings(templates={"short": template}).templates.values())
    return templated(notification(*alerts), compiled, EXPLORERS)


def test_title_body_and_fields_take_the_place_of_the_default() -> None:
    shown = by(TEMPLATE, notified(**ALERT))
    (embed,) = discord.payload(shown, SETTINGS)["embeds"]
    assert embed["title"] == "P1 FIRING: bridge to optimism"
    assert embed["description"].splitlines()[0] == "Value 3."
    assert "default words" not in json.dumps(embed)
    assert [(field["name"], field["value"]) for field in embed["fields"]] == [("Amount", "1\\.5 USDC")]
    lines = console.layout(console.render(shown)).plain
    assert "bridge to optimism" in lines
    assert f"See https://e.example/tx/0x{'ab' * 32}" in lines


def test_what_a_template_leaves_out_stays_as_it_is() -> None:
    (alert,) = by({"title": "late"}, notified(**ALERT)).alerts
    assert text.name_of(alert) == "late"
    assert text.summary(alert) == ["default words"]
    assert "amount" in [fact.name for fact in text.facts(alert)]


def test_a_template_that_fails_loses_no_alert_and_says_why() -> None:
    shown = by({"title": "{{ labels.flow | int }}"}, notified(**ALERT), notified())
    assert len(shown.alerts) == 2
    assert text.name_of(shown.alerts[0]) == "TransferOverdue"
    assert "The template short failed" in shown.note
    assert "invalid literal" in "\n".join(text.overview(shown))


@pytest.mark.parametrize(
    "hostile", ["**bold**", "[a](https://evil.example)", "@everyone", "<@1>", "`x`", "a\nFIRING: b"]
)
def test_text_from_a_chain_is_escaped_in_a_template_s_result_too(hostile: str) -> None:
    alert = notified(labels={**ALERT["labels"], "flow": hostile}, annotations={"summary": hostile})
    body = {
        "title": "{{ labels.flow }}",
        "body": "{{ annotations.summary }}",
        "fields": {"f": "{{ labels.flow }}"},
    }
    (embed,) = discord.payload(by(body, alert), SETTINGS)["embeds"]
    plain = " ".join(hostile.split())
    assert embed["title"] == f"P1 FIRING: {text.markdown(plain)}"
    assert embed["description"].splitlines()[0] == text.markdown(plain)
    assert embed["fields"][0]["value"] == text.markdown(plain)


def test_a_route_s_template_goes_before_its_receiver_s(connection: sa.Connection) -> None:
    configured = settings(templates={"short": {"title": "receiver's"}, "other": {"title": "route's"}})

    def title(transfer: str, **keys: Any) -> str:
        engine = manager(route(**keys))
        engine.apply(connection, [fires(transfer)], T0)
        engine.flush(connection, T0 + 60)
        [newest] = outbox.list_notifications(connection, receiver="ops", limit=1)
        return text.name_of(load(connection, newest, presenter=Presenter.of(configured)).alerts[0])

    assert title("0x01", template="other") == "route's"
    assert title("0x02", match={"transfer": "0x02"}) == "receiver's"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"templates": {"short": {"title": "{{ labels.host"}}}, "unexpected end of template"),
        ({"templates": {"short": {"body": "{{ 'x' | shout }}"}}}, "no filter 'shout'"),
        ({"templates": {"shrot": TEMPLATE}}, "shrot"),
        ({"routes": [{"receivers": ["ops"], "template": "nope"}]}, "nope"),
    ],
)
def test_a_broken_or_unknown_template_is_named_when_the_configuration_is_read(
    tables: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**tables)
    assert message in str(caught.value)
