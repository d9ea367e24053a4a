"""Transfers, latency, networks, deliveries, on-call and the configuration, as people see and use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from chainwatch.operations import notifications, rota
from tests.integration.page.conftest import Open, faults_on_phones
from tests.support import served_transfers
from tests.support.served_page import ServedPage, serving_page
from tests.support.served_transfers import ANNA, key_of

HOSTILE_KEY, LATE_KEY = key_of(23), key_of(20)
SCREENS = (
    "/ui/transfers",
    f"/ui/transfers?q={ANNA}&status=overdue",
    f"/ui/transfers/bridge/{HOSTILE_KEY}",
    f"/ui/transfers/bridge/{LATE_KEY}",
    "/ui/latency",
    "/ui/networks",
    "/ui/deliveries",
    "/ui/oncall",
    "/ui/configuration?labels=severity%3DP1",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ServedPage]:
    folder = Path(tmp_path_factory.mktemp("transfers"))
    tables = served_transfers.tables(folder)
    with serving_page(folder, served_transfers.fill, tables) as page:
        yield page


def test_every_screen_is_accessible_and_fits_a_phone(tab: Open) -> None:
    def look(page: Page) -> None:
        assert page.locator("img[src=x], script:not([src])").count() == 0

    assert faults_on_phones(tab, SCREENS, look) == []


def test_a_transfer_is_found_and_followed_across_the_networks(tab: Open) -> None:
    page = tab().open("/ui/transfers")
    assert "ethereum → optimism" in page.locator("section", has_text="Routes").first.inner_text()
    page.get_by_label("Key, its beginning").fill(LATE_KEY[:12])
    page.get_by_role("button", name="Search").click()
    page.locator("td a").click()
    text = page.locator("main").inner_text()
    assert "late by 5m" in text
    assert "2.1 WETH" in text
    link = page.get_by_role("link", name="transaction").first.get_attribute("href")
    assert link is not None
    assert link.startswith("https://")
    page.locator("summary").first.click()
    assert "recipient" in page.locator("main").inner_text()


def test_a_transfer_that_is_overdue_says_by_how_much_and_who_was_notified(tab: Open) -> None:
    reader = tab(java_script_enabled=False)
    text = reader.open(f"/ui/transfers/bridge/{HOSTILE_KEY}").locator("main").inner_text()
    assert "overdue by" in text, text
    assert "ops: firing" in text
    page = reader.open("/ui/alerts")
    page.locator("td a", has_text="overdue").first.click()
    page.get_by_role("link", name="Transfer", exact=True).click()
    assert "Across the networks" in page.locator("main").inner_text()


def test_text_from_a_chain_is_text(tab: Open) -> None:
    page = tab().open(f"/ui/transfers/bridge/{HOSTILE_KEY}")
    page.locator("summary").first.click()
    text = page.locator("main").inner_text()
    assert "<script>" in text
    assert "{{ 7*7 }}" in text
    assert "\u202e" not in text
    assert page.title().startswith("bridge")


def test_percentiles_are_drawn_and_are_a_table_without_javascript(tab: Open) -> None:
    page = tab().open("/ui/latency")
    expect(page.locator(".chart canvas")).to_have_count(4)
    page.get_by_label("Opened within").select_option("7d")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".chart canvas").first).to_be_visible()
    reader = tab(java_script_enabled=False).open("/ui/latency")
    assert reader.locator(".chart").first.is_hidden()
    reader.locator("summary").first.click()
    assert "UTC" in reader.locator("table").first.inner_text()


def test_an_endpoint_shows_when_it_was_down(tab: Open) -> None:
    page = tab().open("/ui/networks")
    assert page.locator(".strip rect.down").count() == 1
    text = page.locator("main").inner_text()
    assert "rpc.example" in text
    assert "degraded within" in text


@pytest.mark.parametrize("script", [True, False])
def test_what_was_given_up_is_retried_and_dropped(tab: Open, served: ServedPage, script: bool) -> None:
    page = tab(java_script_enabled=script).open("/ui/deliveries?receiver=phone&status=dead")
    first = page.locator("tbody tr[id]").first
    number = int((first.get_attribute("id") or "").removeprefix("notification-"))
    first.get_by_role("button", name="Drop" if script else "Retry").click()
    expect(page.locator(f"#notification-{number}")).to_have_count(0)
    found = served.access.read(notifications.find, number)
    assert found is not None
    assert found.status != "dead"


def test_somebody_is_put_on_call(tab: Open, served: ServedPage) -> None:
    page = tab().open("/ui/oncall")
    assert page.locator(".calendar > li").count() == 15
    page.locator("summary").click()
    page.get_by_label("Person").select_option("ben")
    page.get_by_label("For").fill("90m")
    page.get_by_role("button", name="Put on call").click()
    expect(page.get_by_role("button", name="Remove override 2")).to_be_visible()
    (_, made) = sorted(served.access.read(rota.list_overrides), key=lambda one: one.id)
    assert (made.person, made.author, made.ends_at - made.starts_at) == ("ben", "api", 5_400)
    page.get_by_role("button", name="Remove override 2").click()
    expect(page.get_by_role("button", name="Remove override 2")).to_have_count(0)


def test_routes_are_tested_and_a_receiver_gets_a_sample(tab: Open) -> None:
    page = tab().open("/ui/configuration")
    page.get_by_label("Which way does an alert go?").fill("alertname=Late\nseverity=P0")
    page.get_by_role("button", name="Test routes").click()
    expect(page.locator(".tree .takes")).to_have_count(1)
    assert "It goes to ops" in page.locator("main").inner_text()
