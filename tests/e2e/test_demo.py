"""The demo shows its whole story on embedded chains, without a node, a key or a configuration."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path

import aiohttp

from tests.support.process import Chainwatch


async def test_the_demo_reports_what_is_overdue_and_of_the_orphan_and_shows_it_live_on_its_page(
    tmp_path: Path,
) -> None:
    environ = Chainwatch(tmp_path, "").environ
    command = (sys.executable, "-m", "chainwatch", "demo", "--for", "46s")
    demo = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environ, stdout=PIPE, stderr=PIPE)
    assert demo.stdout is not None
    said = ""
    while (address := re.search(r"page.*(http://127\.0\.0\.1:\d+/ui/)", said)) is None:
        line = await demo.stdout.readline()
        assert line, "it ended"
        said += line.decode()
    watching = asyncio.create_task(_shows(address[1], "TransferOrphan", "beta"))  # it fires to the end
    out, err = (text.decode() for text in await demo.communicate())
    assert (demo.returncode, err) == (0, "")
    assert watching.done()
    await watching
    lines = Counter(re.findall(r"(FIRING|RESOLVED).*?(Transfer\w+)", out))
    assert lines == {
        ("FIRING", "TransferOverdue"): 2,
        ("RESOLVED", "TransferOverdue"): 2,
        ("FIRING", "TransferOrphan"): 1,
    }


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
