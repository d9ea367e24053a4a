"""A host's clock that is wrong, or jumps: nothing is called late for it, no delivery waits for it, and it is told."""

import asyncio
from pathlib import Path

import pytest

from tests.support.receiver import Answer
from tests.support.world import World, answer
from tests.support.wrong_clock import WrongClock

pytestmark = pytest.mark.anvil

ON_DEMAND = 'blind_after = "30s"'
SLOTS = 'blind_after = "30s"\nblock_time = "2s"'


@pytest.mark.parametrize("ahead", [-3600, -600, -30, 30, 600, 3600])
@pytest.mark.parametrize("network", [ON_DEMAND, SLOTS], ids=["on demand", "slots"])
async def test_a_clock_that_is_wrong_makes_nothing_late_and_hides_nothing_S5(
    world: World, tmp_path: Path, ahead: int, network: str
) -> None:
    clock = WrongClock(tmp_path, ahead)
    watch = world.configure(within="15s", network=network, endpoints=["http"])
    watch.environ |= clock.environ
    watch.start()
    await world.until_told(1, "ClockSkew", "firing", timeout=60)
    in_time, late = world.open(), world.open()
    await asyncio.sleep(1)
    world.execute(in_time)
    world.reconcile(in_time)
    if network == SLOTS:
        for node in (world.ethereum, world.optimism):
            node.rpc("evm_setIntervalMining", 2)
    overdue = await world.until_told(2, "TransferOverdue", "firing", timeout=40)
    assert {alert.labels["transfer"] for alert in overdue} == {"0x" + late.id.hex()}
    assert all(alert.arrived_at - alert.starts_at < 20 for alert in overdue)
    clock.set(0)
    await world.until_told(1, "ClockSkew", "resolved", timeout=30)
    names = {alert.name for alert in world.told}
    assert names == {"ClockSkew", "TransferOverdue"}


@pytest.mark.parametrize("jump", [-3600, -30, 30, 600, 3600])
async def test_a_clock_that_jumps_and_comes_back_while_a_receiver_is_down_holds_no_delivery(
    world: World, tmp_path: Path, jump: int
) -> None:
    clock = WrongClock(tmp_path)
    watch = world.configure(within="2s", network=ON_DEMAND, endpoints=["http"])
    watch.environ |= clock.environ
    watch.start()
    await world.until_running()
    down = True
    world.receiver.usual = lambda request: Answer(503) if down else answer(request)
    world.open()
    await asyncio.sleep(5)
    clock.set(jump)
    world.open()
    await asyncio.sleep(5)
    clock.set(0)
    await asyncio.sleep(1)
    down = False
    world.receiver.requests.clear()  # they were refused
    await world.until_told(4, "TransferOverdue", "firing", timeout=25)
    await world.until_told(1, "ClockSkew", "resolved", timeout=25)
