"""A configuration that changes under transfers that are under way: no false alert is sent, and nothing is forgotten."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from chainwatch.demo.bridge import Transfer
from tests.support import connext
from tests.support.process import Chainwatch
from tests.support.world import World

pytestmark = pytest.mark.anvil

ADDRESSES = ("0x" + "11" * 20, "0x" + "22" * 20)
"""Another deployment of the contract, on Ethereum and Optimism."""


def with_another(config: str) -> str:
    """``config`` with a second flow, of the other deployment."""
    contract = config[config.index("[contracts.connext]") : config.index("[flows.connext]")]
    flow = config[config.index("[flows.connext]") : config.index("[receivers.hook]")]
    for known, other in zip((connext.ETHEREUM, connext.OPTIMISM), ADDRESSES, strict=True):
        contract = contract.replace(known.address, other)
    both = (contract + flow).replace("connext]", "second]").replace("flows.connext.", "flows.second.")
    return config + both.replace('contract = "connext"', 'contract = "second"')


def with_more_addresses(config: str) -> str:
    """``config`` with the addresses of the other deployment beside those of the first."""
    for known, other in zip((connext.ETHEREUM, connext.OPTIMISM), ADDRESSES, strict=True):
        config = config.replace(f'"{known.address}"', f'["{known.address}", "{other}"]')
    return config


def without_execute(config: str) -> str:
    """``config`` without the first expected step."""
    begin = config.index("[[flows.connext.expects]]")
    return config[:begin] + config[config.index("[[flows.connext.expects]]", begin + 1) :]


async def change(world: World, config: str, how: str) -> None:
    """Let ``config`` be what is run."""
    watch: Chainwatch = world.watch
    starts = watch.log.count('"running"')
    watch.config.write_text(config)
    if how == "reload":
        watch.send(signal.SIGHUP)
    else:
        watch.kill()
        watch.start()
    await world.until_running(starts + 1)


def open_at(world: World, address: str) -> Transfer:
    transfer = world.transfer()
    world.ethereum.emit(address, *connext.xcalled(transfer))
    return transfer


def pay_out_at(world: World, address: str, transfer: Transfer) -> None:
    world.optimism.emit(address, *connext.executed(transfer))
    world.optimism.emit(address, *connext.reconciled(transfer))


async def until_status(world: World, transfer: Transfer, status: str) -> None:
    key = "0x" + transfer.id.hex()
    await world.until("transfers", "--key", key, holds=lambda found: [t["status"] for t in found] == [status])


@pytest.mark.parametrize("how", ["reload", "restart"])
@pytest.mark.parametrize("changed", [with_another, with_more_addresses])
async def test_what_opened_before_its_contract_was_watched_is_no_orphan(
    world: World, changed: Callable[[str], str], how: str
) -> None:
    for node, address in zip((world.ethereum, world.optimism), ADDRESSES, strict=True):
        node.set_emitter(address)
    watch = world.configure(within="1h")
    watch.start()
    await world.until_running()
    await until_status(world, world.open(), "open")
    early, stuck = open_at(world, ADDRESSES[0]), open_at(world, ADDRESSES[0])
    paid_early = open_at(world, ADDRESSES[0])
    pay_out_at(world, ADDRESSES[1], paid_early)
    await until_status(world, world.open(), "open")  # what came before it has been read

    await change(world, changed(watch.config.read_text()), how)
    pay_out_at(world, ADDRESSES[1], early)

    await until_status(world, early, "complete")
    await until_status(world, paid_early, "complete")
    await until_status(world, stuck, "open")
    await asyncio.sleep(4)  # longer than the orphans' grace
    assert world.notified_of("TransferOrphan") == []
    assert world.notified_of("TransferOverdue") == []


async def test_what_happened_while_a_step_was_not_watched_is_read_again(world: World) -> None:
    watch = world.configure(within="1h")
    whole = watch.config.read_text()
    watch.start()
    await world.until_running()
    before, between = world.open(), world.open()
    await until_status(world, before, "open")

    await change(world, without_execute(whole), "reload")
    for transfer in (before, between):
        world.execute(transfer)
    last = world.open()
    await until_status(world, last, "open")
    await change(world, whole.replace('within = "1h"', 'within = "1s"', 1), "reload")
    for transfer in (before, between):
        world.reconcile(transfer)

    await until_status(world, before, "complete")
    await until_status(world, between, "complete")
    await world.until_notified(1, "TransferOverdue", "firing")
    keys = {t.labels["transfer"] for t in world.notified_of("TransferOverdue")}
    assert keys == {"0x" + last.id.hex()}
