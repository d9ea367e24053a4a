"""Debian's prometheus-alertmanager, where it is installed: the same measurements over its HTTP API."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port

PROGRAM = "prometheus-alertmanager"

CONFIG = """
route:
  receiver: hook
  group_by: [{group_by}]
  group_wait: {group_wait}
  group_interval: 5m
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}", send_resolved: true}}]
"""


class Peer:
    """A running Alertmanager that is spoken to over one connection."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._process = process

    def submit(self, alerts: Sequence[dict[str, Any]]) -> None:
        """POST /api/v2/alerts."""
        body = json.dumps(alerts)
        self._connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    def resident(self) -> float:
        """MiB of memory."""
        return resident(self._process.pid)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def resident(pid: int) -> float:
    """The resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def is_installed() -> bool:
    """Whether there is one here."""
    return shutil.which(PROGRAM) is not None


@contextmanager
def running(folder: Path, url: str, *, group_by: str, group_wait: str) -> Iterator[Peer]:
    """An Alertmanager that notifies ``url``, on a folder that is kept."""
    folder.mkdir(exist_ok=True)
    config = folder / "config.yml"
    config.write_text(CONFIG.format(url=url, group_by=group_by, group_wait=group_wait))
    port = free_port()
    process = subprocess.Popen(
        [
            PROGRAM,
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=error",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Peer(_ready(port), process)
    finally:
        process.kill()
        process.wait()


def _ready(port: int) -> int:
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == 200:
                return port
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise TimeoutError("Alertmanager does not start")
