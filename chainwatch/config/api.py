"""The table of the HTTP server."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from chainwatch.config.types import Expected, FilePath, Table


class Address(NamedTuple):
    """Where a server listens. ``host``: an IP address or `localhost`."""

    host: str
    port: int


def parse_listen(text: str) -> Address:
    """Parse ``HOST:PORT``; an IPv6 address stands in brackets. Raises ``ValueError``."""
    host, colon, port = text.rpartition(":")
    number = int(port) if re.fullmatch("[0-9]{1,5}", port) else 0
    bracketed = re.fullmatch(r"\[(.*)\]", host)
    if not colon or not 0 < number < 2**16 or (":" in host and not bracketed):
        raise ValueError("expected HOST:PORT")
    return Address(bracketed[1] if bracketed else host, number)


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine reach ``host``."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _listen(text: str) -> str:
    wanted = (
        'an address of this machine and a port, such as "127.0.0.1:9095" or "[::]:9095"; "" for no server'
    )
    try:
        is_good = not text or _is_address(parse_listen(text).host)
    except ValueError:
        is_good = False
    if not is_good:
        raise Expected(wanted)
    return text


def _origin(text: str) -> str:
    """Return an origin as browsers send it: in small letters, without the usual port."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host, parts = None, "", urlsplit("")
    is_origin = parts.scheme in ("http", "https") and parts.username is None and not parts.path.strip("/")
    if not (is_origin and host.isascii() and re.fullmatch(r"[^\s/?#@]+", host)) or "?" in text or "#" in text:
        raise Expected("an origin such as https://karma.example.org: a scheme, a host, perhaps a port")
    usual = {"http": 80, "https": 443}[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, usual) else "")


class ApiSettings(Table):
    """The HTTP server of `chainwatch run`. Who may call it is decided by tokens (`chainwatch token`)."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:9095",
        description='Address and port to listen on; `""`: no server. On any but a loopback address it listens once there is '
        "a token.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="PEM file with the certificate and its chain. Default: HTTP without TLS."
    )
    tls_key: FilePath | None = Field(default=None, description="PEM file with the certificate's private key.")
    allowed_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(
        default=[],
        description="Origins, such as `https://karma.example.org`, whose pages may call the server from a browser; the name "
        "under which a reverse proxy passes requests on belongs here too.",
    )

    @model_validator(mode="after")
    def _has_both_parts_of_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise Expected("tls_certificate and tls_key together, or neither")
        return self
