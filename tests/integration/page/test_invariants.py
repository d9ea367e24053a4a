"""Invariants, rules and queries as people see them, whatever texts a chain, a configuration or another program has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.integration.page.conftest import Open, faults_on_phones
from tests.support import served_invariants
from tests.support.served_page import ServedPage, serving_page

SCREENS = (
    "/ui/invariants",
    "/ui/invariants?state=violated",
    "/ui/invariants/backed",
    f"/ui/invariants/{quote(served_invariants.NAME)}",
    "/ui/rules",
    "/ui/query?query=depth",
    "/ui/query?query=chainwatch_invariant_value",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ServedPage]:
    folder = Path(tmp_path_factory.mktemp("invariants"))
    with serving_page(folder, served_invariants.fill, served_invariants.tables()) as page:
        yield page


def test_every_screen_is_accessible_fits_a_phone_and_shows_text_as_text(tab: Open) -> None:
    def look(page: Page) -> None:
        assert page.locator("img[src=x], main b, script:not([src])").count() == 0
        assert "owned" not in page.title().split("·")[-1]
        assert "\u202e" not in page.locator("main").inner_text()

    assert faults_on_phones(tab, SCREENS, look) == []


def test_what_is_broken_comes_first_with_its_values_in_units(tab: Open) -> None:
    page = tab().open("/ui/invariants")
    first = page.locator("main section").first.inner_text()
    for said in ("backed", "violated", "locked >= minted", "1,204.5 USDC", "1,310 USDC", "P0"):
        assert said in first
    assert "<script>" in page.locator("main").inner_text()
    page.get_by_role("link", name="Violated").click()
    expect(page.locator("main section")).to_have_count(1)


def test_one_invariant_shows_when_it_held_and_its_values_over_time_by_keyboard(tab: Open) -> None:
    page = tab().open("/ui/invariants")
    page.get_by_role("link", name="backed", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/invariants/backed")
    expect(page.locator("[data-query-chart] canvas")).to_be_visible()
    text = page.locator("main").inner_text()
    assert "Broken since block 102" in text
    assert "It held last at block 101" in text
    held = page.get_by_role("link", name="101").first
    assert held.get_attribute("href") == "https://ethereum.explorer.example/block/101"
    page.locator("summary", has_text="Numbers").focus()
    page.keyboard.press("Enter")
    table = page.get_by_role("region", name="Values over time").inner_text()
    assert "locked, ethereum" in table
    assert "1310.0" in table
    breaches = page.locator("section", has_text="Breaches").inner_text()
    assert "for 16m 40s" in breaches


def test_it_is_read_without_javascript_too(tab: Open) -> None:
    reader = tab(java_script_enabled=False)
    text = reader.open("/ui/invariants/backed").locator("main").inner_text()
    assert "1,310 USDC" in text
    assert "Numbers" in text


def test_an_alert_of_an_invariant_leads_to_it(tab: Open, served: ServedPage) -> None:
    number = served.raise_alert("InvariantViolated", "P0", "listed does not hold", invariant="listed")
    page = tab().open(f"/ui/alerts/{number}")
    page.get_by_role("link", name="Invariant", exact=True).click()
    expect(page.locator("main section")).to_have_count(2)  # one for each element
