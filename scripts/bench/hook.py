"""A webhook in a process of its own that costs as little as can be: it notes when which alert arrived.

Run as ``python -m scripts.bench.hook PORT REFUSE_FOR``: for so many seconds from its first request on it answers 429.
``GET /seen`` answers {"seen": {number: Unix time}, "attempts": n}; ``GET /reset`` forgets.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.ports import free_port

NUMBER = re.compile(rb'"n":"(\d+)"')
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


class Hook:
    """The handle of a running webhook."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def seen(self) -> dict[int, float]:
        """When each alert arrived first, by its label ``n``."""
        return {int(number): at for number, at in self._get("/seen")["seen"].items()}

    def attempts(self) -> int:
        """How many requests came."""
        return int(self._get("/seen")["attempts"])

    def reset(self) -> None:
        """Forget what came."""
        self._get("/reset")

    def wait_for(self, count: int, timeout: float = 120.0) -> dict[int, float]:
        """What arrived, once there are ``count`` alerts."""
        end = time.monotonic() + timeout
        while len(seen := self.seen()) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(seen)} of {count} alerts arrived within {timeout} s")
            time.sleep(0.1)
        return seen

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")


@contextmanager
def running(refuse_for: float = 0.0) -> Iterator[Hook]:
    """A webhook that runs meanwhile."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "scripts.bench.hook", str(port), str(refuse_for)])
    hook = Hook(port)
    try:
        for _ in range(200):
            try:
                hook.reset()
                break
            except OSError:
                time.sleep(0.05)
        yield hook
    finally:
        process.kill()
        process.wait()


class _Server(asyncio.Protocol):
    seen: dict[str, float] = {}  # noqa: RUF012 - of all connections
    attempts = 0
    refuse_for = 0.0
    refuse_until: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            length = int(found[1]) if (found := LENGTH.search(head)) else 0
            if len(self._data) < end + 4 + length:
                return
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        kind = type(self)
        if head.startswith(b"GET /seen"):
            return _json({"seen": kind.seen, "attempts": kind.attempts})
        if head.startswith(b"GET /reset"):
            kind.seen, kind.attempts, kind.refuse_until = {}, 0, None
            return _json({})
        now = time.time()
        kind.attempts += 1
        if kind.refuse_until is None:
            kind.refuse_until = now + kind.refuse_for
        if now < kind.refuse_until:
            return REFUSED
        for number in NUMBER.findall(body):
            kind.seen.setdefault(number.decode(), now)
        return OK


def _json(value: object) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def _serve(port: int, refuse_for: float) -> None:
    _Server.refuse_for = refuse_for
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
