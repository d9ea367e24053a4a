"""Debian's prometheus-alertmanager, where it is installed: what alerts it has."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

PROGRAM = shutil.which("prometheus-alertmanager")
CONFIG = """
route: {{receiver: hook, group_by: ["alertname"], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: hook, webhook_configs: [{hook}]}}]
"""


class Alertmanager:
    """A running one; an async context manager. It can be stopped and started, and forgets its alerts by that.

    ``hook``: the URL of a webhook that it notifies.
    """

    def __init__(self, folder: Path, hook: str | None = None) -> None:
        self._folder = folder
        self._hook = "" if hook is None else f"{{url: '{hook}'}}"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def start(self) -> None:
        assert PROGRAM is not None
        config = self._folder / "alertmanager.yml"
        config.write_text(CONFIG.format(hook=self._hook))
        self._process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={config}",
                f"--storage.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE):
            while not await self._is_ready():
                await asyncio.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire there."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/api/v2/alerts") as answer:
            found: list[dict[str, Any]] = json.loads(await answer.read())
            return found

    async def _is_ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False
