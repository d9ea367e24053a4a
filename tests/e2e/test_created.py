"""Receivers and rules that are created over HTTP while `chainwatch run` goes on; they are still there after kill -9."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chainwatch.alerting.engine.alert_engine import AlertEngine
from chainwatch.operations.created import extended_on
from chainwatch.store.database import Database
from tests.support.live import Live, fires
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

SECRET = "s3cret-p4th-of-a-hook"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
    async with aiohttp.request(method, url, json=body) as answer:
        return answer.status, await answer.json(content_type=None)


def raise_signal(live: Live, name: str) -> None:
    """An alert begins now, as the running process would have it: by what was created too."""
    with closing(Database.open(live.url)) as database, database.transaction() as connection:
        settings = extended_on(connection, live.settings).settings
        AlertEngine.of(settings, 0).apply(connection, [fires(name, time.time())], time.time())


async def test_a_channel_is_used_at_once_and_after_kill_and_reload(
    tmp_path: Path, receiver: Receiver
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    config = {
        "receivers": {"ops": {}},
        "routes": [{"receivers": ["ops"], "group_wait": "0s"}],
        "api": {"listen": f"127.0.0.1:{port}"},
    }
    async with Live(tmp_path, receiver, config) as live:
        await eventually(lambda: "the API listens" in live.watch.log)
        hook = {"type": "webhook", "config": {"url": f"{receiver.url}/{SECRET}", "allow_private": True}}
        status, made = await ask("POST", f"{base}/channels", hook)
        assert status == 201
        channel = made["id"]
        rule = {
            "name": "Errors",
            "query": "errors > 1",
            "duration": "5m",
            "severity": "high",
            "channels": [channel],
        }
        assert (await ask("POST", f"{base}/rules", rule))[0] == 201

        await asyncio.to_thread(raise_signal, live, "Errors")
        await eventually(lambda: live.notified(SECRET, "Errors") and live.notified("ops", "Errors"))

        live.watch.kill()
        await live.start()
        await eventually(lambda: live.watch.log.count("the API listens") == 2)
        _, listed = await ask("GET", f"{base}/channels")
        assert [(one["id"], one["rules"], one["problem"]) for one in listed["channels"]] == [
            (channel, ["Errors"], None)
        ]
        sent = await live.watch.read("receivers", "test", channel)
        assert sent["delivered"] is True
        assert len(live.notified(SECRET, "Errors")) == 1  # nothing is sent twice

        live.watch.send(signal.SIGHUP)
        await eventually(lambda: live.watch.log.count("the API listens") == 3)
        assert (await ask("POST", f"{base}/v1/receivers/test", {"receiver": channel}))[1]["delivered"] is True
        assert (await ask("DELETE", f"{base}/channels/{channel}"))[0] == 409
        assert (await ask("DELETE", f"{base}/rules/Errors"))[0] == 200
        assert (await ask("DELETE", f"{base}/channels/{channel}"))[0] == 200
        assert [one["name"] for one in await live.watch.read("receivers", "list")] == ["ops"]
        assert SECRET not in live.watch.written
        assert "Traceback" not in live.watch.log
