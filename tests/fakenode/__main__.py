"""``python -m tests.fakenode SCRIPT``: see `tests.fakenode.script`."""

import asyncio
import contextlib
import sys
from pathlib import Path

import tomli

from tests.fakenode.script import play

if len(sys.argv) != 2:
    sys.exit("usage: python -m tests.fakenode SCRIPT.toml")
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(play(tomli.loads(Path(sys.argv[1]).read_text())))
