"""The header ``Idempotency-Key``: a request that is sent again with its key is answered as before, and done once.

From draft-ietf-httpapi-idempotency-key-header. A refused request has changed nothing, so nothing is kept of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aiohttp import web

from chainwatch.api.identity import IDENTITY
from chainwatch.operations.errors import Conflict, Invalid

HEADER = "Idempotency-Key"
KEY_MAX = 255
"""Characters of a key."""
BODY_MAX = 65_536
"""Bytes of a body that comes with a key: what is kept of its answer is bounded by it."""

PATTERN = rf'[!#-\[\]-~]{{1,{KEY_MAX}}}|"(?:[ !#-\[\]-~]|\\["\\]){{1,{KEY_MAX}}}"'
"""Of the header: printable ASCII, alone or quoted as a structured field's String (RFC 9651, section 3.3.3)."""

_KEY = re.compile(PATTERN)


class Key(NamedTuple):
    """The key of one caller: its hash, the caller's name, and the hash of the request that it came with."""

    id: bytes
    actor: str
    request: bytes


class Answer(NamedTuple):
    """What a request that changed something is answered with."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


class OtherRequest(Exception):
    """The key came with another request before."""


class TooLarge(Exception):
    """The body is too large to come with a key."""


async def key_of(request: web.Request) -> Key | None:
    """Return the key of ``request``; None where it has none. Raises ``Invalid``, and ``TooLarge`` for its body."""
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    text = parse(given)
    content = await request.read()
    if len(content) > BODY_MAX:
        raise TooLarge
    actor = request[IDENTITY].name
    asked = f"{request.method} {request.raw_path}\n{request.content_type}\n".encode(
        "utf-8", "surrogateescape"
    )
    return Key(_hash(f"{actor}\n{text}".encode()), actor, _hash(asked + content))


def parse(given: list[str]) -> str:
    """Return the key in the header's lines ``given``: a quoted string, or its characters alone. Raises ``Invalid``."""
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Invalid(
            f"{HEADER}: expected one key of 1 to {KEY_MAX} printable ASCII characters, such as a UUID"
        )
    text = given[0]
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


class UnderWay:
    """The keys whose requests are being answered."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    @contextmanager
    def holding(self, key: Key) -> Iterator[None]:
        """Hold ``key``. Raises ``Conflict`` where another request holds it."""
        if key.id in self._keys:
            raise Conflict(f"a request with this {HEADER} is under way: ask again in a second")
        self._keys.add(key.id)
        try:
            yield
        finally:
            self._keys.discard(key.id)


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
