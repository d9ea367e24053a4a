"""Chromium as the system has it, driven by Playwright, and axe-core, which checks what it shows against WCAG."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, Request, sync_playwright

from tests.support.missing import missing
from tests.support.protocols.artifacts import ArtifactError, Package, load

AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    ("axe.min.js",),
)
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        missing("chromium", "Debian's package chromium has it")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        except Error as error:
            missing("chromium", str(error).splitlines()[0])
        yield browser
        browser.close()


class Tab:
    """A tab that notes what must never happen: errors, refusals by the policy, requests to elsewhere."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self._url = url
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def open(self, path: str) -> Page:
        self.page.goto(self._url + path)
        return self.page

    def width(self) -> int:
        """The width of what is shown, which is more than the window's where it must be scrolled sideways."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth")
        return found

    def violations(self, *, contrast_alone: bool = False) -> list[str]:
        """What axe finds wrong, each with the place; ``contrast_alone``: of colours."""
        try:
            (source,) = load(AXE)
        except ArtifactError as error:
            missing("axe-core", str(error))
        self.page.evaluate(_text(str(source)) + "; undefined")
        found: dict[str, Any] = self.page.evaluate(
            "which => axe.run(document, {runOnly: which, resultTypes: ['violations']})",
            ["color-contrast"] if contrast_alone else list(RULES),
        )
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self._url}/ui/", "about:blank")):
            self.complaints.append(f"asked {request.url}")


@cache
def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
