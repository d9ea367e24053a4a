"""Endpoints that are wrong or dead: reported loudly, and nothing else suffers."""

import pytest

from tests.support import connext
from tests.support.ports import free_port
from tests.support.world import SECRET, World

pytestmark = pytest.mark.anvil


async def test_a_network_with_the_wrong_chain_id_is_refused_and_the_others_are_followed(world: World) -> None:
    watch = world.configure(ethereum_rpc=world.urls(world.optimism), network='blind_after = "5s"')
    watch.start()
    world.execute(world.transfer())
    [alert] = await world.until_notified(1, "NetworkBlind", "firing")
    assert alert.labels["network"] == "ethereum"
    wrong = "serves chain 10, but chain_id 1 is configured"
    assert wrong in alert.annotations["description"]
    assert '"network not started"' in watch.log
    [shown] = await world.until("transfers", holds=lambda found: len(found) == 1)
    assert list(shown["steps"]) == ["execute"]
    ethereum, optimism = (await watch.read("status"))["networks"]
    assert (ethereum["state"], ethereum["checkpoint"]) == ("blind", None)
    assert wrong in ethereum["error"]
    assert optimism["checkpoint"]["number"] == 1
    assert watch.is_running


async def test_the_next_endpoint_takes_over_from_dead_and_wrong_ones(world: World) -> None:
    dead = f"http://127.0.0.1:{free_port()}/{SECRET}"
    unknown_path = f"{world.ethereum.http_url}/v3/{SECRET}"
    world.configure(
        within="2s",
        ethereum_rpc=[dead, unknown_path, *world.urls(world.optimism), *world.urls(world.ethereum)],
    ).start()
    stuck = world.open()
    alerts = await world.until_notified(2, "TransferOverdue", "firing")
    assert {alert.labels["transfer"] for alert in alerts} == {"0x" + stuck.id.hex()}


async def test_a_node_that_ends_and_comes_back_is_followed_on(world: World) -> None:
    world.optimism.mine()  # a node that ends at block 0 comes back with another one
    world.configure(within="60s").start()
    first = world.open()
    await world.until("transfers", holds=lambda found: len(found) == 1)
    world.optimism.stop()
    world.optimism.start()
    for transfer in (first, world.open()):
        world.execute(transfer)
        world.reconcile(transfer)
    await world.until("transfers", holds=lambda found: [t["status"] for t in found] == ["complete"] * 2)
    assert world.notified == []


async def test_a_log_that_does_not_decode_is_reported_once_and_stops_nothing(world: World) -> None:
    world.configure(within="2s").start()
    good = connext.xcalled(world.transfer())
    for cut in (64, 32):
        world.ethereum.emit(connext.ETHEREUM.address, good.topics, good.data[:-cut])
    stuck = world.open()
    alerts = await world.until_notified(2, "TransferOverdue", "firing")
    assert {alert.labels["transfer"] for alert in alerts} == {"0x" + stuck.id.hex()}
    await world.until_all_notified()
    [undecodable] = [alert for alert in world.notified if alert.name != "TransferOverdue"]
    assert undecodable.name == "LogUndecodable"
    assert undecodable.labels["severity"] == "P2"
    assert (await world.watch.read("status"))["undecoded_logs"] == 2
