"""A server on a database, and a client that may send anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from chainwatch.alerting.runtime import AlertingRuntime
from chainwatch.api import server
from chainwatch.config import read_dict
from chainwatch.monitor.companions import Running
from chainwatch.monitor.heartbeat import Health
from chainwatch.operations import live_alerting
from chainwatch.plan import make_plan
from chainwatch.rule_engine.engine import RuleEngine
from chainwatch.store.database import Database
from chainwatch.tsdb.tsdb import Tsdb
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE


@dataclass
class Served:
    """A running server. ``reloads`` counts requests to reload."""

    port: int
    running: Running
    client: aiohttp.ClientSession
    reloads: list[None] = field(default_factory=list)
    rules: RuleEngine = field(default_factory=RuleEngine)

    @property
    def samples(self) -> Tsdb:
        """What queries read."""
        return self.rules.tsdb

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until_it_listens(self) -> None:
        await _until_it_listens(self.port)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        return await self.ask("GET", path, **options)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """The status, and the answer's JSON or text."""
        async with self.client.request(method, f"{self.url}{path}", **options) as answer:
            is_json = answer.content_type.endswith("json")
            return answer.status, await (answer.json(content_type=None) if is_json else answer.text())

    async def send(self, content: bytes) -> bytes:
        """Send raw bytes on a connection of its own; return all that comes until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(content)
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


Serving = Callable[..., Any]


@pytest.fixture
def serving(sqlite_url: str) -> Serving:
    """Serve on a fresh database, with the keys given in `[api]` and other tables."""
    return serving_on(sqlite_url)


def serving_on(sqlite_url: str) -> Serving:
    """What serves on this database, which need not exist yet. ``loads``: samples that are stored are loaded by somebody."""

    @asynccontextmanager
    async def start(
        tables: dict[str, Any] | None = None, *, wait: bool = True, loads: bool = False, **api: Any
    ) -> AsyncIterator[Served]:
        port = free_port()
        config = {
            "store": {"url": sqlite_url},
            "api": {"listen": f"127.0.0.1:{port}", **api},
            "receivers": {"ops": {"provider": "console"}},
            "routes": [{"receivers": ["ops"]}],
            **(tables or {}),
        }
        plan = make_plan(read_dict(config, watches=False))
        with closing(Database.open(sqlite_url, durable=False)) as database:
            alerting = AlertingRuntime(database, live_alerting.alerting(plan.settings))
            await alerting.resume()
            running = Running(plan, database, alerting, Health([]))
            async with aiohttp.ClientSession() as client:
                served = Served(port, running, client)
                if not loads:
                    served.rules.loaded.set()
                tasks = server.companions(lambda: served.reloads.append(None), served.rules)(running)
                task = asyncio.ensure_future(tasks["api"]())
                try:
                    if wait:
                        await served.until_it_listens()
                    yield served
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    await alerting.close()

    return start


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return
