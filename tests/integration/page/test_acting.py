"""What people do on the page, with and without JavaScript, and that it stays up to date by itself."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from chainwatch.operations import alert_actions, alert_details, silencing
from tests.integration.page.conftest import Open
from tests.support.served_page import ServedPage


@pytest.mark.parametrize("script", [True, False])
def test_an_alert_is_acknowledged_with_a_note_and_a_length(
    tab: Open, acted: ServedPage, script: bool
) -> None:
    number = acted.raise_alert("Late", "P1", "42 is late", script=str(script))
    page = tab(acted, java_script_enabled=script).open(f"/ui/alerts/{number}")
    page.get_by_label("Note").fill("on it")
    page.get_by_label("For").fill("2h")
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(page.locator(".meta .taken")).to_contain_text("✓ api: on it")
    stored = acted.access.read(alert_details.show, number).acknowledged
    assert stored is not None
    assert stored.until is not None
    assert 7_100 < stored.until - time.time() < 7_300
    page.get_by_role("button", name="Drop the acknowledgement").click()
    expect(page.locator(".meta .taken")).to_have_count(0)
    page.locator("summary", has_text="Resolve by hand").click()
    page.get_by_label("Why it is over").fill("paid by hand")
    page.get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".meta")).to_contain_text("by hand: paid by hand")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)


def test_what_is_wrong_with_a_form_is_said(tab: Open, acted: ServedPage) -> None:
    opened = tab(acted)
    page = opened.open("/ui/alerts/1")
    page.get_by_label("For").fill("soon")
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(page.locator("main")).to_contain_text("lasts: expected a duration such as")
    page.goto("about:blank")
    assert all("status of 400" in one for one in opened.complaints)
    opened.complaints.clear()


def test_one_click_on_the_first_screen_acknowledges(tab: Open, acted: ServedPage) -> None:
    page = tab(acted).open("/ui/")
    page.get_by_role("button", name="Acknowledge alert 1").click()
    expect(page.locator("#alert-1 .taken")).to_contain_text("✓ api")


def test_a_silence_is_made_from_an_alert_changed_and_ended(tab: Open, acted: ServedPage) -> None:
    page = tab(acted).open("/ui/alerts/2")
    page.get_by_role("link", name="Silence …").click()
    expect(page.locator("#hides")).to_contain_text("1 alert that fires right now would be hidden")
    page.get_by_label("Labels that an alert must have").fill("flow=canonical-bridge")
    expect(page.locator("#hides")).to_contain_text("4 alerts that fire right now would be hidden")
    page.get_by_label("Labels that an alert must have").fill("flow")
    expect(page.locator("#hides [role=alert]")).to_contain_text("'flow' is none of LABEL=VALUE")
    page.get_by_label("Labels that an alert must have").fill("flow=canonical-bridge\nstep=~exec.*")
    page.get_by_label("Comment").fill("the relayer moves")
    page.get_by_role("button", name="Silence", exact=True).click()
    row = page.locator("tbody tr").first
    expect(row).to_contain_text('{flow="canonical-bridge",step=~"exec.*"}')
    expect(row).to_contain_text("3 alerts")
    row.get_by_role("link", name="Change").click()
    expect(page.get_by_label("Labels that an alert must have")).to_have_value(
        "flow=canonical-bridge\nstep=~exec.*"
    )
    page.get_by_label("For").fill("30m")
    page.get_by_label("Comment").fill("soon over")
    page.get_by_role("button", name="Change the silence").click()
    expect(page.locator("tbody tr").first).to_contain_text("soon over")
    (new, *_) = acted.access.read(silencing.list_silences).rows
    assert 1_700 < new.ends_at - time.time() < 1_810
    page.get_by_role("button", name=f"End now: silence {new.id}").click()
    expect(page.locator("tbody")).not_to_contain_text("soon over")


def test_a_silence_is_looked_at_and_made_without_javascript(tab: Open, acted: ServedPage) -> None:
    page = tab(acted, java_script_enabled=False).open("/ui/silences/new")
    page.get_by_label("Labels that an alert must have").fill("alertname=ReceiverFailing")
    page.get_by_role("button", name="Show what it hides").click()
    expect(page.locator("#hides")).to_contain_text("1 alert that fires right now")
    assert "csrf" not in page.url
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.locator("tbody")).to_contain_text("ReceiverFailing")


def test_a_note_joins_the_timeline_and_an_incident_is_acknowledged_as_a_whole(
    tab: Open, acted: ServedPage
) -> None:
    page = tab(acted).open("/ui/incidents/2")
    page.get_by_label("Note for the timeline").fill("<b>looked at the vault</b>")
    page.get_by_role("button", name="Add the note").click()
    expect(page.locator(".timeline")).to_contain_text("<b>looked at the vault</b>")
    page.get_by_role("button", name="Acknowledge 1 alert").click()
    expect(page.get_by_role("button", name="Acknowledge 1 alert")).to_have_count(0)


def test_what_happens_is_shown_soon_and_what_one_writes_stays(tab: Open, acted: ServedPage) -> None:
    page = tab(acted).open("/ui/")
    expect(page.locator("#live")).to_have_text("live")
    number = acted.raise_alert("Sudden", "P0", "something new is wrong")
    expect(page.locator(f"#alert-{number}")).to_be_visible(timeout=10_000)
    page.goto(f"{acted.url}/ui/alerts/{number}")
    page.get_by_label("Note").fill("I am wri")
    page.locator("summary", has_text="Resolve by hand").click()
    page.get_by_label("Note").focus()
    acted.access.write(alert_actions.acknowledge, [number], "ben", "I have it")
    expect(page.locator(".meta .taken")).to_contain_text("ben: I have it")
    expect(page.get_by_label("Note")).to_have_value("I am wri")
    expect(page.get_by_label("Note")).to_be_focused()
    expect(page.get_by_label("Why it is over")).to_be_visible()


def test_a_page_that_is_not_answered_says_so(tab: Open, acted: ServedPage) -> None:
    opened = tab(acted)
    page = opened.open("/ui/")
    page.context.set_offline(True)
    page.evaluate("htmx.trigger(document.body, 'changed')")
    expect(page.locator("#live")).to_contain_text("not live since")
    page.context.set_offline(False)
    page.evaluate("htmx.trigger(document.body, 'changed')")
    expect(page.locator("#live")).to_have_text("live")
    opened.complaints = [one for one in opened.complaints if "htmx:" not in one and "DISCONNECTED" not in one]


def test_people_log_in_and_a_viewer_has_no_buttons(tab: Open, acted: ServedPage) -> None:
    viewer, operator = acted.make_token("vera", "viewer"), acted.make_token("otto", "operator")
    opened = tab(acted)
    seen = opened.open("/ui/alerts/1")
    assert opened.violations() == []
    seen.get_by_label("Token").fill(viewer)
    seen.keyboard.press("Enter")
    expect(seen.locator("h1")).to_contain_text("40 WETH")
    assert seen.locator("main button:not(.copy), main form").count() == 0
    seen.goto("about:blank")
    seen.set_content(f"<a href='{acted.url}/ui/alerts/2'>from a chat</a>")
    seen.get_by_role("link", name="from a chat").click()
    expect(seen.locator("h1")).to_contain_text("41 WETH")
    seen.goto(f"{acted.url}/ui/alerts/99")
    expect(seen.locator("main")).to_contain_text("no alert has the ID 99")
    seen.get_by_role("button", name="Log out vera").click()
    seen.get_by_label("Token").fill(operator)
    seen.get_by_role("button", name="Log in").click()
    seen.get_by_role("button", name="Acknowledge alert 1").click()
    expect(seen.locator("#alert-1 .taken")).to_contain_text("✓ otto")
    assert all("status of 404" in one for one in opened.complaints)  # of alert 99
    opened.complaints.clear()
