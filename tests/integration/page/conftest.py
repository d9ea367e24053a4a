"""One browser for all tests of the page, and one page with a bad night for those that only look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import DESK, PHONE, Tab, chromium
from tests.support.served_page import ServedPage, fill, serving_page
from tests.support.waiting import PATIENCE

Open = Callable[..., Tab]

expect.set_options(timeout=1_000 * PATIENCE)


def faults_on_phones(tab: Open, paths: Sequence[str], look: Callable[[Page], None]) -> list[str]:
    """What is wrong with screens on a phone, with all details open: with their width, and what axe finds.

    Light and dark take turns. ``look`` may assert more of each.
    """
    light, dark = (tab(viewport=PHONE, color_scheme=scheme) for scheme in ("light", "dark"))
    wrong = []
    for number, path in enumerate(paths):
        phone = dark if number % 2 else light
        page = phone.open(path)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        if phone.width() > PHONE["width"]:
            wrong.append(f"{path} is {phone.width()} wide")
        wrong += [f"{path} {one}" for one in phone.violations()]
        look(page)
    return wrong


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ServedPage]:
    with serving_page(Path(tmp_path_factory.mktemp("page")), fill) as page:
        yield page


@pytest.fixture
def tab(browser: Browser, served: ServedPage) -> Iterator[Open]:
    """Open a tab, with Playwright's options of a context; at the end nothing may have gone wrong in any."""
    opened: list[Tab] = []
    contexts = []

    def open_tab(page: ServedPage = served, **options: object) -> Tab:
        context = browser.new_context(**{"viewport": DESK, **options})  # type: ignore[arg-type]
        context.set_default_timeout(1_000 * PATIENCE)
        contexts.append(context)
        opened.append(Tab(context, page.url))
        return opened[-1]

    yield open_tab
    for context in contexts:
        context.close()
    assert [complaint for one in opened for complaint in one.complaints] == []
