"""What receivers do to deliveries, and kills at every step of one: nothing is lost, firing comes before resolved (S6)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chainwatch import AlertManager
from chainwatch.alerting.delivery.retry import OPENS_AFTER
from tests.support.notified import notified
from tests.support.process import ROOT
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import PATIENCE, eventually

PROGRAM = """
import sys, threading
from chainwatch import AlertManager

url, hook, count = sys.argv[1:]
alerts = AlertManager.from_config({
    "store": {"url": url},
    "receivers": {"hook": {"provider": "webhook", "url": hook, "allow_private": True}},
    "routes": [{"receivers": ["hook"], "group_by": ["..."], "group_wait": "0s", "group_interval": "50ms"}],
})
prints = alerts.submit([{"labels": {"alertname": f"Alert{n}"}} for n in range(int(count))])
print("accepted", flush=True)
for one in prints:
    alerts.resolve(one)
print("resolved", flush=True)
threading.Event().wait()
"""


def config(folder: Path, url: str, **receiver: Any) -> dict[str, Any]:
    return {
        "store": {"url": f"sqlite:///{folder}/alerts.db"},
        "receivers": {"hook": {"provider": "webhook", "url": url, "allow_private": True, **receiver}},
        "routes": [
            {"receivers": ["hook"], "group_by": ["..."], "group_wait": "0s", "group_interval": "50ms"}
        ],
    }


def statuses(requests: Sequence[Received], name: str = "Down") -> list[str]:
    return [alert.status for alert in notified(requests) if alert.name == name]


@pytest.mark.parametrize(
    "fault",
    [
        Answer(status=429),
        Answer(status=429, headers={"Retry-After": "1"}),
        Answer(status=500),
        Answer(status=503),
        Answer(status=404),
        Answer(status=302, headers={"Location": "/elsewhere"}),
        Answer(delay=1.0),
        Answer(status=503, drop=True),
    ],
    ids=["429", "429 with Retry-After", "500", "503", "404", "redirect", "slow", "half an error"],
)
async def test_what_a_receiver_did_not_take_is_sent_again_with_the_same_key(
    tmp_path: Path, fault: Answer
) -> None:
    async with Receiver() as hook:
        hook.script.append(fault)
        async with AlertManager.from_config(config(tmp_path, hook.url, timeout="300ms")) as alerts:
            await alerts.submit_async([{"labels": {"alertname": "Down"}}])
            first, second, *_ = await hook.wait_for(2)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


async def test_an_answer_broken_off_after_200_counts_as_taken(tmp_path: Path) -> None:
    async with Receiver() as hook:
        hook.script.append(Answer(drop=True))
        async with AlertManager.from_config(config(tmp_path, hook.url)) as alerts:
            await alerts.submit_async([{"labels": {"alertname": "Down"}}])
            await hook.wait_for(1)
            assert await alerts.close_async(PATIENCE)
    assert len(hook.requests) == 1


async def test_a_receiver_that_was_down_hears_of_what_came_and_went(tmp_path: Path) -> None:
    hook = Receiver()  # nobody listens yet
    async with AlertManager.from_config(config(tmp_path, hook.url)) as alerts:
        prints = await alerts.submit_async([{"labels": {"alertname": f"Alert{n}"}} for n in range(3)])
        for one in prints:
            await alerts.resolve_async(one)
        await eventually(lambda: alerts.get_alert_stats()["notifications"] == {"pending": 6})
        async with hook:
            await eventually(lambda: alerts.get_alert_stats()["notifications"].get("pending") is None)
    assert [statuses(hook.requests, f"Alert{n}") for n in range(3)] == [["firing", "resolved"]] * 3


async def test_a_receiver_that_refuses_a_storm_is_soon_left_alone(tmp_path: Path) -> None:
    async with Receiver(lambda _: Answer(status=429)) as hook:
        alerts = AlertManager.from_config(config(tmp_path, hook.url))
        await alerts.submit_async([{"labels": {"alertname": f"Alert{n}"}} for n in range(100)])
        await hook.wait_for(OPENS_AFTER + 2)  # two probes: some three seconds
        assert not await alerts.close_async(0)
    assert len(hook.requests) <= 10


async def test_a_slow_receiver_delays_no_other(tmp_path: Path) -> None:
    async with Receiver(lambda _: Answer(delay=600)) as slow, Receiver() as quick:
        settings = config(tmp_path, slow.url, timeout="5m")
        settings["receivers"]["quick"] = {"provider": "webhook", "url": quick.url, "allow_private": True}
        settings["routes"][0]["receivers"].append("quick")
        async with AlertManager.from_config(settings) as alerts:
            await alerts.submit_async([{"labels": {"alertname": f"Alert{n}"}} for n in range(50)])
            received = await quick.wait_for(50)
            assert {alert.name for alert in notified(received)} == {f"Alert{n}" for n in range(50)}
            assert len(slow.requests) <= OPENS_AFTER
            await alerts.close_async(0)


@pytest.mark.parametrize("step", ["accepted", "sending", "answered", "resolved"])
async def test_nothing_is_lost_by_a_kill(tmp_path: Path, step: str) -> None:
    """Once a batch was accepted; as a request arrives; as one was answered; once all has ended."""
    count = 40
    child: subprocess.Popen[str] | None = None

    def answer(_: Received) -> Answer:
        if child is not None and step == "sending" and len(hook.requests) == 9:
            child.kill()
        if child is not None and step == "answered" and len(hook.requests) == 9:
            asyncio.get_running_loop().call_later(0.001, child.kill)
        return Answer()

    hook = Receiver(answer)
    async with hook:
        url = f"sqlite:///{tmp_path}/alerts.db"
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, hook.url, str(count)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = iter(child.stdout.readline, "")
        assert await asyncio.to_thread(next, lines) == "accepted\n"
        if step == "resolved":
            assert await asyncio.to_thread(next, lines) == "resolved\n"
        if step in ("accepted", "resolved"):
            child.kill()
        await asyncio.to_thread(child.wait, PATIENCE)
        child.stdout.close()
        child = None
        async with AlertManager.from_config(config(tmp_path, hook.url), resolve_timeout=1) as alerts:
            for alert in alerts.get_recent_alerts(60):
                await alerts.resolve_async(alert.fingerprint)
            assert await alerts.close_async(PATIENCE)
    for n in range(count):
        assert statuses(hook.requests, f"Alert{n}") == ["firing", "resolved"]
