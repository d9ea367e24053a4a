"""The demo shows its whole story on embedded chains, without a node, a key or a configuration."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests.support.process import Chainwatch
from tests.support.waiting import PATIENCE

TOLD = {
    ("FIRING", "TransferOverdue"): 2,
    ("RESOLVED", "TransferOverdue"): 2,
    ("FIRING", "TransferOrphan"): 1,
}
LENGTH = 40
"""Seconds that the story itself takes."""


async def test_the_demo_reports_what_is_overdue_and_of_the_orphan_and_shows_it_live_on_its_page(
    tmp_path: Path,
) -> None:
    environ = Chainwatch(tmp_path, "").environ
    command = (sys.executable, "-m", "chainwatch", "demo", "--for", "10m")
    demo = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environ, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(LENGTH + PATIENCE):
            said = await _read(demo, lambda text: address_in(text) is not None)
            await _shows(str(address_in(said)), "TransferOrphan", "beta")  # it fires to the end
            said += await _read(demo, lambda text: is_over(said + text))
            demo.send_signal(signal.SIGINT)
            rest, err = (text.decode() for text in await demo.communicate())
    finally:
        if demo.returncode is None:
            demo.kill()
    assert (demo.returncode, err) == (0, "")
    assert alerts_in(said + rest) == TOLD
    assert "3 raised, 2 resolved, 1 still firing" in rest


def address_in(text: str) -> str | None:
    found = re.search(r"page.*(http://127\.0\.0\.1:\d+/ui/)", text)
    return found and found[1]


def is_over(text: str) -> bool:
    """Whether the story was told to its end, and all alerts of it were reported."""
    return "no more to show" in " ".join(text.split()) and alerts_in(text).total() >= sum(TOLD.values())


def alerts_in(text: str) -> Counter[tuple[str, str]]:
    """How often each alert was reported, by what happened to it and its name."""
    return Counter(re.findall(r"(FIRING|RESOLVED).*?(Transfer\w+)", text))


async def _read(demo: asyncio.subprocess.Process, enough: Callable[[str], bool]) -> str:
    """What the demo prints, line by line, until that is enough."""
    assert demo.stdout is not None
    said = ""
    while not enough(said):
        line = await demo.stdout.readline()
        assert line, "it ended"
        said += line.decode()
    return said


async def _shows(address: str, *texts: str) -> None:
    """Wait until the page shows all these texts."""
    async with aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(address) as answer:
                    html = await answer.text()
            except aiohttp.ClientConnectionError:
                html = ""
            if all(text in html for text in texts):
                return
            await asyncio.sleep(0.5)
