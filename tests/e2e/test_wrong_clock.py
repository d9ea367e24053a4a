"""A wrong or jumping host clock: nothing is late for it, no delivery waits for it, and an alert reports it (S5)."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.receiver import Answer
from tests.support.world import FAST, World, answer
from tests.support.wrong_clock import WrongClock

pytestmark = pytest.mark.anvil

ON_DEMAND = 'blind_after = "30s"'
SLOTS = 'blind_after = "30s"\nblock_time = "1s"'


@pytest.mark.parametrize(
    ("ahead", "network"), [(600, ON_DEMAND), (-3600, SLOTS)], ids=["600 on demand", "-3600 slots"]
)
async def test_a_clock_that_is_wrong_makes_nothing_late_and_hides_nothing_S5(
    world: World, tmp_path: Path, ahead: int, network: str
) -> None:
    clock = WrongClock(tmp_path, ahead)
    watch = world.configure(within="10s", network=network, endpoints=["http"])
    watch.environ |= clock.environ
    if network == SLOTS:
        for node in (world.ethereum, world.optimism):
            node.rpc("evm_setIntervalMining", 1)
    watch.start()
    await world.until_notified(1, "ClockSkew", "firing")
    in_time, late = world.open(), world.open()
    world.execute(in_time)
    world.reconcile(in_time)
    overdue = await world.until_notified(2, "TransferOverdue", "firing")
    assert {alert.labels["transfer"] for alert in overdue} == {"0x" + late.id.hex()}
    names = {alert.name for alert in world.notified}
    assert names == {"ClockSkew", "TransferOverdue"}


@pytest.mark.parametrize("jump", [-3600, 3600])
async def test_a_clock_that_jumps_and_comes_back_while_a_receiver_is_down_is_reported_and_holds_no_delivery(
    world: World, tmp_path: Path, jump: int
) -> None:
    clock = WrongClock(tmp_path)
    watch = world.configure(within="2s", network=ON_DEMAND, endpoints=["http"])
    watch.environ |= clock.environ
    down = True
    world.receiver.usual = lambda request: Answer(503) if down else answer(request)
    late = {"0x" + world.open().id.hex()}
    watch.start()
    await world.until_notified(1, "TransferOverdue", "firing")  # it was sent, and refused
    clock.set(jump)
    late.add("0x" + world.open().id.hex())
    await world.until(
        "alerts", holds=lambda found: any(a["labels"]["alertname"] == "ClockSkew" for a in found)
    )
    clock.set(0)
    down = False
    world.receiver.requests.clear()
    overdue = await world.until_notified(4, "TransferOverdue", "firing")
    assert {alert.labels["transfer"] for alert in overdue} == late
    await world.until_notified(1, "ClockSkew", "resolved")
    assert len(world.notified_of("ClockSkew", "resolved")) == 1


@pytest.mark.parametrize("ahead", [3600, -3600])
async def test_after_a_clock_that_was_wrong_from_the_start_is_set_right_waits_keep_their_length(
    world: World, tmp_path: Path, ahead: int
) -> None:
    clock = WrongClock(tmp_path, ahead)
    patient = FAST.replace('group_wait = "0s"', 'group_wait = "8s"')
    watch = world.configure(within="1s", network=ON_DEMAND, endpoints=["http"], route=patient)
    watch.environ |= clock.environ
    watch.start()
    await world.until_running()
    opened_at = time.monotonic()
    world.open()
    await world.until(
        "alerts", holds=lambda found: any(a["labels"]["alertname"] == "TransferOverdue" for a in found)
    )
    raised_by = time.monotonic()
    clock.set(0)
    await world.until_notified(2, "TransferOverdue", "firing")
    notified_at = time.monotonic()
    assert notified_at - opened_at > 9, "overdue after a second at least, then eight seconds"
    assert notified_at - raised_by < 13.5, "not at half speed"
    await asyncio.sleep(2)
    assert len(world.notified_of("TransferOverdue")) == 2, "execute and reconcile, once each"
    assert "the host's clock was set" in watch.log


async def test_blocks_from_the_future_of_a_single_endpoint_make_nothing_late_S5(world: World) -> None:
    world.configure(within="60s", network=SLOTS, endpoints=["http"]).start()
    for node in (world.ethereum, world.optimism):
        node.rpc("evm_setIntervalMining", 1)
    await world.until_running()
    world.open()
    await world.until("transfers", holds=lambda found: [t["status"] for t in found] == ["open"])
    await world.until("status", holds=lambda found: all(n["state"] == "live" for n in found["networks"]))
    world.optimism.increase_time(3600)
    await world.until(
        "status",
        holds=lambda found: any("in the future" in (n["error"] or "") for n in found["networks"]),
    )
    await asyncio.sleep(3)
    assert world.notified_of("TransferOverdue") == []
