"""Lists that a contract keeps, changed values and chosen events, on a real node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from chainwatch.config import read_dict
from chainwatch.plan import make_plan
from chainwatch.store.database import Database
from tests.integration.test_invariants import ABI, EMITTER, MOVED, checked
from tests.integration.test_monitor import raised, running, until
from tests.support.anvil import Anvil

pytestmark = pytest.mark.anvil

SAFE = "0x" + "5a" * 20
OWNERS = ["0x" + digit * 40 for digit in "123"]


def returning(owners: Sequence[str]) -> str:
    """Code that returns ``owners`` as an array, whatever is called."""
    words = [(32).to_bytes(32), len(owners).to_bytes(32), *(bytes(12) + bytes.fromhex(o[2:]) for o in owners)]
    data = b"".join(words)
    size = len(data).to_bytes(2).hex()
    return f"0x61{size}600e60003961{size}6000f3{data.hex()}"


def alerts(database: Database) -> dict[tuple[str, str], tuple[str, str]]:
    found = raised(database, "InvariantViolated")
    return {(a.labels["invariant"], a.labels.get("owner", "")): (a.state, a.reason) for a in reversed(found)}


async def test_owners_are_followed_and_what_changes_is_told(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    node = anvil_factory(chain_id=1)
    node.rpc("anvil_setCode", SAFE, returning(OWNERS[:2]))
    node.set_emitter(EMITTER)
    for owner in OWNERS[:2]:
        node.rpc("anvil_setBalance", owner, hex(100))
    node.mine()
    (tmp_path / "mover.json").write_text(json.dumps(ABI))
    listed = {
        "network": "alpha",
        "address": SAFE,
        "call": "function getOwners() view returns (address[])",
    }
    moved = {"network": "alpha", "contract": "mover", "event": "Moved", "within": "1h"}
    plan = make_plan(
        read_dict(
            {
                "store": {"url": f"sqlite:///{tmp_path / 'monitor.db'}"},
                "networks": {
                    "alpha": {
                        "chain_id": 1,
                        "rpc": [node.http_url],
                        "poll_interval": "100ms",
                        "start_block": 0,
                    }
                },
                "contracts": {"mover": {"abi": str(tmp_path / "mover.json"), "address": EMITTER}},
                "invariants": {
                    "funded": {
                        "for_each": {"owner": listed},
                        "values": {"funds": {"network": "alpha", "address": "${owner}", "balance": True}},
                        "assert": "funds >= 10",
                    },
                    "owners": {"values": {"owners": listed}, "assert": "not has_changed(owners)"},
                    "large": {
                        "values": {"large": {**moved, "where": "amount >= 100"}},
                        "every": {"contract": "mover", "event": "Moved", "where": "amount >= 100"},
                        "assert": "large <= 1",
                    },
                },
                "receivers": {"ops": {"provider": "console"}},
                "routes": [{"receivers": ["ops"]}],
            }
        )
    )

    def move(amount: int) -> None:
        node.emit(EMITTER, [MOVED], amount.to_bytes(32))

    with closing(Database.open(plan.settings.store.url.get_secret_value(), durable=False)) as database:
        async with running(plan, database):
            await until(lambda: checked(database, f"funded:{OWNERS[1]}") == node.height)
            assert alerts(database) == {}

            node.rpc("anvil_setCode", SAFE, returning(OWNERS))  # the third owns nothing
            await asyncio.to_thread(node.mine)
            await until(lambda: ("funded", OWNERS[2]) in alerts(database))
            await until(lambda: ("owners", "") in alerts(database))
            node.rpc("anvil_setCode", SAFE, returning(OWNERS[:2]))
            node.rpc("anvil_setBalance", OWNERS[2], hex(1))
            await asyncio.to_thread(node.mine)
            await until(lambda: alerts(database)["funded", OWNERS[2]] == ("resolved", "no longer listed"))
            await asyncio.to_thread(node.mine)
            await until(lambda: alerts(database)["owners", ""] == ("resolved", "holds again"))

            for amount in (100, 99):
                await asyncio.to_thread(move, amount)
            await until(lambda: checked(database, "owners") == node.height)
            assert ("large", "") not in alerts(database)
            await asyncio.to_thread(move, 100)
            await until(lambda: ("large", "") in alerts(database))
