"""`flows test` and `flows find-siblings` on transactions of real nodes, before and without a run."""

import json
import os
import pty
import re
import subprocess
from typing import Any

import pytest

from tests.support import connext
from tests.support.process import Chainwatch
from tests.support.world import SECRET, World

pytestmark = pytest.mark.anvil

WITHIN = 30 * 60
STYLES = re.compile(r"\x1b\[[0-9;]*m")


def sent(world: World) -> tuple[str, Any]:
    transfer = world.transfer()
    return world.ethereum.emit(connext.ETHEREUM.address, *connext.xcalled(transfer)), transfer


async def test_a_transaction_is_found_on_its_network_and_tried_on_every_flow(world: World) -> None:
    watch = world.configure(within="30m")
    opened, transfer = sent(world)
    found = await watch.read("flows", "test", opened)
    assert found["transaction"]["network"] == "ethereum"
    opened_at = int(world.ethereum.block()["timestamp"], 16)
    assert found["transaction"]["timestamp"] == opened_at
    (flow,) = found["flows"]
    xcall, *others = flow["steps"]
    assert (xcall["step"], xcall["outcome"], xcall["log_index"]) == ("xcall", "matched", 0)
    assert (xcall["origin"], xcall["destination"]) == ("ethereum", "optimism")
    assert xcall["failed_checks"] == {}
    assert [step["outcome"] for step in others] == ["no event"] * 2
    (seen,) = flow["transfers"]
    assert seen["key"] == xcall["key"] == "0x" + transfer.id.hex()
    assert seen["awaited"] == [
        {"step": step, "networks": ["optimism"], "within": WITHIN, "due_at": opened_at + WITHIN}
        for step in ("execute", "reconcile")
    ]


async def test_a_payout_waits_for_its_opening_on_the_network_that_it_names(world: World) -> None:
    watch = world.configure(within="30m")
    paid = world.optimism.emit(connext.OPTIMISM.address, *connext.executed(world.transfer()))
    found = await watch.read("flows", "test", paid, "--network", "optimism")
    (seen,) = found["flows"][0]["transfers"]
    assert seen["steps"] == ["execute"]
    assert [(one["step"], one["networks"]) for one in seen["awaited"]] == [("xcall", ["ethereum"])]


async def test_a_receipt_in_a_file_needs_no_node(world: World) -> None:
    watch = world.configure(
        within="30m", ethereum_rpc=["http://127.0.0.1:1"], optimism_rpc=["http://127.0.0.1:1"]
    )
    opened, _ = sent(world)
    receipt = watch.folder / "receipt.json"
    receipt.write_text(json.dumps(world.ethereum.rpc("eth_getTransactionReceipt", opened)))
    for given in (["--receipt", str(receipt)], [opened, "--receipt", str(receipt), "--network", "ethereum"]):
        found = await watch.read("flows", "test", *given)
        assert found["transaction"]["network"] == "ethereum"
        assert found["flows"][0]["steps"][0]["outcome"] == "matched"
    asked = await watch.command("flows", "test", opened)
    assert asked.code == 1
    assert "was not found" in asked.err
    assert "check --online" in asked.err


async def test_what_cannot_be_shown_is_said_with_a_remedy(world: World) -> None:
    watch = world.configure(within="30m")
    unknown = await watch.command("flows", "test", "0x" + "ab" * 32)
    assert unknown.code == 1
    assert "ethereum, optimism: not known" in unknown.err
    address = await watch.command("flows", "test", connext.ETHEREUM.address)
    assert address.code == 2
    assert "64 hexadecimal digits after 0x, not 40; this is as long as an address" in address.err
    network = await watch.command("flows", "find-siblings", "0x" + "ab" * 32, "--network", "etherum")
    assert network.code == 2
    assert "ethereum" in network.err

    sender = world.ethereum.rpc("eth_accounts")[0]
    reverting = "0x" + "99" * 20
    world.ethereum.rpc("anvil_setCode", reverting, "0x60006000fd")
    refused = world.ethereum.rpc(
        "eth_sendTransaction", {"from": sender, "to": reverting, "gas": hex(100_000)}
    )
    reverted = await watch.command("flows", "test", refused)
    assert reverted.code == 1
    assert "was reverted in block" in reverted.err

    world.ethereum.rpc("evm_setAutomine", False)
    waiting = world.ethereum.rpc("eth_sendTransaction", {"from": sender, "to": sender, "value": "0x1"})
    pending = await watch.command("flows", "test", waiting)
    assert pending.code == 1
    assert "is pending on ethereum" in pending.err
    assert SECRET not in watch.written


async def test_siblings_are_listed_in_order_and_unknown_ones_by_their_topics(world: World) -> None:
    watch = world.configure(within="30m")
    opened, transfer = sent(world)
    (known,) = (await watch.read("flows", "find-siblings", opened))["logs"]
    assert (known["contract"], known["abi"], known["event"].partition("(")[0]) == (
        "connext",
        "connext.json",
        "XCalled",
    )
    assert known["args"]["transferId"] == "0x" + transfer.id.hex()
    topic = b"\x77" * 32
    odd = world.ethereum.emit(connext.ETHEREUM.address, [topic], b"\x01\x02")
    (unknown,) = (await watch.read("flows", "find-siblings", odd))["logs"]
    assert (unknown["event"], unknown["args"]) == (None, None)
    assert (unknown["topics"], unknown["data"]) == (["0x" + topic.hex()], "0x0102")


@pytest.mark.parametrize("columns", [60, 100])
async def test_what_people_read_fits_the_terminal(world: World, columns: int) -> None:
    watch = world.configure(within="30m")
    opened, _ = sent(world)
    for command in ("test", "find-siblings"):
        lines = on_a_terminal(watch, columns, "flows", command, opened)
        print("\n".join(lines))
        assert max(map(len, lines)) <= max(columns, len(opened))
        assert any("ethereum" in line for line in lines)


def on_a_terminal(watch: Chainwatch, columns: int, *command: str) -> list[str]:
    """The lines that a command prints on a terminal so wide."""
    ours, its = pty.openpty()
    environ = {**watch.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(watch._line(*command), cwd=watch.folder, env=environ, stdout=its)

    os.close(its)
    written = b""
    try:
        while part := os.read(ours, 65_536):
            written += part
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    return [line.rstrip() for line in STYLES.sub("", written.decode()).splitlines()]
