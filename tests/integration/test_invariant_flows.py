"""Conservation over two real nodes: what is under way is no breach, a mint of nothing is one."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import read_dict
from chainwatch.invariants import sampling
from chainwatch.invariants.sampling import SampledBlocks, Samples
from chainwatch.plan import Plan, make_plan
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


def tables(
    folder: Path, alpha: Anvil, beta: Anvil, network: Mapping[str, Any], invariants: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration of a bridge between two nodes; ``network``: keys of both networks."""
    (folder / "bridge.json").write_text(json.dumps(ABI))
    return {
        "networks": {
            "alpha": {"chain_id": 1, "rpc": [alpha.http_url], **network},
            "beta": {"chain_id": 10, "rpc": [beta.http_url], **network},
        },
        "contracts": {"bridge": {"abi": str(folder / "bridge.json"), "address": GATE}},
        "assets": {"usdc": {"address": TOKEN, "decimals": 6}},
        "flows": {"bridge": BRIDGE},
        "invariants": invariants,
    }


async def test_conservation_counts_what_is_under_way(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    bridge = Bridge(anvil_factory(chain_id=1), anvil_factory(chain_id=10))
    alpha, beta = bridge.alpha, bridge.beta
    network = {"poll_interval": "100ms", "start_block": 0}
    values = {
        "locked": {"network": "alpha", "address": TOKEN, "call": TOTAL},
        "minted": {"network": "beta", "address": TOKEN, "call": TOTAL},
        "in_flight": {"flow": "bridge", "amount": "in_flight", "asset": "usdc"},
    }
    exact = {"values": values, "assert": "locked - in_flight == minted"}
    plan = make_plan(
        read_dict(
            {
                **tables(tmp_path, alpha, beta, network, {"exact": exact}),
                "store": {"url": f"sqlite:///{tmp_path / 'monitor.db'}"},
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
    anvil_factory: Callable[..., Anvil], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # S7
    """Over more blocks than are all checked; one block in which nothing backs what is minted, with an event."""
    alpha, beta = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
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
    token = {"address": TOKEN, "call": TOTAL}
    invariants = {
        "exact": {
            "values": {
                "locked": {"network": "alpha", **token},
                "minted": {"network": "beta", **token},
                "in_flight": {"flow": "bridge", "amount": "in_flight", "asset": "usdc"},
            },
            "assert": "locked - in_flight == minted",
            "align": "1h",
        },
        "steady": {
            "values": {"minted": {"network": "beta", **token}},
            "assert": "minted - previous.minted <= 10",
        },
        "filled": {  # at the events of one network, with a value of the other
            "values": {"locked": {"network": "alpha", **token}, "minted": {"network": "beta", **token}},
            "every": {"contract": "bridge", "event": "Filled"},
            "assert": "minted < 27 and locked != 30",
            "align": "1h",
        },
        "rare": {
            "values": {"locked": {"network": "alpha", **token}},
            "every": "10m",
            "assert": "locked < 25",
        },
    }

    def plan_of(most: int) -> Plan:
        network = {"start_block": 0, "max_block_range": most, "block_time": "1s"}
        return make_plan(read_dict(tables(tmp_path, alpha, beta, network, invariants)))

    async def replayed(most: int, *, resume: bool = False) -> dict[str, Any]:
        url, wanted = f"sqlite:///{tmp_path / f'replay{most}.db'}", Wanted((), (), (), resume=resume)
        return await session.replay(plan_of(most), wanted, url, durable=False, show_progress=False)

    monkeypatch.setattr(sampling, "GRID", 25)
    reports = [await replayed(7), await replayed(200_000)]
    monkeypatch.setattr(sampling, "SAMPLES_AT_ONCE", 5)
    pages, read = itertools.count(), Samples.read

    async def interrupted(*given: Any) -> SampledBlocks:
        if next(pages) == 9:
            raise KeyboardInterrupt
        return await read(*given)

    monkeypatch.setattr(Samples, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await replayed(50)
    reports.append(await replayed(50, resume=True))
    assert reports[0] == reports[1] == reports[2]
    assert reports[0]["transfers"]["bridge"]["complete"] == 3
    found: dict[str, list[dict[str, Any]]] = {}
    for alert in reports[0]["alerts"]:
        assert alert["labels"]["alertname"] == "InvariantViolated"
        found.setdefault(alert["labels"]["invariant"], []).append(alert)
    (exact,) = found["exact"]
    assert exact["annotations"]["values"] == "locked = 20, minted = 27, in_flight = 0"
    assert exact["starts_at"] == start + 1_031 < exact["ends_at"] <= start + 1_031 + 40
    assert [alert["starts_at"] for alert in found["steady"]] == [start + 1_031]
    assert [alert["starts_at"] for alert in found["filled"]] == [start + 1_031]
    assert found["filled"][0]["ends_at"] is None
    (rare,) = found["rare"]
    assert start + 2_003 <= rare["starts_at"] < start + 2_003 + 600
