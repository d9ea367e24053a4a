"""S5: blocks whose times jump, stand still, or were made up after an outage make nothing late that is in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.anvil import Anvil
from tests.support.world import World

pytestmark = pytest.mark.anvil

SLOTS = 'blind_after = "30s"\nblock_time = "2s"'
WITHIN = 4
AT_REST = 3.0
"""Seconds after which what is overdue would have been notified."""


class Sequencer:
    """Makes the blocks of a node: one every two seconds, as long as it runs."""

    def __init__(self, node: Anvil) -> None:
        self._node = node
        self._making: asyncio.Task[None] | None = None

    @property
    def head_time(self) -> int:
        return int(self._node.block()["timestamp"], 16)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        making = asyncio.create_task(self._make())
        try:
            yield
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

    async def _make(self) -> None:
        while True:
            self.mine(max(int(time.time()), self.head_time + 1))
            await asyncio.sleep(2 - time.time() % 2)

    def mine(self, timestamp: int) -> None:
        self._node.set_next_timestamp(timestamp)
        self._node.mine()


async def test_after_an_outage_a_step_in_a_backdated_block_is_in_time_and_a_missing_one_is_overdue_soon(
    world: World,
) -> None:
    ethereum, optimism = Sequencer(world.ethereum), Sequencer(world.optimism)
    world.configure(within=f"{WITHIN}s", network=SLOTS, endpoints=["http"]).start()
    async with ethereum.running():
        async with optimism.running():
            await world.until_running()
            await world.until(
                "status", holds=lambda found: all(n["state"] == "live" for n in found["networks"])
            )
        in_time, late = world.open(), world.open()
        opened_at = int(world.ethereum.block()["timestamp"], 16)
        await asyncio.sleep(8)  # the outage: both deadlines pass by the clock
        assert world.notified_of("TransferOverdue") == []
        backdated = max(optimism.head_time + 2, opened_at)
        world.optimism.set_next_timestamp(backdated)
        world.execute(in_time)
        world.optimism.set_next_timestamp(backdated + 1)
        world.reconcile(in_time)
        assert optimism.head_time <= opened_at + WITHIN
        async with optimism.running():
            overdue = await world.until_notified(2, "TransferOverdue", "firing")
            await asyncio.sleep(AT_REST)
    assert {alert.labels["transfer"] for alert in overdue} == {"0x" + late.id.hex()}
    assert {(alert.name, alert.status) for alert in world.notified} == {("TransferOverdue", "firing")}
