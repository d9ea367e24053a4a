"""S2, S6: `kill -9` in the middle of a delivery, of a pause and of an escalation; a restart goes on at the same step."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import Live, fires
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually

AT_ONCE = {"group_wait": "0s", "group_interval": "200ms"}
GROUP_WAIT = 8.0
STEP = 4.0
PAUSE = 5.0

CONFIG: dict[str, Any] = {
    "receivers": {
        name: {} for name in ("grouped", "hanging", "answered", "paused", "ops", "anna", "bob", "eve")
    },
    "escalations": {
        "page": {"steps": [{"wait": f"{STEP:g}s", "notify": name} for name in ("anna", "bob", "eve")]},
    },
    "routes": [
        {"match": {"alertname": "Grouped"}, "receivers": ["grouped"], "group_wait": f"{GROUP_WAIT:g}s"},
        {"match": {"alertname": "Hanging"}, "receivers": ["hanging"], **AT_ONCE},
        {"match": {"alertname": "Answered"}, "receivers": ["answered"], **AT_ONCE},
        {"match": {"alertname": "Paused"}, "receivers": ["paused"], **AT_ONCE},
        {"match": {"alertname": "Paged"}, "receivers": ["ops"], "escalation": "page", **AT_ONCE},
    ],
}
NAMES = ("Grouped", "Hanging", "Paused", "Paged")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def arrived(receiver: Receiver, name: str) -> list[Received]:
    return [request for request in receiver.requests if request.path == f"/{name}"]


def keys(receiver: Receiver, name: str) -> set[str]:
    return {request.headers["Idempotency-Key"] for request in arrived(receiver, name)}


async def test_a_kill_at_every_step_of_a_delivery_repeats_no_more_than_what_was_under_way(
    tmp_path: Path, receiver: Receiver
) -> None:
    """Five stories side by side, as one kill hits them all."""
    async with Live(tmp_path, receiver, CONFIG) as live:

        def at_first(request: Received) -> Answer:
            if request.path == "/hanging":
                return Answer(delay=60.0)
            if request.path == "/paused":
                return Answer(status=429, headers={"Retry-After": f"{PAUSE:g}"})
            if request.path == "/answered":  # its answer is on the way, and will be read by nobody
                os.kill(live.watch.pid, signal.SIGSTOP)
            return Answer()

        receiver.usual = at_first
        began = time.time()
        live.raise_signals([fires(name, began) for name in NAMES], began)
        (first,) = await eventually(lambda: arrived(receiver, "paused"))
        await eventually(lambda: arrived(receiver, "hanging") and arrived(receiver, "ops"))
        await eventually(lambda: [q.status for q in live.queued("anna")] == ["delivered"])
        live.raise_signals([fires("Answered", began)], time.time())
        await eventually(lambda: arrived(receiver, "answered"))
        await asyncio.sleep(0.1)
        live.watch.kill()
        assert arrived(receiver, "grouped") == arrived(receiver, "bob") == []

        receiver.usual = lambda _: Answer()
        await live.start()
        back = time.time()
        for name in CONFIG["receivers"]:
            await eventually(lambda name=name: [q.status for q in live.queued(name)] == ["delivered"])  # type: ignore[misc]  # all names are text
        counts = {name: len(arrived(receiver, name)) for name in CONFIG["receivers"]}
        under_way = {"hanging": 2, "answered": 2, "paused": 2}
        assert counts == dict.fromkeys(CONFIG["receivers"], 1) | under_way
        assert all(len(keys(receiver, name)) == 1 for name in CONFIG["receivers"])
        assert arrived(receiver, "paused")[1].arrived_at - first.arrived_at > PAUSE - 0.1
        pages = [arrived(receiver, name)[0].arrived_at for name in ("anna", "bob", "eve")]
        due = [began + STEP, max(began + 2 * STEP, back), max(began + 3 * STEP, back)]
        late = [page - at for page, at in zip(pages, due, strict=True)]
        assert all(-0.1 < by < STEP / 2 for by in late), late


async def test_a_step_that_came_due_while_it_was_down_is_taken_at_once_and_the_next_one_at_its_time(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with Live(tmp_path, receiver, CONFIG) as live:
        began = time.time()
        live.raise_signals([fires("Paged", began)], began)
        await eventually(lambda: [q.status for q in live.queued("ops")] == ["delivered"])
        live.watch.kill()
        await asyncio.sleep(max(0.0, began + STEP + 0.5 - time.time()))
        await live.start()
        back = time.time()
        (page,) = await eventually(lambda: arrived(receiver, "anna"))
        assert page.arrived_at - back < 1.0
        (second,) = await eventually(lambda: arrived(receiver, "bob"))
        assert second.arrived_at - began > 2 * STEP - 0.1
        assert len(arrived(receiver, "ops")) == len(arrived(receiver, "anna")) == 1
