"""chainwatch as its users run it: a process of its own, with a configuration file and an environment."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from chainwatch.cli import main
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "chainwatch")

API = """
[api]
listen = "127.0.0.1:{port}"
"""

COMMAND_TIMEOUT = 2 * PATIENCE


class Finished(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


class Chainwatch:
    """A folder with a configuration, the process that runs it, and the commands that look at it.

    Its HTTP server listens on a port of its own, as far as the configuration says nothing of it: others run beside it.
    Everything that any of them wrote is kept in `written`.
    """

    def __init__(self, folder: Path, config: str, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.config.write_text(
            config + API.format(port=free_port()) if config and "[api]" not in config else config
        )
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
        self.environ.pop("CHAINWATCH_CONFIG", None)
        self._process: subprocess.Popen[bytes] | None = None
        self._output = folder / "run.out"
        self._commands: list[str] = []

    # --- the process ---

    def start(self) -> None:
        """Starts `chainwatch run`."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._line("run"), cwd=self.folder, env=self.environ, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """Ends it at once (SIGKILL); it may have ended already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._running.send_signal(number)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end; its exit code."""
        self.send(how)
        return await self.ended()

    async def ended(self) -> int:
        """The exit code of a process that ends by itself."""
        code = await asyncio.to_thread(self._running.wait, PATIENCE)
        self._process = None
        return code

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "chainwatch was not started"
        return self._process

    # --- the commands ---

    async def command(self, *arguments: str) -> Finished:
        """Runs another command on the same configuration to its end."""
        done = await asyncio.to_thread(
            subprocess.run,
            self._line(*arguments),
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )
        self._commands += [done.stdout, done.stderr]
        return Finished(done.returncode, done.stdout, done.stderr)

    async def read(self, *arguments: str) -> Any:
        """What a command prints with `--json`."""
        done = await self.command(*arguments, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    async def look(self, *arguments: str) -> Any:
        """The same without a process of its own, which costs a core half a second: for what is asked until it is so."""
        if "LD_PRELOAD" in self.environ:  # by its clock
            return await self.read(*arguments)
        line = ["--config", str(self.config), *arguments, "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, main, line, env=self.environ)
        self._commands += [done.stdout, done.stderr]
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def _line(self, *arguments: str) -> list[str]:
        return [*COMMAND, "--config", str(self.config), *arguments]

    @property
    def log(self) -> str:
        """What `chainwatch run` wrote so far, over all its starts."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    @property
    def written(self) -> str:
        """What `chainwatch run` and every command wrote."""
        return self.log + "".join(self._commands)
