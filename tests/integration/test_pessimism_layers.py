"""Pessimism's heuristics of both layers, over HTTP, on two real nodes: forged and large withdrawals, false output roots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chainwatch.api import server
from chainwatch.chain.transport import open_session
from chainwatch.checker.protocols.op_stack import output_root
from chainwatch.config import read_dict
from chainwatch.monitor.monitor import Monitor
from chainwatch.plan import make_plan
from chainwatch.store.database import Database
from tests.integration.test_monitor import checkpoint, raised, until
from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.ports import free_port
from tests.support.protocols.artifacts import ArtifactError, own_bytecodes
from tests.support.protocols.chain import Chain, Receipt

pytestmark = pytest.mark.anvil

ETHER = 10**18
TARGET = "0x" + "12" * 20
PASSED = "MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)"
PROVE = (
    "proveWithdrawalTransaction((uint256,address,address,uint256,uint256,bytes),uint256,"
    "(bytes32,bytes32,bytes32,bytes32),bytes[])"
)
NO_PROOF: tuple[Any, ...] = (0, (bytes(32), bytes(32), bytes(32), bytes(32)), [])


class Layers:
    """A portal with 10 ETH on the one node, a message passer on the other, and a monitor with its server."""

    def __init__(self, first: Anvil, second: Anvil, database: Database, url: str) -> None:
        self.first, self.second = Chain.at(first), Chain.at(second)
        self.database, self.url = database, url
        self.portal = self.first.deploy(own_bytecodes()["WatchedPortal"])
        self.passer = self.second.deploy(own_bytecodes()["WatchedPasser"])
        first.rpc("anvil_setBalance", self.portal, hex(10 * ETHER))
        self.client = aiohttp.ClientSession()

    async def run(self, kind: str, network: str = "layer1", **params: Any) -> str:
        asked = {
            "network": network,
            "type": kind,
            "heuristic_params": {"l2_to_l1_address": self.passer, **params},
            "alerting_params": {"severity": "high", "destination": "slack", "message": "Pause it."},
        }
        body = {"method": "run", "params": asked}
        async with self.client.post(f"{self.url}/v0/heuristic", json=body) as answer:
            assert answer.status == 202, answer.headers
            name = str((await answer.json())["result"]["uuid"])
        await self.read()
        return name

    def withdraw(self, value: int) -> tuple[Any, ...]:
        """What is withdrawn on the second layer, as the portal is to be shown it."""
        receipt = self.second.send(
            self.passer, "initiateWithdrawal(address,uint256,bytes)", TARGET, 21_000, b"x", value=value
        )
        nonce = int.from_bytes(receipt.event(PASSED).topics[1])
        return (nonce, self.second.account, TARGET, value, 21_000, b"x")

    def prove(self, *withdrawal: Any) -> Receipt:
        self.second.anvil.mine()  # as new as the first layer, as a live one is
        return self.first.send(self.portal, PROVE, withdrawal, *NO_PROOF)

    def output(self, number: int) -> bytes:
        block = self.second.anvil.block(number)
        proof = self.second.anvil.rpc("eth_getProof", self.passer, [], hex(number))
        parts = (block["stateRoot"], proof["storageHash"], block["hash"])
        return output_root(*(bytes.fromhex(part[2:]) for part in parts))

    async def read(self) -> None:
        """Wait until all blocks are read."""
        for name, chain in (("ethereum", self.first), ("optimism", self.second)):
            await until(partial(self._is_read, name, chain))

    def _is_read(self, network: str, chain: Chain) -> bool:
        return checkpoint(self.database, network) == chain.anvil.height

    async def faults(self, name: str, count: int) -> list[str]:
        """What the alerts of a session say, once there are ``count``, oldest first."""

        def found() -> list[str]:
            alerts = [a for a in raised(self.database, "InvariantViolated") if a.labels["invariant"] == name]
            return [alert.annotations["description"] for alert in reversed(alerts)]

        def advanced() -> bool:
            self.second.anvil.mine()
            return len(found()) >= count

        await until(advanced)
        return found()


@pytest.fixture
async def layers(anvil_factory: Callable[..., Anvil], tmp_path: Path) -> AsyncIterator[Layers]:
    first, second = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
    port, url = free_port(), f"sqlite:///{tmp_path / 'monitor.db'}"
    networks = {
        name: {"chain_id": node.chain_id, "rpc": [node.http_url], "poll_interval": "100ms", "start_block": 0}
        for name, node in (("ethereum", first), ("optimism", second))
    }
    config: dict[str, Any] = {
        "store": {"url": url},
        "api": {"listen": f"127.0.0.1:{port}"},
        "networks": networks,
        "pessimism": {"layer1": "ethereum", "layer2": "optimism"},
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
    }
    with closing(Database.open(url, durable=False)) as database:
        try:
            running = Layers(first, second, database, f"http://127.0.0.1:{port}")
        except ArtifactError as error:
            missing("solc", str(error))
        layers = {"network": "ethereum", "l2": "optimism", "passer": running.passer}
        config["invariants"] = {
            "roots": {"kind": "output_roots", "contract": running.portal, **layers},
            "proven": {"kind": "proven_withdrawals", "portal": running.portal, "share": 20, **layers},
        }
        async with open_session() as session:
            plan = make_plan(read_dict(config))
            monitor = Monitor(plan, database, session, companions=server.companions(lambda: None))
            await monitor.start()
            try:
                await running.read()
                yield running
            finally:
                await running.client.close()
                await monitor.stop()


async def test_forged_and_large_withdrawals_are_alerts_and_others_none(layers: Layers) -> None:
    safe: dict[str, Any] = {
        "l1_portal_address": layers.portal,
        "threshold": 0.2,
        "coefficient_threshold": 0.5,
    }
    proven = await layers.run("withdrawal_safety", **safe)
    forged = await layers.run("withdrawal_enforcement", l1_portal_address=layers.portal)
    sent = await layers.run("withdrawal_safety", "layer2", **safe)
    lost = await layers.run(
        "withdrawal_enforcement", l1_portal_address=layers.portal, l2_to_l1_address=TARGET
    )
    small, large = layers.withdraw(ETHER), layers.withdraw(2 * ETHER)
    layers.prove(*small)
    layers.prove(*large)
    layers.prove(77, layers.second.account, TARGET, 11 * ETHER, 21_000, b"")
    unseen = layers.withdraw(3 * ETHER)
    hash_ = layers.second.events(PASSED)[-1].data[96:128]
    layers.first.send(layers.portal, "proveUnseen(bytes32,address,address)", hash_, unseen[1], TARGET)

    found = await layers.faults(proven, 3)
    assert [text.split("; block")[0] for text in found] == [
        f"Pause it. its 2 ETH are 20 % of the 10 ETH of {layers.portal} on ethereum",
        "Pause it. optimism never sent it: it is forged; "
        f"its 11 ETH are all of the 10 ETH of {layers.portal} on ethereum, or more",
        f"Pause it. its 3 ETH are 30 % of the 10 ETH of {layers.portal} on ethereum",
    ]
    assert len(await layers.faults(forged, 1)) == 1
    assert len(await layers.faults("proven", 3)) == 3
    assert len(await layers.faults(sent, 2)) == 2
    assert await layers.faults(lost, 0) == []  # nothing answers there: unread, and no breach


async def test_output_roots_that_are_not_the_l2s_are_alerts_and_right_ones_none(layers: Layers) -> None:
    name = await layers.run("fault_detector", l2_output_address=layers.portal)
    layers.withdraw(ETHER)
    number = layers.second.anvil.height
    propose, create = "proposeL2Output(bytes32,uint256)", "create(uint32,bytes32,uint256)"
    right = layers.output(number)
    layers.first.send(layers.portal, propose, right, number)
    layers.first.send(layers.portal, create, 0, right, number)
    layers.first.send(layers.portal, propose, right, number - 1)
    layers.first.send(layers.portal, create, 0, bytes(32), number)
    layers.first.send(layers.portal, create, 0, right, 10**15)
    found = await layers.faults(name, 3)
    assert len(found) == len(await layers.faults("roots", 3)) == 3
    assert f"as output root of block {number - 1} of optimism, which is 0x" in found[0]
    assert f"0x{bytes(32).hex()} is proposed as output root of block {number}" in found[1]
    assert f"block {10**15} of optimism, which does not exist" in found[2]
