"""Symbols and decimals from contracts on a real node: proper ones, and ones that answer whatever they like."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from eth_abi.abi import encode

from chainwatch.chain.erc20 import DECIMALS, AssetMetadata, read_metadata
from chainwatch.chain.history import header_at
from tests.support.anvil import Anvil
from tests.support.erc20 import SIX, code, text, token
from tests.support.observing import network_settings, open_pool

CONTRACTS: dict[str, tuple[bytes, AssetMetadata]] = {
    "a string": (token(text("USDC")), AssetMetadata("USDC", 6)),
    "bytes32": (token(b"MKR".ljust(32, b"\0"), encode(["uint256"], [18])), AssetMetadata("MKR", 18)),
    "no symbol": (code({DECIMALS: SIX}), AssetMetadata(None, 6)),
    "nothing": (bytes.fromhex("5f5ffd"), AssetMetadata(None, None)),
    "no code": (b"", AssetMetadata(None, None)),
    "255 decimals": (token(text("X"), encode(["uint256"], [255])), AssetMetadata("X", None)),
    "markup": (token(text("[free](https://a.example) @everyone")), AssetMetadata(None, 6)),
    "control characters": (token(text("\x1b[2J\u202e")), AssetMetadata(None, 6)),
    "half of UTF-8": (token(text("X")[:64] + b"\xe2\x82".ljust(32, b"\0")), AssetMetadata(None, 6)),
    "a length beyond its end": (token((32).to_bytes(32, "big") + b"\xff" * 32), AssetMetadata(None, 6)),
    "a loop": (bytes.fromhex("5b5f56"), AssetMetadata(None, None)),
    "a megabyte": (bytes.fromhex("621000005ff3"), AssetMetadata(None, None)),  # more gas than the call has
    "600 kB of zeros": (bytes.fromhex("620927c05ff3"), AssetMetadata(None, 0)),
}


@pytest.mark.anvil
async def test_each_contract_is_read_and_none_spoils_another(anvil_factory: Callable[..., Anvil]) -> None:
    node = anvil_factory(chain_id=1)
    addresses = {name: bytes([0xC0, number] * 10) for number, name in enumerate(CONTRACTS)}
    for name, (deployed, _) in CONTRACTS.items():
        node.rpc("anvil_setCode", "0x" + addresses[name].hex(), "0x" + deployed.hex())
    node.mine()
    async with open_pool(network_settings(node.http_url)) as pool:
        block, begun = await header_at(pool, 1), time.monotonic()
        said = await read_metadata(pool, block, list(addresses.values()))
        assert {name: said[address] for name, address in addresses.items()} == {
            name: expected for name, (_, expected) in CONTRACTS.items()
        }
        assert time.monotonic() - begun < 30
        for name, address in addresses.items():  # alone, too
            assert await read_metadata(pool, block, [address]) == {address: CONTRACTS[name][1]}
        assert pool.endpoints[0].state == "ok"
