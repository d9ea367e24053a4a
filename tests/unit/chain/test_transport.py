"""Names for endpoints, and what of a URL is secret (S9)."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from chainwatch.chain.transport import endpoint_name, is_websocket


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://mainnet.infura.io/v3/0123456789abcdef", "ethereum[0] mainnet.infura.io"),
        ("http://user:password@127.0.0.1:8545", "ethereum[0] 127.0.0.1:8545"),
        ("wss://node.example/?apikey=0123456789", "ethereum[0] node.example"),
    ],
)
def test_an_endpoint_is_named_by_network_index_and_host_S9(url: str, name: str) -> None:
    assert endpoint_name("ethereum", 0, SecretStr(url)) == name


def test_the_scheme_reports_a_websocket() -> None:
    assert is_websocket(SecretStr("wss://a"))
    assert is_websocket(SecretStr("ws://a"))
    assert not is_websocket(SecretStr("https://a"))
