"""Names for endpoints, and what of a URL is secret (S9)."""

from __future__ import annotations

import aiohttp
import pytest
from pydantic import SecretStr
from yarl import URL

from chainwatch.chain.errors import TransportError
from chainwatch.chain.transport import client_errors, endpoint_name, is_websocket


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


SECRET = "https://node.example/v3/0123456789abcdef"
REQUEST = aiohttp.RequestInfo(URL(SECRET), "POST", {}, URL(SECRET))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "raised",
    [
        aiohttp.InvalidURL(SECRET),
        aiohttp.ClientResponseError(REQUEST, (), status=400, message=SECRET),
        aiohttp.ServerDisconnectedError(SECRET),
        aiohttp.ClientPayloadError(SECRET),
        OSError(111, SECRET),
        ValueError(SECRET),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_no_error_of_a_request_holds_its_url_S9(raised: Exception) -> None:
    with pytest.raises(TransportError) as found, client_errors("ethereum[0] node.example"):
        raise raised
    assert "0123456789abcdef" not in f"{found.value} {found.value!r}"
    assert found.value.__suppress_context__, "a traceback would show what was raised"
