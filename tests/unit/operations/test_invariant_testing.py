"""A test of an invariant whose values cannot be read: each answer says what, where and how to mend it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chainwatch.config import read_dict
from chainwatch.init.presets import abi_text
from chainwatch.operations import invariant_testing
from chainwatch.operations.errors import Invalid, NotFound
from chainwatch.operations.invariant_testing import InvariantTest, read_now
from chainwatch.plan import make_plan
from tests.fakenode import FakeChain, FakeNode
from tests.support.ports import free_port

SAFE = "0x" + "5a" * 20
FLOOR: dict[str, Any] = {
    "values": {"funds": {"network": "alpha", "address": SAFE, "balance": True}},
    "assert": "funds >= 0",
}
OWNERS = {"network": "alpha", "address": SAFE, "call": "function f() view returns (address[])"}
TABLES = {
    "floor": FLOOR,
    "given": {**FLOOR, "for_each": {"who": ["a", "b"]}},
    "kept": {**FLOOR, "for_each": {"who": OWNERS}},
}


@pytest.fixture
async def node() -> AsyncIterator[FakeNode]:
    chain = FakeChain()
    chain.mine(count=20)
    async with FakeNode(chain) as node:
        yield node


async def read_from(url: str, name: str = "floor", at: int | None = None) -> InvariantTest:
    networks = {"alpha": {"chain_id": 1, "rpc": [url], "multicall": ""}}
    return await read_now(make_plan(read_dict({"networks": networks, "invariants": TABLES})), name, at)


async def test_a_block_that_is_not_there_yet_is_named_beside_the_newest(node: FakeNode) -> None:
    found = await read_from(node.http_url, at=21)
    assert (found.holds, found.error) == (None, "alpha: there is no block 21 yet: the newest is 20")
    assert (await read_from(node.http_url, at=20)).holds is True
    assert (await read_from(node.http_url, at=0)).blocks == {"alpha": 0}


async def test_what_is_read_is_shown_beside_what_only_stored_events_say(
    node: FakeNode, tmp_path: Path
) -> None:
    (tmp_path / "safe.json").write_text(abi_text("safe"))
    seen = {"network": "alpha", "contract": "safe", "event": "AddedOwner", "within": "5m"}
    tables = {
        "both": {"values": FLOOR["values"] | {"seen": seen}, "assert": "funds >= 0 and seen <= 0"},
        "events": {"values": {"seen": seen}, "assert": "seen <= 0"},
    }
    plan = make_plan(
        read_dict(
            {
                "networks": {"alpha": {"chain_id": 1, "rpc": [node.http_url], "multicall": ""}},
                "contracts": {"safe": {"abi": str(tmp_path / "safe.json"), "address": {"alpha": SAFE}}},
                "invariants": tables,
            }
        )
    )
    found = await read_now(plan, "both")
    assert (found.values.split(" = ")[0], "seen" in found.values, found.holds) == ("funds", False, None)
    assert str(found.error).startswith("seen: counted of what is stored")
    with pytest.raises(Invalid, match="events counts what is stored"):
        await read_now(plan, "events")


async def test_a_state_that_nodes_have_dropped_takes_an_archive_node(node: FakeNode) -> None:
    gone = {"code": -32000, "message": "missing trie node 0xab (path ) state 0xcd is not available"}
    node.fail("eth_getBalance", "error", gone, times=None)
    found = await read_from(node.http_url, at=2)
    assert found.holds is None
    for said in ("alpha: no endpoint gives the state of block 2", "missing trie node", "networks.alpha.rpc"):
        assert said in str(found.error)


async def test_a_network_without_an_endpoint_is_named_with_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariant_testing, "PATIENCE", 2.0)
    port = free_port()
    found = await read_from(f"http://127.0.0.1:{port}")
    assert found.holds is None
    assert f"alpha[0] 127.0.0.1:{port}: cannot connect" in str(found.error)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("flor", "no invariant is called 'flor'; did you mean \"floor\""),
        (
            "given",
            "given is made for each element of a list \\(2 at present\\): name one, such as given:a or given:b",
        ),
        ("kept", "`chainwatch invariants test 'kept:\\*'` reads the list"),
    ],
)
async def test_a_name_that_is_none_is_answered_by_those_that_are(
    node: FakeNode, name: str, message: str
) -> None:
    with pytest.raises(NotFound, match=message):
        await read_from(node.http_url, name)


async def test_an_element_that_a_contract_lists_is_read_after_its_list(node: FakeNode) -> None:
    words = [32, 1, int(SAFE, 16)]
    answer = "0x" + b"".join(word.to_bytes(32) for word in words).hex()
    node.fail("eth_call", "result", answer, times=None)
    with pytest.raises(NotFound, match="did you mean") as error:
        await read_from(node.http_url, f"kept:{SAFE}")
    listed = str(error.value).split('"')[1]
    assert listed.lower() == f"kept:{SAFE}"
    found = await read_from(node.http_url, listed)
    assert (found.holds, found.error) == (True, None)
