"""JSON-RPC calls are counted by their network, their method and what became of them."""

from collections import Counter

import pytest

from chainwatch.chain.errors import NodeError, RateLimited, RpcTimeout, TransportError
from chainwatch.support.counters import CALLS, REFUSALS, Count
from tests.unit.chain.test_rpc import endpoint, error, fail, result

NAME = "net[0] node.example"
"""What the transport of these endpoints is called."""


def of(network: str) -> Count:
    return Counter({labels[1:]: number for labels, number in CALLS.items() if labels[0] == network})


async def test_calls_are_counted_by_what_became_of_them() -> None:
    node = endpoint(
        result("0x1"),
        fail(RpcTimeout(NAME, "x")),
        fail(RateLimited(NAME, "x")),
        fail(TransportError(NAME, "x")),
        error(-32000, "no"),
    )
    before, refused = of("net"), REFUSALS["net", "eth_chainId"]
    await node.chain_id()
    for expected in (RpcTimeout, RateLimited, TransportError, NodeError):
        with pytest.raises(expected):
            await node.chain_id()
    assert of("net") - before == {
        ("eth_chainId", "answered"): 2,
        ("eth_chainId", "timeout"): 1,
        ("eth_chainId", "limited"): 1,
        ("eth_chainId", "failed"): 1,
    }
    assert REFUSALS["net", "eth_chainId"] - refused == 1
