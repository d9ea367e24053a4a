"""Each kind of value of an invariant, read from a real node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chainwatch.config import read_dict
from chainwatch.operations.invariant_testing import InvariantTest, read_now
from chainwatch.plan import make_plan
from tests.support.anvil import Anvil, find_or_install

pytestmark = pytest.mark.anvil

ECHO = "0x" + "ec" * 20
ECHO_CODE = "0x600436038060046000376000f3"
"""Returns its arguments as they were encoded."""
EMPTY = "0x" + "0e" * 20
OWNERS = ["0x" + "a1" * 20, "0x" + "b2" * 20]
SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil(find_or_install(), chain_id=1) as anvil:
        anvil.rpc("anvil_setCode", ECHO, ECHO_CODE)
        anvil.rpc("anvil_setNonce", ECHO, hex(7))
        anvil.rpc("anvil_setStorageAt", ECHO, SLOT, "0x" + OWNERS[0][2:].rjust(64, "0"))
        anvil.rpc("anvil_setStorageAt", ECHO, "0x1", "0x" + "1".rjust(64, "0"))
        anvil.mine()
        yield anvil


async def read(node: Anvil, condition: str, **values: dict[str, Any]) -> InvariantTest:
    values = {name: {"network": "alpha", **value} for name, value in values.items()}
    tables = {
        "networks": {"alpha": {"chain_id": 1, "rpc": [node.http_url]}},
        "invariants": {"i": {"values": values, "assert": condition}},
    }
    return await read_now(make_plan(read_dict(tables)), "i")


def echoing(types: str, *args: Any) -> dict[str, Any]:
    return {"address": ECHO, "call": f"function f({types}) view returns ({types})", "args": list(args)}


async def test_arrays_and_tuples_go_in_and_come_out(node: Anvil) -> None:
    found = await read(
        node,
        f"len(owners) == 2 and {OWNERS[1]} in owners and owners[0] == {OWNERS[0]} and has_changed(owners) == false "
        "and pair.amount == 5 and pair.names[1] == 'b' and sum(numbers) == 6 and max(numbers) == 3",
        owners=echoing("address[] owners", OWNERS),
        pair=echoing("(uint8 amount, string[] names) p", {"amount": 5, "names": ["a", "b"]}),
        numbers=echoing("uint256[3] n", [1, 2, 3]),
    )
    assert (found.error, found.holds) == (None, True)


async def test_accounts_are_read_by_their_fields(node: Anvil) -> None:
    found = await read(
        node,
        f"nonce == 7 and proven == 7 and root != 0x{'00' * 32} and there and not nowhere and owner == {OWNERS[0]} "
        f"and paused and address(raw) == {OWNERS[0]} and uint(raw) == uint({OWNERS[0]})",
        nonce={"address": ECHO, "nonce": True},
        proven={"address": ECHO, "proof": "nonce"},
        root={"address": ECHO, "proof": "storage_hash"},
        there={"address": ECHO, "has_code": True},
        nowhere={"address": EMPTY, "has_code": True},
        owner={"address": ECHO, "storage": SLOT, "type": "address"},
        raw={"address": ECHO, "storage": SLOT},
        paused={"address": ECHO, "storage": 1, "type": "bool"},
    )
    assert (found.error, found.holds) == (None, True)


async def test_a_root_of_storage_follows_what_is_stored(node: Anvil) -> None:
    root = {"address": ECHO, "proof": "storage_hash"}
    before = await read(node, "uint(root) > 0", root=root)
    node.rpc("anvil_setStorageAt", ECHO, "0x2", "0x" + "1".rjust(64, "0"))
    node.mine()
    after = await read(node, "uint(root) > 0", root=root)
    assert before.values != after.values


async def test_blocks_are_read_by_their_fields(node: Anvil) -> None:
    block = node.block()
    found = await read(
        node,
        f"number_ == {int(block['number'], 16)} and time == {int(block['timestamp'], 16)} "
        f"and hash == {block['hash']} and state == {block['stateRoot']} "
        f"and fee == {int(block['baseFeePerGas'], 16)} and used <= gas_limit and used == 0",
        number_={"block": "number"},
        time={"block": "timestamp"},
        hash={"block": "hash"},
        state={"block": "state_root"},
        fee={"block": "base_fee"},
        used={"block": "gas_used"},
        gas_limit={"block": "gas_limit"},
    )
    assert (found.error, found.holds) == (None, True)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"address": ECHO, "storage": SLOT, "type": "uint8"}, "not a uint of 8 bits"),
        ({"address": ECHO, "storage": SLOT, "type": "bytes4"}, "bytes4"),
        ({"address": EMPTY, "call": "function f() view returns (uint256)"}, "returned nothing"),
    ],
)
async def test_what_is_not_of_its_type_is_said(node: Anvil, value: dict[str, Any], error: str) -> None:
    found = await read(node, "a == a", a=value)
    assert found.holds is None
    assert error in (found.error or "")


async def test_a_claim_is_compared_with_the_chain(node: Anvil) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"result": {"supply": "0.000007"}})

    app = web.Application()
    app.router.add_get("/supply", answer)
    node.mine()
    async with TestServer(app) as server:
        claim = {
            "http": str(server.make_url("/supply")),
            "path": "result.supply",
            "decimals": 6,
            "allow_private": True,
        }
        nonce = {"address": ECHO, "nonce": True}
        found = await read(node, "claimed == nonce", claimed=claim, nonce=nonce)
        assert (found.error, found.holds) == (None, True)
        refused = await read(node, "claimed == nonce", claimed={**claim, "allow_private": False}, nonce=nonce)
        assert refused.holds is None
        assert "private" in (refused.error or "")
