"""Samples in `chainwatch run`: after `kill -9` it has every sample that it confirmed."""

import asyncio
import random
import time
from pathlib import Path

import aiohttp

from tests.support.live import Live
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

KILLS = 1


async def test_what_was_confirmed_is_there_after_each_kill(tmp_path: Path, database_url: str) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    config = {
        "store": {"url": database_url},
        "receivers": {"ops": {}},
        "routes": [{"receivers": ["ops"]}],
        "api": {"listen": f"127.0.0.1:{port}"},
    }
    confirmed: list[int] = []
    async with Receiver() as receiver, Live(tmp_path, receiver, config) as live:
        for life in range(1, KILLS + 2):
            await eventually(lambda life=life: live.watch.log.count("the API listens") == life)  # type: ignore[misc]
            assert set(confirmed) <= set(await stored(base))
            if life > KILLS:
                break
            while len(confirmed) < life:
                confirmed += await push(base, len(confirmed))
            killing = asyncio.create_task(kill(live))
            while not killing.done():
                confirmed += await push(base, len(confirmed))
            await live.start()


async def kill(live: Live) -> None:
    """Kill it in a moment, whatever it is doing."""
    await asyncio.sleep(random.uniform(0.1, 0.6))
    live.watch.kill()


async def push(base: str, number: int) -> list[int]:
    """Push a sample; return its time if it was confirmed."""
    now = int(time.time() * 1000)
    sample = {"name": "pushed", "labels": {"series": str(number % 3)}, "value": number, "time": now}
    try:
        async with aiohttp.request("POST", f"{base}/samples", json={"samples": [sample]}) as answer:
            await answer.read()
            return [now] if answer.status == 200 else []
    except aiohttp.ClientError:
        await asyncio.sleep(0.01)
        return []


async def stored(base: str) -> list[int]:
    """Return the times of all samples."""
    async with aiohttp.request("GET", f"{base}/api/v1/query", params={"query": "pushed[1h]"}) as answer:
        body = await answer.json()
    return [round(moment * 1000) for series in body["data"]["result"] for moment, _ in series["values"]]
