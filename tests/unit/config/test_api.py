"""The table of the server."""

from typing import Any

import pytest

from chainwatch.config import ConfigError, read_dict
from chainwatch.config.api import parse_listen


def settings(**api: Any) -> Any:
    return read_dict({"api": api}, watches=False).settings().api


def test_it_listens_on_loopback_unless_it_is_switched_off() -> None:
    assert settings().listen == "127.0.0.1:9095"
    assert settings(listen="").listen == ""
    assert parse_listen(settings(listen="[::1]:80").listen) == ("::1", 80)
    assert parse_listen(settings(listen="localhost:65535").listen) == ("localhost", 65_535)


@pytest.mark.parametrize(
    "listen",
    [
        "9095",
        ":9095",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:٣",
        "::1:80",
        "example.org:80",
    ],
)
def test_other_addresses_are_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="listen"):
        settings(listen=listen)


@pytest.mark.parametrize(
    ("origin", "kept"),
    [
        ("https://Karma.example", "https://karma.example"),
        ("https://karma.example:443/", "https://karma.example"),
        ("http://karma.example:8080", "http://karma.example:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(origin: str, kept: str) -> None:
    assert settings(allowed_origins=[origin]).allowed_origins == [kept]


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "karma.example",
        "https://",
        "https://a.example/path",
        "https://u@a.example",
        "ftp://a.example",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="allowed_origins"):
        settings(allowed_origins=[origin])


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ConfigError, match="together, or neither"):
        settings(tls_certificate="server.pem")
