"""Flows that read the transaction and its calldata, of a real contract called directly and through another."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chainwatch.demo import bridge
from chainwatch.demo.bridge import Transfer
from chainwatch.support.keccak import keccak256
from tests.support.anvil import Anvil
from tests.support.process import ROOT, Chainwatch
from tests.support.protocols.chain import HOUR, Chain, advance
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.anvil

DOMAINS = (1111, 2222)
TRANSFER_INFO = f"({bridge.TRANSFER_INFO[1:-1]})"
XCALL = keccak256(f"xcall({TRANSFER_INFO},address)".encode())[:4]
PAID = 5
"""Wei that the router's caller sends with it."""

READING = """
call = "xcall"
amount = "call.params.bridgedAmt"
asset = "call.asset"
where = "transaction.value < 4 and {where}"
"""
FLOW = """
[flows.{name}]
contract = "bridge"
key = "transferId"
network_by = "domain"

[flows.{name}.opens]
step = "xcall"
event = "XCalled"
destination = "params.destinationDomain"
{opens}

[[flows.{name}.expects]]
step = "execute"
event = "Executed"
within = "1h"
{execute}
"""
EXECUTE = """
call = "function execute(((uint32 a, uint32 b, uint32 c, address d, address e, bool f, bytes g, uint256 h, address i, \
uint256 amount, uint256 k, uint256 l, bytes32 m) params, address[] routers, bytes[] s, address t, bytes u) args, \
address asset, uint256 paid)"
assert = "call.paid == opening.call.params.bridgedAmt and transaction.from == '{sender}' and transaction.to == emitter"
"""
REST = """
[receivers.console]
provider = "console"

[[routes]]
receivers = ["console"]
"""


class World:
    """A bridge on two chains, and on the first a contract through which it can be called."""

    def __init__(self, folder: Path, chains: list[Chain]) -> None:
        self.folder = folder
        self.chains = chains
        self.starts = {"alpha": 0, "beta": 0}
        self.bridges = [c.deploy(bridge.creation_code(d)) for c, d in zip(chains, DOMAINS, strict=True)]
        code = "6004360360045f375f5f600436035f5f73" + self.bridges[0][2:] + "5af100"
        self.router = chains[0].deploy(bytes.fromhex(f"60{len(code) // 2:02x}80600a5f395ff3" + "00" + code))

    def open(self, amount: int, *, through: str = "", value: int = 0) -> Transfer:
        """Call the bridge with a value, or the router with a selector of its own before the bridge's calldata."""
        chain = self.chains[0]
        wanted = Transfer.wanted(DOMAINS[1], amount, chain.account, "0x" + "ee" * 20)
        data = bridge.xcall(wanted)
        if through:
            sent = self.send(0, self.router, bytes.fromhex(through) + data, value)
        else:
            sent = self.send(0, self.bridges[0], data, value)
        (log,) = [entry for entry in sent["logs"] if entry["address"] == self.bridges[0]]
        return Transfer.opened(log["data"])

    def pay_out(self, transfer: Transfer, amount: int) -> None:
        self.send(1, self.bridges[1], bridge.execute(transfer, amount, []), 0)

    def send(self, index: int, to: str, data: bytes, value: int) -> dict[str, Any]:
        chain = self.chains[index]
        sent = {
            "from": chain.account,
            "to": to,
            "input": "0x" + data.hex(),
            "value": hex(value),
            "gas": hex(3_000_000),
        }
        receipt = chain._mined(chain.anvil.rpc("eth_sendTransaction", sent), "a call")
        self.last = str(receipt["transactionHash"])
        return receipt

    def config(self, opens: str, execute: str, database: str = "chainwatch.db") -> str:
        parts = [f'[store]\nurl = "sqlite:///{self.folder / database}"']
        for name, chain, domain in zip(("alpha", "beta"), self.chains, DOMAINS, strict=True):
            parts.append(
                f'[networks.{name}]\nchain_id = {chain.chain_id}\nrpc = ["{chain.anvil.http_url}"]\n'
                f'block_time = "1s"\nstart_block = {self.starts[name]}\ndomain = {domain}'
            )
        abi = ROOT / "chainwatch" / "demo" / "contract.json"
        alpha, beta = self.bridges
        parts.append(f'[contracts.bridge]\nabi = "{abi}"\naddress = {{ alpha = "{alpha}", beta = "{beta}" }}')
        return "\n".join(parts) + FLOW.format(name="bridge", opens=opens, execute=execute) + REST

    def reading(self, where: str = "true", database: str = "chainwatch.db") -> str:
        execute = EXECUTE.format(sender=self.chains[1].account)
        return self.config(READING.format(where=where), execute, database)


@pytest.fixture
def world(anvil_factory: Callable[..., Anvil], tmp_path: Path) -> World:
    began = str(int(time.time()) - 6 * HOUR)
    nodes = [anvil_factory(chain_id=number, arguments=["--timestamp", began]) for number in (1, 10)]
    return World(tmp_path, [Chain.at(node, account) for account, node in enumerate(nodes)])


def play(world: World) -> dict[str, str]:
    """What happens, and the status by key of what a flow that asks for the selector finds of it."""
    good, short, paying, late = (world.open(n) for n in (10, 20, 30, 50))
    routed = world.open(40, through="12345678")
    world.pay_out(good, 10)
    world.pay_out(short, 19)
    world.pay_out(paying, 30)
    world.pay_out(routed, 40)
    advance(world.chains, 3 * HOUR)
    for chain in world.chains:
        chain.anvil.mine(3)
    expected = {good: "complete", short: "disputed", paying: "complete", late: "overdue", routed: "excluded"}
    return {"0x" + transfer.id.hex(): status for transfer, status in expected.items()}


def counted(statuses: dict[str, str]) -> dict[str, int]:
    shown = [status for status in statuses.values() if status != "excluded"]
    return {status: shown.count(status) for status in shown}


SELECTED = f"transaction.input[0:4] == 0x{XCALL.hex()}"


async def test_a_replay_reads_calldata_and_tells_who_was_called(world: World, tmp_path: Path) -> None:
    statuses = play(world)
    watch = Chainwatch(tmp_path, world.reading(SELECTED))
    found = await watch.read("replay")
    assert found["transfers"]["bridge"] == counted(statuses)
    names = [a["labels"]["alertname"] for a in found["alerts"]]
    assert sorted(names) == ["TransferMismatch", "TransferOverdue"]

    watch.config.write_text(world.reading())
    found = await watch.read("replay")
    (trouble,) = [a for a in found["alerts"] if a["labels"]["alertname"] == "FlowEvaluationFailed"]
    description = trouble["annotations"]["description"]
    assert f"calls the function 0x12345678 of {world.router}" in description.lower()
    assert "it came through another function or contract" in description
    assert trouble["annotations"]["tx_hash"]


async def test_openings_that_are_searched_for_come_with_their_calldata(world: World, tmp_path: Path) -> None:
    """Also where another process reads the blocks, as it does for many."""
    statuses = play(world)
    world.starts["alpha"] = world.chains[0].anvil.height
    for chain in world.chains:
        chain.anvil.mine(700)
    found = await Chainwatch(tmp_path, world.reading(SELECTED)).read("replay")
    shown = {key: status for key, status in statuses.items() if status != "overdue"}
    assert found["transfers"]["bridge"] == counted(shown)
    assert [a["labels"]["alertname"] for a in found["alerts"]] == ["TransferMismatch"]


async def test_a_run_that_begins_to_read_calldata_reads_it_again_for_what_is_stored(
    world: World, tmp_path: Path
) -> None:
    statuses = play(world)
    watch = Chainwatch(tmp_path, world.config("", ""))
    watch.start()
    try:
        assert len(await until(watch, 5)) == 5
        await watch.stop()
        watch.config.write_text(world.reading(SELECTED))
        watch.start()
        wanted = {key: status for key, status in statuses.items() if status != "excluded"}
        assert await until(watch, wanted) == wanted
        status = await watch.read("alerts")
        names = sorted(alert["labels"]["alertname"] for alert in status if "flow" in alert["labels"])
        assert names == ["TransferMismatch", "TransferOverdue"], status
    finally:
        watch.kill()


async def until(watch: Chainwatch, wanted: object) -> dict[str, str]:
    """The transfers' statuses by key, once they are as ``wanted`` or as many."""
    found: dict[str, str] = {}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done = await watch.command("transfers", "--json")
        if done.code == 0:
            found = {t["key"]: t["status"] for t in json.loads(done.out)}
            if wanted in (found, len(found)):
                break
        await asyncio.sleep(0.3)
    return found


async def test_flows_test_shows_what_is_read_of_the_transaction(world: World, tmp_path: Path) -> None:
    watch = Chainwatch(tmp_path, world.reading())
    world.open(70, value=0)
    found = await watch.read("flows", "test", world.last)
    step = found["flows"][0]["steps"][0]
    assert (step["outcome"], step["amount"]) == ("matched", "70")
    assert step["transaction"]["from"].lower() == world.chains[0].account.lower()
    assert step["transaction"]["to"].lower() == world.bridges[0]
    assert (step["transaction"]["value"], step["transaction"]["selector"]) == ("0", "0x" + XCALL.hex())
    assert step["call"]["params"]["bridgedAmt"] == "70"
    shown = await watch.command("flows", "test", world.last)
    assert "call.params.bridgedAmt" in shown.out

    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(world.chains[0].anvil.rpc("eth_getTransactionReceipt", world.last)))
    found = await watch.read("flows", "test", "--receipt", str(receipt))
    step = found["flows"][0]["steps"][0]
    assert step["outcome"] == "error"
    assert "which a receipt does not hold" in step["reason"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('call = "xcal"', 'did you mean "xcall"'),
        ('amount = "call.parms.bridgedAmt"', "did you mean params?"),
        ('amount = "transaction.form"', "did you mean from?"),
        ('call = "function xcall(uint7 a)"', "uint7"),
    ],
)
async def test_check_refuses_what_the_function_does_not_have(
    world: World, tmp_path: Path, wrong: str, right: str
) -> None:
    watch = Chainwatch(tmp_path, world.config(f'call = "xcall"\n{wrong}' if "amount" in wrong else wrong, ""))
    done = await watch.command("check")
    assert done.code != 0
    assert right in done.out + done.err
