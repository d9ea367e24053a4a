"""Alertmanager's own command line, from Debian's package prometheus-alertmanager."""

import asyncio
import shutil
from typing import NamedTuple

from tests.support.missing import missing


class Ran(NamedTuple):
    """What it printed, and its exit code."""

    code: int
    out: str
    err: str


class Amtool:
    """Calls it against the server at ``url``, or for no server at all."""

    def __init__(self, url: str = "") -> None:
        found = shutil.which("amtool")
        if found is None:
            missing("amtool", "Debian's package prometheus-alertmanager has it")
        self._command = (found, f"--alertmanager.url={url}") if url else (found,)

    async def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Call it, and return what it did."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._command, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Call it, and return what it printed; it must have nothing to complain about."""
        ran = await self.run(*arguments, stdin=stdin)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran.out
