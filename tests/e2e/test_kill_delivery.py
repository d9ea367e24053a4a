"""S2, S6: `kill -9` in the middle of a delivery, of a pause and of an escalation; a restart goes on at the same step."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import Live, fires
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually

AGO = 600.0
"""Seconds for which alerts have fired when chainwatch sees them: a wait that began anew would outlast the test."""
AT_ONCE = {"group_wait": "0s", "group_interval": "200ms"}
GROUP_WAIT = AGO + 10
PAUSE = 5.0


def config(*waits: float) -> dict[str, Any]:
    """The configuration in which the steps of an escalation wait so many seconds, each for the one before."""
    steps = [
        {"wait": f"{wait:g}s", "notify": name}
        for wait, name in zip(waits, ("anna", "bob", "eve"), strict=True)
    ]
    return {
        "receivers": {
            name: {} for name in ("grouped", "hanging", "answered", "paused", "ops", "anna", "bob", "eve")
        },
        "escalations": {"page": {"steps": steps}},
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
    waits = (1.0, AGO + 9, 2.0)
    async with Live(tmp_path, receiver, config(*waits)) as live:

        def at_first(request: Received) -> Answer:
            if request.path == "/hanging":
                return Answer(delay=60.0)
            if request.path == "/paused":
                return Answer(status=429, headers={"Retry-After": f"{PAUSE:g}"})
            if request.path == "/answered":  # its answer is on the way, and will be read by nobody
                os.kill(live.watch.pid, signal.SIGSTOP)
            return Answer()

        receiver.usual = at_first
        began = time.time() - AGO
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
        for name in live.settings.receivers:
            await eventually(lambda name=name: [q.status for q in live.queued(name)] == ["delivered"])  # type: ignore[misc]  # all names are text
        counts = {name: len(arrived(receiver, name)) for name in live.settings.receivers}
        under_way = {"hanging": 2, "answered": 2, "paused": 2}
        assert counts == dict.fromkeys(live.settings.receivers, 1) | under_way
        assert all(len(keys(receiver, name)) == 1 for name in live.settings.receivers)
        assert arrived(receiver, "paused")[1].arrived_at - first.arrived_at > PAUSE - 0.1
        due = dict(zip(("anna", "bob", "eve"), accumulate(waits), strict=True)) | {"grouped": GROUP_WAIT}
        early = {name: began + after - arrived(receiver, name)[0].arrived_at for name, after in due.items()}
        assert max(early.values()) < 0.1, early


async def test_a_step_that_came_due_while_it_was_down_is_taken_at_once_and_the_next_one_at_its_time(
    tmp_path: Path, receiver: Receiver
) -> None:
    waits = (AGO + 4, 4.0, AGO)
    async with Live(tmp_path, receiver, config(*waits)) as live:
        began = time.time() - AGO
        live.raise_signals([fires("Paged", began)], began)
        await eventually(lambda: [q.status for q in live.queued("ops")] == ["delivered"])
        live.watch.kill()
        await asyncio.sleep(max(0.0, began + waits[0] + 0.5 - time.time()))
        await live.start()
        await eventually(lambda: arrived(receiver, "anna"))
        (second,) = await eventually(lambda: arrived(receiver, "bob"))
        assert second.arrived_at - began > waits[0] + waits[1] - 0.1
        assert len(arrived(receiver, "ops")) == len(arrived(receiver, "anna")) == 1
