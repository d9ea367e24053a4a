"""The hash and the address text against known values and against the reference libraries."""

from __future__ import annotations

import importlib
import sys

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.support import keccak


def test_the_empty_hash_is_the_one_ethereum_uses() -> None:
    assert keccak.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_without_the_c_extension_the_hash_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = keccak.keccak256(b"chainwatch")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sha3", None)  # what Python keeps for a module that cannot be imported
        fallback = importlib.reload(keccak)
        assert hasattr(fallback, "_keccak")
        assert fallback.keccak256(b"chainwatch") == expected
    importlib.reload(keccak)


@given(st.binary(min_size=20, max_size=20))
def test_addresses_get_their_eip_55_text(address: bytes) -> None:
    assert keccak.checksum_address(address) == to_checksum_address(address)
