"""S4: what a reorg takes away stops counting, on the way to the webhook too."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.anvil import Anvil
from tests.support.world import World

pytestmark = pytest.mark.anvil

Undo = Callable[[Anvil], None]


def reorg(node: Anvil) -> None:
    """Replaces the newest block, as a node does that finds a better chain."""
    node.reorg(1)
    node.set_clock()


class Revert:
    """The same by going back to a snapshot: the chain is shorter for a moment, then another one of the same height."""

    def __init__(self, node: Anvil) -> None:
        self._snapshot = node.rpc("evm_snapshot")

    def __call__(self, node: Anvil) -> None:
        node.rpc("evm_revert", self._snapshot)
        node.set_clock()
        node.mine()


@pytest.fixture(params=["reorg", "revert"])
def undo(request: pytest.FixtureRequest) -> Callable[[Anvil], Undo]:
    """To be called before the block that is to be undone; gives what undoes it."""
    return Revert if request.param == "revert" else lambda node: reorg


async def test_a_deadline_lives_again_when_its_step_is_undone(
    world: World, undo: Callable[[Anvil], Undo]
) -> None:
    world.configure(within="3s").start()
    transfer = world.open()
    world.reconcile(transfer)
    undo_last = undo(world.optimism)
    world.execute(transfer)
    await world.until("transfers", holds=lambda found: [t["status"] for t in found] == ["complete"])
    undo_last(world.optimism)

    [alert] = await world.until_notified(1, "TransferOverdue", "firing")
    assert alert.labels["step"] == "execute"
    [shown] = await world.watch.read("transfers")
    assert shown["status"] == "overdue"
    assert alert.starts_at == shown["opened_at"] + 3

    world.execute(transfer)
    [ended] = await world.until_notified(1, "TransferOverdue", "resolved")
    assert ended.fingerprint == alert.fingerprint
    await world.until_all_notified()
    assert len(world.notified) == 2


async def test_an_alert_ends_when_the_opening_step_is_undone(
    world: World, undo: Callable[[Anvil], Undo]
) -> None:
    world.configure(within="1s").start()
    undo_last = undo(world.ethereum)
    world.open()
    await world.until_notified(2, "TransferOverdue", "firing")
    undo_last(world.ethereum)
    await world.until_notified(2, "TransferOverdue", "resolved")
    await world.until_all_notified()
    assert len(world.notified) == 4
    assert {alert["reason"] for alert in await world.watch.read("alerts")} >= {"reorg"}
    assert await world.watch.read("transfers") == []


async def test_a_step_that_moves_to_another_block_is_no_news(world: World) -> None:
    world.configure(within="60s").start()
    transfer = world.open()
    world.execute(transfer)
    world.reconcile(transfer)
    await world.until("transfers", holds=lambda found: [t["status"] for t in found] == ["complete"])
    world.optimism.reorg(2)
    world.reconcile(transfer)
    world.execute(transfer)
    places = {"xcall": 1, "reconcile": 3, "execute": 4}
    await world.until("transfers", holds=lambda found: [blocks(t) for t in found] == [places])
    assert world.notified == []


def blocks(transfer: dict[str, Any]) -> dict[str, int]:
    return {name: step["block"] for name, step in transfer["steps"].items()}
