"""HTTP sessions for receivers, which go to public addresses only unless the receiver allows others."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import aiohttp

from chainwatch.dns import Connector

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection to come up."""
TOTAL_TIMEOUT = 60.0
"""Seconds for a whole request, whatever the receiver's own time-out."""


class PrivateAddress(OSError):
    """A receiver's name leads to an address that is not on the public internet."""


def open_session(*, allow_private: bool) -> aiohttp.ClientSession:
    """A session without cookies and proxies.

    Unless ``allow_private``, every connection is checked at the address it really goes to, so neither a literal
    address nor a name that changes its mind between two look-ups leads inside.
    """
    return aiohttp.ClientSession(
        connector=Connector(socket_factory=None if allow_private else _public_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TOTAL_TIMEOUT, connect=CONNECT_TIMEOUT),
        trust_env=False,
    )


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, itself and any IPv4 address it stands for."""
    return all(
        ip.is_global and not (ip.is_multicast or ip.is_reserved or getattr(ip, "is_site_local", False))
        for ip in _meant(ipaddress.ip_address(address.partition("%")[0]))
    )


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _meant(ip: _Address) -> list[_Address]:
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)]
    inside = [ip.sixtofour, *(ip.teredo or ())]
    return [ip, *(address for address in inside if address is not None)]


def _public_socket(info: Any) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise PrivateAddress("not a public address")  # one text: the connector merges equal errors
    return socket.socket(family, kind, protocol)
