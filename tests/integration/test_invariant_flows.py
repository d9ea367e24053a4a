"""Conservation over two real nodes: what is under way is no breach, a mint of nothing is one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chainwatch.config import read_dict
from chainwatch.plan import make_plan
from chainwatch.store.database import Database
from chainwatch.support.keccak import keccak256
from tests.integration.test_invariants import SLOT_ZERO, TOKEN, TOTAL, checked, states
from tests.integration.test_monitor import running, until
from tests.support.anvil import Anvil
from tests.unit.invariants.test_flow_values import ABI, BRIDGE, SIGNATURES

pytestmark = pytest.mark.anvil

GATE = "0x" + "9a" * 20


def word(value: int | str) -> bytes:
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32)


class Bridge:
    """Locks on one node, mints on the other, with the events of both."""

    def __init__(self, alpha: Anvil, beta: Anvil) -> None:
        self.alpha, self.beta = alpha, beta
        for node in (alpha, beta):
            node.rpc("anvil_setCode", TOKEN, SLOT_ZERO)
            node.set_emitter(GATE)
            self.supply(node, 100)
            node.mine()

    def supply(self, node: Anvil, amount: int) -> None:
        node.rpc("anvil_setStorageAt", TOKEN, "0x0", "0x" + amount.to_bytes(32).hex())

    def lock(self, number: int, locked: int, amount: int) -> None:
        self.supply(self.alpha, locked)
        data = word(number) + word(10) + word(amount) + word(TOKEN)
        self.alpha.emit(GATE, [keccak256(SIGNATURES["Sent"].encode())], data)

    def fill(self, number: int, minted: int) -> None:
        self.supply(self.beta, minted)
        self.beta.emit(GATE, [keccak256(SIGNATURES["Filled"].encode())], word(number))


async def test_conservation_counts_what_is_under_way(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    bridge = Bridge(anvil_factory(chain_id=1), anvil_factory(chain_id=10))
    alpha, beta = bridge.alpha, bridge.beta
    (tmp_path / "bridge.json").write_text(json.dumps(ABI))
    network = {"poll_interval": "100ms", "start_block": 0}
    values = {
        "locked": {"network": "alpha", "address": TOKEN, "call": TOTAL},
        "minted": {"network": "beta", "address": TOKEN, "call": TOTAL},
        "in_flight": {"flow": "bridge", "amount": "in_flight", "asset": "usdc"},
    }
    plan = make_plan(
        read_dict(
            {
                "store": {"url": f"sqlite:///{tmp_path / 'monitor.db'}"},
                "networks": {
                    "alpha": {"chain_id": 1, "rpc": [alpha.http_url], **network},
                    "beta": {"chain_id": 10, "rpc": [beta.http_url], **network},
                },
                "contracts": {"bridge": {"abi": str(tmp_path / "bridge.json"), "address": GATE}},
                "assets": {"usdc": {"address": TOKEN, "decimals": 6}},
                "flows": {"bridge": BRIDGE},
                "invariants": {"exact": {"values": values, "assert": "locked - in_flight == minted"}},
                "receivers": {"ops": {"provider": "console"}},
                "routes": [{"receivers": ["ops"]}],
            }
        )
    )
    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await until(lambda: checked(database, "exact") >= 1)
            await asyncio.to_thread(bridge.lock, 1, 110, 10)
            await until(lambda: checked(database, "exact") == alpha.height)
            await asyncio.to_thread(bridge.fill, 1, 110)
            await until(lambda: checked(database, "exact") == beta.height)
            assert states(database) == {}
            bridge.supply(beta, 111)
            await asyncio.to_thread(beta.mine)
            await until(lambda: states(database) == {"exact": ("firing", "")})
