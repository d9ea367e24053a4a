"""Output roots of real dispute games, against an L2 after Isthmus: its blocks have the message passer's storage root."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import read_dict
from chainwatch.plan import make_plan
from chainwatch.store import invariants
from chainwatch.store.database import Database
from tests.integration.test_monitor import raised, running, until
from tests.support.altered import Altered
from tests.support.anvil import Anvil
from tests.support.missing import missing
from tests.support.protocols import optimism
from tests.support.protocols.artifacts import ArtifactError
from tests.support.protocols.chain import Chain

pytestmark = pytest.mark.anvil


async def test_after_isthmus_they_are_checked_without_any_proof(
    anvil_factory: Callable[..., Anvil], tmp_path: Path
) -> None:
    l1, l2 = anvil_factory(chain_id=1), anvil_factory(chain_id=10)
    try:
        first, second = optimism.First(Chain.at(l1)), optimism.Second(Chain.at(l2))
    except ArtifactError as error:
        missing("npm", str(error))
    withdrawal = second.withdraw("0x" + "12" * 20, 10**18)

    def alter(call: dict[str, Any], answer: dict[str, Any]) -> None:
        if call["method"] == "eth_getProof":
            answer.pop("result", None)
            answer["error"] = {"code": -32601, "message": "no proofs here"}
        elif call["method"].startswith("eth_getBlockBy") and answer.get("result"):
            proof = l2.rpc("eth_getProof", optimism.PASSER, [], answer["result"]["number"])
            answer["result"]["withdrawalsRoot"] = proof["storageHash"]

    isthmus = Altered(l2, alter)
    networks = {
        name: {"chain_id": number, "rpc": [url], "poll_interval": "50ms", "start_block": 0}
        for name, number, url in (("ethereum", 1, l1.http_url), ("optimism", 10, isthmus.url))
    }
    roots = {"kind": "output_roots", "network": "ethereum", "l2": "optimism", "contract": first.factory}
    url = f"sqlite:///{tmp_path / 'monitor.db'}"
    plan = make_plan(read_dict({"store": {"url": url}, "networks": networks, "invariants": {"roots": roots}}))

    def propose(root: bytes) -> None:
        first.chain.send(first.factory, optimism.CREATE, 0, root, withdrawal.block.to_bytes(32))
        l2.mine()

    def is_read(database: Database) -> bool:
        with database.reading() as connection:
            return invariants.cursors(connection, "ethereum").get("roots") == l1.height

    with closing(Database.open(url, durable=False)) as database:
        async with isthmus.served(), running(plan, database):
            await until(lambda: is_read(database))
            propose(withdrawal.root)
            await until(lambda: is_read(database))
            assert raised(database, "InvariantViolated") == []
            propose(bytes(32))
            await until(lambda: len(raised(database, "InvariantViolated")) == 1)
        (alert,) = raised(database, "InvariantViolated")
        assert f"which is 0x{withdrawal.root.hex()}" in alert.annotations["description"]
