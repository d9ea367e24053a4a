"""Amounts in units and links in every channel; neither breaks a limit, nor lets a chain's text become a link."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from chainwatch.alerting.delivery.notification import NotifiedAlert
from chainwatch.alerting.providers import console, discord, text, webhook_bodies
from chainwatch.alerting.providers.discord import DiscordSettings
from chainwatch.presentation.presenter import Shown
from tests.unit.alerting.helpers import notification, notified

TX = "0x" + "ab" * 32
URL = f"https://explorer.example.org/tx/{TX}"
LINKED: dict[str, Any] = {
    "annotations": {
        "summary": "fill is late",
        "amount": "42000000",
        "amount_network": "alpha",
        "send_tx": TX,
        "send_tx_network": "alpha",
    },
    "shown": {"amount": Shown("42 USDC"), "send_tx": Shown(network="alpha", links={TX: URL})},
}
SETTINGS = DiscordSettings(
    name="ops", provider="discord", url=SecretStr("https://discord.com/api/webhooks/1/x")
)


def fields(*alerts: NotifiedAlert) -> dict[str, str]:
    (embed,) = discord.payload(notification(*alerts), SETTINGS)["embeds"]
    return {field["name"]: field["value"] for field in embed["fields"]}


def lines(alert: NotifiedAlert) -> list[str]:
    return console.layout(console.render(notification(alert))).plain.splitlines()


def body(alert: NotifiedAlert) -> Any:
    return json.loads(msgspec.json.encode(webhook_bodies.alertmanager(notification(alert))))


def test_discord_links_a_transaction_and_has_both_forms_of_an_amount() -> None:
    shown = fields(notified(**LINKED))
    assert shown["send\\_tx"] == f"[{TX}]({URL}) on alpha"
    assert shown["amount"] == "42 USDC (42000000)"
    assert not any("network" in name for name in shown)


def test_the_console_has_plain_urls() -> None:
    shown = lines(notified(**LINKED))
    assert f"     send_tx: {TX} on alpha {URL}" in shown
    assert "     amount: 42 USDC (42000000)" in shown


def test_a_webhook_gets_further_annotations_and_the_raw_ones_as_they_were() -> None:
    sent = body(notified(**LINKED))
    annotations = sent["alerts"][0]["annotations"]
    assert annotations == {
        **LINKED["annotations"],
        "amount_formatted": "42 USDC",
        "send_tx_url": URL,
    }
    assert sent["commonAnnotations"] == annotations


def test_an_alert_without_either_is_shown_as_before() -> None:
    plain = notified(annotations={"amount": "42000000", "send_tx": TX, "send_tx_network": "x"})
    assert fields(plain)["send\\_tx"] == TX
    assert fields(plain)["send\\_tx\\_network"] == "x"
    assert body(plain)["alerts"][0]["annotations"] == plain.annotations


def test_a_field_with_too_many_links_keeps_its_text() -> None:
    hashes = [f"0x{number:064x}" for number in range(12)]
    links = {one: f"https://explorer.example.org/tx/{one}" for one in hashes}
    value = fields(
        notified(annotations={"tx_hashes": ", ".join(hashes)}, shown={"tx_hashes": Shown(links=links)})
    )
    assert value["tx\\_hashes"] == ", ".join(hashes)


def test_the_largest_amount_of_a_storm_is_in_both_forms() -> None:
    message = notification(*[notified(**LINKED)] * (text.STORM + 1))
    assert any(line.startswith("Largest amount: 42 USDC (42000000), ") for line in text.overview(message))


@pytest.mark.slow
@given(st.text(), st.text())
def test_a_hostile_value_beside_a_link_stays_escaped(before: str, after: str) -> None:
    value = f"{before}{TX}{after}"
    linked = fields(notified(annotations={"send_tx": value}, shown={"send_tx": Shown(links={TX: URL})}))
    shown = linked.get("send\\_tx", "")
    assert shown.replace(f"[{TX}]({URL})", TX) == discord.fit(text.markdown(value), discord.FIELD_VALUE_MAX)
