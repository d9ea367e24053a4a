"""SIGHUP: `chainwatch run` reads its configuration again; nothing is lost, and nothing sent twice."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chainwatch.demo import scenario
from chainwatch.demo.chain import DemoChain
from tests.support.live import Live, fires
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

AGO = 600
"""Seconds for which alerts have fired when chainwatch sees them: a wait that began anew would outlast the test."""
AT_ONCE = {"group_wait": "0s", "group_interval": "200ms"}
CONFIG: dict[str, Any] = {
    "receivers": {"ops": {}, "gone": {}},
    "escalations": {"later": {"steps": [{"wait": f"{AGO + 4}s", "notify": "ops"}]}},
    "routes": [
        {"match": {"alertname": "Slow"}, "receivers": ["ops"], "group_wait": f"{AGO + 4}s"},
        {"match": {"alertname": "Waiting"}, "receivers": ["gone"], "escalation": "later", **AT_ONCE},
        {"receivers": ["ops"], **AT_ONCE},
    ],
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def reloaded(live: Live, config: dict[str, Any]) -> None:
    """Write ``config`` and have it read."""
    runs = live.watch.log.count('"running"')
    live.configure(config)
    live.watch.send(signal.SIGHUP)
    await eventually(lambda: live.watch.log.count('"running"') > runs)


def refusals(live: Live, number: int) -> bool:
    return live.watch.log.count("the configuration is refused") == number


async def test_receivers_and_routes_change_and_what_was_waiting_is_reported_on_time_once(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with Live(tmp_path, receiver, CONFIG) as live:
        began = time.time() - AGO
        live.raise_signals([fires(name, began) for name in ("Plain", "Slow", "Waiting")], began)
        await eventually(lambda: live.notified("ops", "Plain") and live.notified("gone", "Waiting"))

        changed = deepcopy(CONFIG)
        changed["receivers"] = {"ops": {}, "new": {}}
        changed["routes"][1]["receivers"] = ["ops"]
        changed["routes"][2]["receivers"] = ["new"]
        await reloaded(live, changed)
        await eventually(lambda: live.notified("new", "Plain"))  # who is added hears of what fires
        (slow,) = await eventually(lambda: live.notified("ops", "Slow"))
        assert slow.arrived_at - began > AGO + 3.9  # its group waited on over the reload
        await eventually(
            lambda: len(live.notified("ops", "Waiting")) == 2
        )  # by its route, and by the escalation
        live.raise_signals([fires("Fresh", began)], time.time())
        await eventually(lambda: live.notified("new", "Fresh"))
        assert [len(live.notified("ops", name)) for name in ("Plain", "Slow", "Fresh")] == [1, 1, 0]
        assert len(live.notified("gone", "Waiting")) == 1
        assert live.watch.is_running
        assert "Traceback" not in live.watch.log


async def test_a_broken_configuration_is_refused_and_the_one_before_goes_on(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with Live(tmp_path, receiver, CONFIG) as live:
        good = live.watch.config.read_text()
        elsewhere = good.replace("live.db", "other.db")
        for refused, bad in enumerate((good + "routes = 7\n", good + "[nonsense]\n", elsewhere), start=1):
            live.watch.config.write_text(bad)
            live.watch.send(signal.SIGHUP)
            await eventually(partial(refusals, live, refused))
        assert "unknown" in live.watch.log  # what is wrong is reported
        assert "restart chainwatch to use another database" in live.watch.log
        live.raise_signals([fires("Plain", time.time())], time.time())
        await eventually(lambda: live.notified("ops", "Plain"))
        assert live.watch.log.count('"running"') == 1
        assert await live.watch.stop() == 0


async def test_what_waits_for_a_receiver_that_is_gone_is_kept_visible_and_sent_when_it_is_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with Live(tmp_path, receiver, CONFIG) as live:
        await receiver.stop()
        began = time.time()
        live.raise_signals([fires("Waiting", began)], began)
        await eventually(lambda: [q.attempts > 0 for q in live.queued("gone")] == [True])
        without = deepcopy(CONFIG)
        del without["receivers"]["gone"]
        without["routes"][1]["receivers"] = ["ops"]
        await reloaded(live, without)
        assert '"receiver": "gone"' in live.watch.log
        assert [q["status"] for q in await live.watch.read("queue", "list", "--receiver", "gone")] == [
            "pending"
        ]
        await receiver.start()
        await eventually(lambda: live.notified("ops", "Waiting"))
        assert live.notified("gone", "Waiting") == []
        await reloaded(live, CONFIG)
        await eventually(lambda: live.notified("gone", "Waiting"))
        await eventually(lambda: [q.status for q in live.queued("gone")] == ["delivered"])


async def test_a_changed_deadline_holds_for_transfers_that_are_under_way(
    tmp_path: Path, receiver: Receiver
) -> None:
    alpha, beta = DemoChain(900_001, "alpha"), DemoChain(900_002, "beta")
    await asyncio.gather(alpha.start(), beta.start())
    addresses = {
        "alpha": await alpha.deploy_bridge(scenario.ALPHA_DOMAIN),
        "beta": await beta.deploy_bridge(scenario.BETA_DOMAIN),
    }
    patient = scenario.config(alpha, beta, addresses, tmp_path / "live.db")
    patient["receivers"] = {"ops": {}}
    patient["routes"][0]["receivers"] = ["ops"]
    patient["flows"]["bridge"]["expects"][0]["within"] = "1h"
    async with AsyncExitStack() as ending:
        ending.push_async_callback(alpha.stop)
        ending.push_async_callback(beta.stop)
        live = await ending.enter_async_context(Live(tmp_path, receiver, patient))
        await alpha.xcall(scenario.BETA_DOMAIN, 7)
        while not await live.watch.read("transfers"):
            pass
        assert live.notified("ops", "TransferOverdue") == []
        hasty = deepcopy(patient)
        hasty["flows"]["bridge"]["expects"][0]["within"] = "1s"
        await reloaded(live, hasty)
        (late,) = await eventually(lambda: live.notified("ops", "TransferOverdue"))
        assert late.status == "firing"
        await reloaded(live, patient)
        await eventually(lambda: len(live.notified("ops", "TransferOverdue")) == 2)
        assert [t.status for t in live.notified("ops", "TransferOverdue")] == ["firing", "resolved"]
