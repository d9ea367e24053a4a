"""What happens on the chains while the process is down is notified after it is up again, once, with the chain's times."""

import signal
import sqlite3
import time
from contextlib import closing

import pytest

from tests.support.receiver import Answer
from tests.support.waiting import eventually
from tests.support.world import World, answer

pytestmark = pytest.mark.anvil

WITHIN = 10
"""Seconds, in which a slow machine too reads two transfers and stops."""


async def until_past(moment: float) -> None:
    await eventually(lambda: time.time() > moment)


async def test_deadlines_and_steps_of_the_down_time_are_reported_once_with_their_chain_times(
    world: World,
) -> None:
    watch = world.configure(within=f"{WITHIN}s")
    watch.start()
    await world.until_running()
    stuck, late = world.open(), world.open()
    for transfer in (stuck, late):
        world.reconcile(transfer)
    with closing(
        sqlite3.connect(watch.folder / "chainwatch.db")
    ) as database:  # at once: a command takes seconds
        await eventually(lambda: database.execute("SELECT count(*) FROM logs").fetchone() == (4,))
    assert await watch.stop() == 0
    opened_at = int(world.ethereum.block()["timestamp"], 16)
    await until_past(opened_at + WITHIN + 2)
    world.execute(late)
    paid_at = int(world.optimism.block()["timestamp"], 16)
    assert world.notified == []

    watch.start()
    await world.until_notified(2, "TransferOverdue", "firing")
    [ended] = await world.until_notified(1, "TransferOverdue", "resolved")
    assert ended.labels["transfer"] == "0x" + late.id.hex()
    assert ended.ends_at == paid_at
    assert await watch.stop() == 0
    watch.start()
    await world.until_running(3)
    await world.until_all_notified()

    by_key = {
        "0x" + t.id.hex(): [a.status for a in world.notified if a.labels["transfer"] == "0x" + t.id.hex()]
        for t in (stuck, late)
    }
    assert by_key == {"0x" + stuck.id.hex(): ["firing"], "0x" + late.id.hex(): ["firing", "resolved"]}
    due = {
        t["key"]: d["due_at"]
        for t in await watch.read("transfers")
        for d in t["deadlines"]
        if d["step"] == "execute"
    }
    assert {alert.labels["transfer"]: alert.starts_at for alert in world.notified} == due


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
async def test_it_ends_in_time_while_deliveries_hang_and_loses_nothing(
    world: World, how: signal.Signals
) -> None:
    world.receiver.usual = lambda _: Answer(delay=600)
    watch = world.configure(within="1s")
    patient = 'provider = "webhook"\ntimeout = "10m"'
    watch.config.write_text(watch.config.read_text().replace('provider = "webhook"', patient))
    watch.start()
    world.open()
    await eventually(lambda: len(world.receiver.requests) >= 2)
    assert await watch.stop(how) == 0

    world.receiver.requests.clear()
    world.receiver.usual = answer
    watch.start()
    alerts = await world.until_notified(2, "TransferOverdue", "firing")
    assert {alert.labels["step"] for alert in alerts} == {"execute", "reconcile"}


async def test_it_ends_in_time_while_no_node_answers(world: World) -> None:
    watch = world.configure(network='request_timeout = "10m"')
    watch.start()
    await world.until_running()
    world.ethereum.freeze()
    world.optimism.freeze()
    assert await watch.stop() == 0
