"""Names for endpoints, and what of a URL is secret (S9)."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from chainwatch.chain.transport import endpoint_name, is_websocket, secret_parts


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


def test_keys_in_path_query_and_user_are_secret_S9() -> None:
    url = SecretStr("https://someuser:somepass@host.example/v3/pathkey1?token=querykey&x=1")
    assert set(secret_parts(url)) == {"someuser", "somepass", "pathkey1", "querykey"}


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://host.example", set()),
        ("https://host.example/", set()),
        ("https://host.example//v3/?x=&y=1#", set()),
        ("https://:@host.example/%20%20%20%20", {"%20%20%20%20"}),
        ("https://host.example/v3/key%2Bpath", {"key%2Bpath", "key+path"}),
        ("https://host.example/?0123456789", {"0123456789"}),
    ],
)
def test_what_is_no_key_is_not_struck_out_of_what_a_node_says(url: str, secret: set[str]) -> None:
    assert set(secret_parts(SecretStr(url))) == secret


def test_the_scheme_tells_a_websocket() -> None:
    assert is_websocket(SecretStr("wss://a"))
    assert is_websocket(SecretStr("ws://a"))
    assert not is_websocket(SecretStr("https://a"))
