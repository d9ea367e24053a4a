"""The HTTP server of `chainwatch run`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.live import Live
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from tests.support.waiting import PATIENCE, eventually


def config(port: int) -> dict[str, Any]:
    return {
        "receivers": {"ops": {}},
        "routes": [{"receivers": ["ops"]}],
        "api": {"listen": f"127.0.0.1:{port}"},
    }


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def status_of(method: str, url: str) -> int:
    """The answer's status; 0 where nothing answers."""
    try:
        async with aiohttp.request(method, url) as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def test_it_answers_and_follows_a_reload_to_another_port(tmp_path: Path, receiver: Receiver) -> None:
    port, other = free_port(), free_port()
    async with Live(tmp_path, receiver, config(port)) as live:
        await eventually(lambda: "the API listens" in live.watch.log)
        assert await status_of("GET", f"http://127.0.0.1:{port}/-/healthy") == 200
        async with asyncio.timeout(PATIENCE):
            while await status_of("GET", f"http://127.0.0.1:{port}/-/ready") != 200:
                await asyncio.sleep(0.1)  # it watches itself once a second
        live.configure(config(other))
        assert await status_of("POST", f"http://127.0.0.1:{port}/-/reload") == 202
        await eventually(lambda: live.watch.log.count("the API listens") == 2)
        assert await status_of("GET", f"http://127.0.0.1:{other}/-/healthy") == 200
        assert await status_of("GET", f"http://127.0.0.1:{port}/-/healthy") == 0


async def test_a_port_in_use_is_a_warning_and_everything_else_runs(
    tmp_path: Path, receiver: Receiver
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server, Live(tmp_path, receiver, config(server.sockets[0].getsockname()[1])) as live:
        await eventually(lambda: "the API does not listen" in live.watch.log)
        assert '"running"' in live.watch.log


async def test_tokens_are_made_used_and_removed_while_it_runs(tmp_path: Path, receiver: Receiver) -> None:
    port = free_port()
    async with Live(tmp_path, receiver, config(port)) as live:
        await eventually(lambda: "the API listens" in live.watch.log)
        made = await live.watch.command("token", "add", "anna", "--role", "admin", "--by", "root")
        assert made.code == 0, made.err
        headers = {"Authorization": f"Bearer {made.out.strip()}"}
        url = f"http://127.0.0.1:{port}/-/reload"
        async with asyncio.timeout(PATIENCE):
            while await status_of("GET", f"http://127.0.0.1:{port}/metrics") != 401:
                await asyncio.sleep(0.2)
        async with aiohttp.request("POST", url, headers=headers) as answer:
            assert answer.status == 202
        tokens = await live.watch.read("token", "list")
        assert [(t["name"], t["role"], t["author"]) for t in tokens] == [("anna", "admin", "root")]
        assert (await live.watch.command("token", "remove", "anna", "--by", "root")).code == 0
        done = [(e["actor"], e["action"]) for e in await live.watch.read("audit-log")]
        assert done == [("root", "token remove"), ("anna", "POST /-/reload"), ("root", "token add")]
        assert made.out.strip() not in live.watch.log
