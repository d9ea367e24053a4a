"""One browser for all tests of the page, and one page with a bad night for those that only look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browsing import DESK, Tab, chromium
from tests.support.served_page import ServedPage, fill, serving_page

Open = Callable[..., Tab]


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
        context.set_default_timeout(10_000)
        contexts.append(context)
        opened.append(Tab(context, page.url))
        return opened[-1]

    yield open_tab
    for context in contexts:
        context.close()
    assert [complaint for one in opened for complaint in one.complaints] == []
