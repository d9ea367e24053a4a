"""Every screen as it is seen: on a phone, in dark and light, without JavaScript, by keyboard, with hostile text."""

from __future__ import annotations

import pytest

from tests.integration.page.conftest import Open
from tests.support.browsing import PHONE
from tests.support.served_page import HOSTILE, ServedPage

SCREENS = (
    "/ui/",
    "/ui/alerts?state=all",
    "/ui/alerts/4",
    "/ui/incidents",
    "/ui/incidents/1",
    "/ui/silences",
    "/ui/silences/new?alert=1",
    "/ui/silences/1/change",
    "/ui/rules",
    "/ui/query?query=vector(1)",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_is_accessible_and_fits_a_phone(tab: Open, scheme: str) -> None:
    phone, wrong = tab(viewport=PHONE, color_scheme=scheme), []
    for path in SCREENS:
        phone.open(path)
        if phone.width() > PHONE["width"]:
            wrong.append(f"{path} is {phone.width()} wide")
        wrong += [f"{path} {one}" for one in phone.violations(contrast_alone=scheme == "dark")]
    assert wrong == []


def test_a_desk_has_room_for_the_navigation_at_the_side_and_is_accessible(tab: Open) -> None:
    desk = tab()
    page = desk.open("/ui/")
    box, main = page.locator("nav.nav").bounding_box(), page.locator("main").bounding_box()
    assert box is not None
    assert main is not None
    assert box["x"] + box["width"] <= main["x"]
    assert desk.violations() == []


def test_a_chosen_theme_stays(tab: Open) -> None:
    desk = tab(color_scheme="light")
    page = desk.open("/ui/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    for _ in range(2):  # auto, light, dark
        page.get_by_role("button", name="Theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    assert desk.open("/ui/alerts").evaluate(ground) == dark


def test_everything_is_read_without_javascript(tab: Open) -> None:
    reader = tab(java_script_enabled=False)
    text = reader.open("/ui/").locator("main").inner_text()
    for said in (
        "6 unacknowledged of 7 that fire",
        "The bridge on base holds less than optimism has minted",
        "ben: the relayer is restarted, watching",
        "silenced: by silence 1 of anna",
        "base is blind",
        "primary",
    ):
        assert said in text
    text = reader.open("/ui/alerts/4").locator("main").inner_text()
    assert "the route that matches it" in text
    assert reader.page.get_by_role("link", name="Runbook").get_attribute("href") == (
        "https://runbooks.example/bridge-not-backed"
    )
    assert "Step 1 of 1" in reader.open("/ui/incidents/1").locator("main").inner_text()


def test_the_worst_that_nobody_has_comes_first(tab: Open) -> None:
    page = tab().open("/ui/")
    rows = page.locator(".alerts > li").all_inner_texts()
    assert "P0" in page.locator("section:has(.alerts) h2").first.inner_text()
    assert "The bridge on base" in rows[0]
    assert "17 WETH" in rows[4]  # acknowledged, so after the others of its severity


def test_the_keyboard_reaches_everything_in_order(tab: Open) -> None:
    page = tab().open("/ui/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = page.evaluate("document.activeElement.closest('main') !== null")
    assert inside
    seen = []
    page.goto(page.url.split("#")[0])
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim()"))
        if "Acknowledge" in seen:
            break
    assert seen.index("Now") < seen.index("Silences") < seen.index("Acknowledge")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_text_from_a_chain_is_text(tab: Open, acted: ServedPage) -> None:
    number = acted.raise_alert(
        "Hostile",
        "P3",
        HOSTILE,
        network=HOSTILE,
        word="w" * 65_536,
        note_description=HOSTILE * 50,
        note_runbook_url="javascript:alert(1)",
        note_tx="0x" + "f" * 65_536,
        note_tx_url="javascript:alert(2)",
    )
    phone = tab(acted, viewport=PHONE)
    for path in (
        "/ui/",
        f"/ui/alerts/{number}",
        "/ui/alerts",
        "/ui/incidents",
        f"/ui/silences/new?alert={number}",
    ):
        page = phone.open(path)
        page.wait_for_timeout(100)
        assert "owned" not in page.title().split("·")[-1]
        assert phone.width() <= PHONE["width"], path
        assert page.locator("img[src=x], script:not([src])").count() == 0
        assert page.locator("a[href^='javascript']").count() == 0
    text = phone.open(f"/ui/alerts/{number}").locator("main").inner_text()
    assert "<script>" in text
    assert "{{ 7*7 }}" in text
    assert "\\u202e" in text
    assert "\u202e" not in text
    form = phone.open(f"/ui/silences/new?alert={number}")
    assert "1 alert that fires right now would be hidden" in form.locator("#hides").inner_text()


def test_a_long_key_is_short_to_the_eye_and_whole_when_copied(tab: Open) -> None:
    page = tab(permissions=["clipboard-read", "clipboard-write"]).open("/ui/alerts/5")
    key = page.locator(".labels .key")
    box = key.bounding_box()
    assert box is not None
    assert box["width"] < 200
    assert key.get_attribute("title") == key.inner_text().strip() or key.text_content() == key.get_attribute(
        "title"
    )
    page.locator(".labels .copy").click()
    copied = "wanted => navigator.clipboard.readText().then(text => text === wanted)"
    page.wait_for_function(copied, arg=key.get_attribute("title"))
