"""Sessions of Pessimism's API on a real node: over HTTP, live, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chainwatch.alert_model import Alert
from chainwatch.api import server
from chainwatch.chain.transport import open_session
from chainwatch.config import read_dict
from chainwatch.monitor.monitor import Monitor
from chainwatch.plan import Plan, make_plan
from chainwatch.store.database import Database
from chainwatch.support.keccak import keccak256
from tests.integration.test_monitor import checkpoint, raised, until
from tests.support.anvil import Anvil
from tests.support.ports import free_port

pytestmark = pytest.mark.anvil

SAFE = "0x" + "5a" * 20
EMITTER = "0x" + "e0" * 20
SIGNATURE = "Transfer(address, address, uint256)"
TOPIC = keccak256(b"Transfer(address,address,uint256)")
ETHER = 10**18


class Pessimism:
    """A monitor with its server, on one node."""

    def __init__(self, node: Anvil, database: Database, plan: Plan, url: str) -> None:
        self.node, self.database, self.plan, self.url = node, database, plan, url
        self.client = aiohttp.ClientSession()

    async def ask(self, method: str, params: dict[str, Any]) -> str:
        body = {"method": method, "params": params}
        async with self.client.post(f"{self.url}/v0/heuristic", json=body) as answer:
            assert answer.status == 202, answer.headers
            return str((await answer.json())["result"]["uuid"])

    async def run(self, kind: str, cooldown: int = 0, **params: Any) -> str:
        alerting = {"severity": "high", "destination": "slack", "message": "act", "cooldown_time": cooldown}
        asked = {"network": "layer1", "type": kind, "heuristic_params": params, "alerting_params": alerting}
        return await self.ask("run", asked)

    async def mine(self, *, funds: int | None = None) -> None:
        if funds is not None:
            await asyncio.to_thread(self.node.rpc, "anvil_setBalance", SAFE, hex(funds))
        await asyncio.to_thread(self.node.mine)

    async def emit(self) -> None:
        await asyncio.to_thread(self.node.emit, EMITTER, [TOPIC], b"")

    def alerts(self, name: str) -> list[Alert]:
        found = raised(self.database, "InvariantViolated")
        return [alert for alert in reversed(found) if alert.labels["invariant"] == name]

    def states(self, name: str) -> list[tuple[str, str]]:
        return [(alert.state, alert.reason) for alert in self.alerts(name)]

    async def read_to_head(self) -> None:
        await until(lambda: checkpoint(self.database, "ethereum") == self.node.height)


@pytest.fixture
async def pessimism(anvil_factory: Callable[..., Anvil], tmp_path: Path) -> AsyncIterator[Pessimism]:
    node = anvil_factory(chain_id=1)
    node.set_emitter(EMITTER)
    port, url = free_port(), f"sqlite:///{tmp_path / 'monitor.db'}"
    config = {
        "store": {"url": url},
        "api": {"listen": f"127.0.0.1:{port}"},
        "networks": {
            "ethereum": {"chain_id": 1, "rpc": [node.http_url], "poll_interval": "100ms", "start_block": 0}
        },
        "pessimism": {"layer1": "ethereum"},
        "receivers": {"ops": {"provider": "console"}},
        "routes": [{"receivers": ["ops"]}],
    }
    plan = make_plan(read_dict(config))
    with closing(Database.open(url, durable=False)) as database:
        async with open_session() as session:
            monitor = Monitor(plan, database, session, companions=server.companions(lambda: None))
            await monitor.start()
            running = Pessimism(node, database, plan, f"http://127.0.0.1:{port}")
            try:
                await running.mine(funds=5 * ETHER)
                await running.read_to_head()
                yield running
            finally:
                await running.client.close()
                await monitor.stop()


async def test_a_balance_under_its_floor_is_raised_within_a_block_and_ends(pessimism: Pessimism) -> None:
    name = await pessimism.run("balance_enforcement", address=SAFE, lower=1, upper=10.5)
    await pessimism.mine(funds=ETHER)  # a bound itself is no breach
    await pessimism.read_to_head()
    await pessimism.mine(funds=ETHER - 1)
    await until(lambda: pessimism.states(name) == [("firing", "")])
    (alert,) = pessimism.alerts(name)
    assert alert.labels == {
        "alertname": "InvariantViolated",
        "severity": "P1",
        "invariant": name,
        "network": "ethereum",
        "destination": "slack",
    }
    assert alert.annotations["values"] == f"balance = {ETHER - 1}"
    assert alert.annotations["description"].startswith("act. balance = ")
    await pessimism.mine(funds=ETHER)
    await until(lambda: pessimism.states(name) == [("resolved", "holds again")])

    await pessimism.ask("update", {"uuid": name, "heuristic_params": {"lower": 2}})
    await pessimism.mine()
    await until(lambda: pessimism.states(name)[1:] == [("firing", "")])
    await pessimism.ask("stop", {"uuid": name})
    await pessimism.mine()
    await until(lambda: pessimism.states(name)[1:] == [("resolved", "stopped")])
    await pessimism.ask("run", {"uuid": name})
    await pessimism.mine()
    await until(lambda: pessimism.states(name)[2:] == [("firing", "")])
    await pessimism.ask("delete", {"uuid": name})
    await until(lambda: pessimism.states(name)[2:] == [("resolved", "deleted")])
    await pessimism.mine()
    await pessimism.read_to_head()
    assert len(pessimism.states(name)) == 3


async def test_each_event_is_an_alert_but_for_those_within_the_cooldown(pessimism: Pessimism) -> None:
    each = await pessimism.run("contract_event", address=EMITTER, args=[SIGNATURE])
    calm = await pessimism.run("contract_event", cooldown=1_000, address=EMITTER, args=[SIGNATURE])
    other = await pessimism.run("contract_event", address=EMITTER, args=["Paused()"])
    await pessimism.emit()
    await pessimism.emit()
    await until(lambda: pessimism.states(each) == [("firing", "")] * 2)
    await until(lambda: pessimism.states(calm) == [("firing", "")])
    assert {alert.labels["severity"] for alert in pessimism.alerts(each)} == {"P1"}
    assert pessimism.states(other) == []

    await asyncio.to_thread(pessimism.node.reorg, 1)
    await until(lambda: sorted(pessimism.states(each)) == [("firing", ""), ("resolved", "reorg")])
    await pessimism.emit()
    await until(lambda: len(pessimism.states(each)) == 3)
    await pessimism.read_to_head()
    assert pessimism.states(calm) == [("firing", "")]


async def test_events_from_a_block_in_the_past_count(pessimism: Pessimism) -> None:
    await pessimism.emit()
    await pessimism.read_to_head()
    asked = {
        "network": "layer1",
        "type": "contract_event",
        "start_height": 0,
        "heuristic_params": {"address": EMITTER, "args": [SIGNATURE]},
    }
    name = await pessimism.ask("run", asked)
    await pessimism.mine()
    await until(lambda: pessimism.states(name) == [("firing", "")])
