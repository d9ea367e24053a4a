"""S5: "cannot see" is not "late". A destination that does not answer holds its deadlines."""

import asyncio
import time

import pytest

from tests.support.gate import Gate
from tests.support.world import SECRET, World

pytestmark = pytest.mark.anvil

SETTLED = 7.0
"""Seconds of sight after which an overdue step would have been reported."""

NETWORK = 'blind_after = "3s"'


async def until_blind(world: World) -> None:
    [blind] = await world.until_notified(1, "NetworkBlind", "firing")
    assert blind.labels["network"] == "optimism"


async def assert_only_blindness_was_notified(world: World) -> None:
    await world.until_notified(1, "NetworkBlind", "resolved")
    await asyncio.sleep(SETTLED)  # nothing happens: there is no condition to wait for
    assert [(t.name, t.status) for t in world.notified] == [
        ("NetworkBlind", "firing"),
        ("NetworkBlind", "resolved"),
    ]


async def test_a_step_in_time_that_nobody_could_see_raises_nothing(world: World) -> None:
    async with Gate(world.optimism.port) as gate:
        urls = [f"ws://127.0.0.1:{gate.port}/?key={SECRET}"]
        world.configure(within="4s", network=NETWORK, optimism_rpc=urls).start()
        await world.until_running()
        transfer = world.open()
        shut_at = time.time()
        gate.shut()
        world.execute(transfer)
        world.reconcile(transfer)
        await until_blind(world)
        await asyncio.sleep(max(0.0, shut_at + 6 - time.time()))
        gate.open()
        await assert_only_blindness_was_notified(world)
        [shown] = await world.watch.read("transfers")
        assert shown["status"] == "complete"


async def test_a_frozen_node_whose_next_block_is_in_time_raises_nothing(world: World) -> None:
    async with Gate(world.optimism.port) as gate:
        urls = [f"ws://127.0.0.1:{gate.port}/?key={SECRET}"]
        world.configure(within="4s", network=NETWORK, optimism_rpc=urls).start()
        await world.until_running()
        world.optimism.freeze()
        transfer = world.open()
        opened_at = int(world.ethereum.block()["timestamp"], 16)
        await until_blind(world)
        await asyncio.sleep(max(0.0, opened_at + 8 - time.time()))  # overdue, could it be seen
        gate.shut()  # so that the block is there before it answers
        world.optimism.thaw()
        world.optimism.set_next_timestamp(opened_at + 3)
        with world.optimism.one_block():
            world.execute(transfer)
            world.reconcile(transfer)
        gate.open()
        await assert_only_blindness_was_notified(world)


async def test_a_step_that_is_missing_after_the_node_is_back_is_reported(world: World) -> None:
    world.configure(within="2s", network=NETWORK).start()
    await world.until_running()
    world.optimism.freeze()
    world.open()
    await world.until_notified(1, "NetworkBlind", "firing")
    assert not world.notified_of("TransferOverdue")
    world.optimism.thaw()
    await world.until_notified(2, "TransferOverdue", "firing")


async def test_a_quiet_network_is_not_blind(world: World) -> None:
    world.configure(network='blind_after = "4s"').start()
    await world.until_running()
    begun = time.time()
    # it is looked at more often than a WebSocket would make it: else it would be blind meanwhile
    await world.until(
        "status", holds=lambda found: all((n["seen_until"] or 0) > begun + 5 for n in found["networks"])
    )
    assert world.notified == []
