"""One browser for all tests of the page, and one page with a bad night for those that only look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

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


class Tabs:
    """The tabs of one test."""

    def __init__(self, browser: Browser, usual: ServedPage) -> None:
        self._browser = browser
        self._usual = usual
        self._open: list[BrowserContext] = []
        self._ever: list[Tab] = []

    def open(self, page: ServedPage | None = None, **options: object) -> Tab:
        """Open a tab, with Playwright's options of a context."""
        context = self._browser.new_context(**{"viewport": DESK, **options})  # type: ignore[arg-type]
        context.set_default_timeout(1_000 * PATIENCE)
        self._open.append(context)
        self._ever.append(Tab(context, (page or self._usual).url))
        return self._ever[-1]

    def close(self) -> None:
        """Close all, before their server ends: they would complain of that."""
        while self._open:
            self._open.pop().close()

    @property
    def complaints(self) -> list[str]:
        return [complaint for one in self._ever for complaint in one.complaints]


@pytest.fixture
def tabs(browser: Browser, served: ServedPage) -> Iterator[Tabs]:
    """At the end nothing may have gone wrong in any."""
    opened = Tabs(browser, served)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def tab(tabs: Tabs) -> Open:
    return tabs.open


@pytest.fixture
def acted(tabs: Tabs, tmp_path: Path) -> Iterator[ServedPage]:
    """The page for one test, which changes what it shows."""
    with serving_page(tmp_path, fill) as page:
        yield page
        tabs.close()
