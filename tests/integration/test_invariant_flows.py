"""Conservation over two real nodes: what is under way is no breach, a mint of nothing is one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chainwatch.config import read_dict
from chainwatch.plan import make_plan
from chainwatch.replay import session
from chainwatch.replay.session import Wanted
from chainwatch.store.database import Database
from chainwatch.support.keccak import keccak256
from tests.integration.test_invariants import SLOT_ZERO, TOKEN, TOTAL, checked, states
from tests.integration.test_monitor import running, until
from tests.support.anvil import Anvil
from tests.unit.invariants.test_flow_values import ABI, BRIDGE, SIGNATURES

pytestmark = pytest.mark.anvil

GATE = "0x" + "9a" * 20
STORED = "0x36604014601257" + "60005460005260206000f3" + "5b60203560005500"
"""Code that stores the second word of a call with two, and returns it to all others."""


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


async def test_a_replay_checks_several_networks_where_events_are_and_finds_the_same_by_any_batches(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:  # S7
    """Over more blocks than are all checked; one block in which nothing backs what is minted, with an event."""
    alpha, beta = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
    (tmp_path / "bridge.json").write_text(json.dumps(ABI))
    start = int(time.time()) + 100
    for node in (alpha, beta):
        node.rpc("anvil_setCode", TOKEN, STORED)
        node.set_emitter(GATE)

    def put(node: Anvil, at: int, supply: int, signature: str | None = None, data: bytes = b"") -> None:
        """Mine a block at a time, in which the supply changes, perhaps with an event."""
        node.set_next_timestamp(at)
        with node.one_block():
            node.emit(TOKEN, [], word(supply))
            if signature is not None:
                node.emit(GATE, [keccak256(SIGNATURES[signature].encode())], data)

    def transfer(number: int, at: int, forged: int = 0) -> None:
        """Lock at a time, and fill 30 s later."""
        sent = word(number) + word(10) + word(10) + word(TOKEN)
        put(alpha, at, 10 * number, "Sent", sent)
        put(beta, at + 30, 10 * number + forged, "Filled", word(number))
        if forged:
            put(beta, at + 32, 10 * number)

    await asyncio.to_thread(transfer, 1, start)
    for node in (alpha, beta):
        node.mine(251, 2)
    await asyncio.to_thread(transfer, 2, start + 1_001, forged=7)
    for node in (alpha, beta):
        node.mine(173, 2)
    await asyncio.to_thread(transfer, 3, start + 2_003)
    alpha.mine(40, 2)  # beta ends earlier: what it would fill then is not read
    reports = []
    for most in (7, 200_000):
        network = {"start_block": 0, "max_block_range": most, "block_time": "1s"}
        config = {
            "networks": {
                "alpha": {"chain_id": 1, "rpc": [alpha.http_url], **network},
                "beta": {"chain_id": 10, "rpc": [beta.http_url], **network},
            },
            "contracts": {"bridge": {"abi": str(tmp_path / "bridge.json"), "address": GATE}},
            "assets": {"usdc": {"address": TOKEN, "decimals": 6}},
            "flows": {"bridge": BRIDGE},
            "invariants": {
                "exact": {
                    "values": {
                        "locked": {"network": "alpha", "address": TOKEN, "call": TOTAL},
                        "minted": {"network": "beta", "address": TOKEN, "call": TOTAL},
                        "in_flight": {"flow": "bridge", "amount": "in_flight", "asset": "usdc"},
                    },
                    "assert": "locked - in_flight == minted",
                    "align": "1h",
                }
            },
        }
        url = f"sqlite:///{tmp_path / f'replay{most}.db'}"
        plan = make_plan(read_dict(config))
        wanted = Wanted((), (), ())
        reports.append(await session.replay(plan, wanted, url, durable=False, show_progress=False))
    assert reports[0] == reports[1]
    assert reports[0]["transfers"]["bridge"]["complete"] == 3
    (alert,) = [one for one in reports[0]["alerts"] if one["labels"]["alertname"] == "InvariantViolated"]
    assert alert["annotations"]["values"] == "locked = 20, minted = 27, in_flight = 0"
    assert alert["starts_at"] == start + 1_031 < alert["ends_at"] <= start + 1_031 + 10
