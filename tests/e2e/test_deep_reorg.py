"""A reorg deeper than what is kept: that network halts and says so, the others go on, and an operator takes it back."""

import pytest

from tests.support.world import World

pytestmark = pytest.mark.anvil

WINDOW = 2
DEPTH = 4
NETWORK = f'reorg_window = {WINDOW}\nblind_after = "5s"'


async def test_a_network_is_halted_by_a_deep_reorg_until_it_is_rewound_S4_S8(world: World) -> None:
    watch = world.configure(within="6s", network=NETWORK)
    watch.start()
    kept, moved, lost = world.open(), world.open(), world.open()
    for transfer in (kept, moved, lost):
        world.execute(transfer)
        world.reconcile(transfer)
    await world.until("transfers", holds=lambda found: [t["status"] for t in found] == ["complete"] * 3)
    before = world.optimism.height
    await world.until("status", holds=lambda found: found["networks"][1]["checkpoint"]["number"] == before)

    world.optimism.reorg(DEPTH)  # all but the first transfer's two steps
    world.execute(moved)
    world.reconcile(moved)
    world.optimism.set_clock()
    [halted] = await world.until_notified(1, "DeepReorg", "firing")
    assert (halted.labels["network"], halted.labels["severity"]) == ("optimism", "P0")
    assert [network["state"] for network in (await watch.read("status"))["networks"]] == ["live", "halted"]
    assert {t["status"] for t in await watch.read("transfers")} == {"complete"}, (
        "nothing is dropped by guessing"
    )

    late = world.open()  # the other network goes on
    await world.until("transfers", holds=lambda found: len(found) == 4)
    assert watch.is_running
    refused = await watch.command("rewind", "optimism", str(before - DEPTH))
    assert refused.code != 0, "a database that is being written to is left alone"

    await watch.stop()
    wrong = await watch.command("rewind", "optimism", str(before))
    assert (wrong.code, "rewind to an earlier block" in wrong.err) == (1, True)
    done = await watch.command("rewind", "optimism", str(before - DEPTH))
    assert done.code == 0, done.err
    watch.start()
    await world.until_running(2)

    overdue = await world.until_notified(4, "TransferOverdue", "firing")
    missing = {"0x" + transfer.id.hex() for transfer in (lost, late)}
    assert {alert.labels["transfer"] for alert in overdue} == missing
    found = {t["key"]: t["status"] for t in await watch.read("transfers")}
    complete = {"0x" + transfer.id.hex() for transfer in (kept, moved)}
    assert found == dict.fromkeys(complete, "complete") | dict.fromkeys(missing, "overdue")
    assert [network["state"] for network in (await watch.read("status"))["networks"]] == ["live", "live"]
    await world.until_all_notified()
    assert {alert.name for alert in world.notified} == {"DeepReorg", "TransferOverdue"}
