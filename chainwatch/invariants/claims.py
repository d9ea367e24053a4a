"""Asks for the JSON documents whose claims invariants compare with the chains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from chainwatch.alerting.providers.provider import DeliveryError, Server
from chainwatch.alerting.providers.transport import ANSWER_MAX, Transport
from chainwatch.chain.errors import RpcError
from chainwatch.chain.state import Unread
from chainwatch.checker.invariants.invariant import StateRead
from chainwatch.model import Header

FRESH = 120
"""Seconds that a block may be old whose values are compared with what is claimed now."""
PATIENCE = 5.0
"""Seconds for a document."""
_OK = 200
_HEADERS = {"Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class NoClaim:
    """There is nothing to compare; ``reason`` says why."""

    reason: str


Claimed: TypeAlias = bytes | NoClaim | Unread
"""A document, or why there is none: ``Unread`` for what may be tried again."""


async def read_claims(header: Header, reads: Collection[StateRead]) -> dict[StateRead, Claimed]:
    """Return the documents of ``reads`` as they are now, if the block is one of now."""
    if abs(time.time() - header.timestamp) > FRESH:
        reason = f"block {header.number} is older than {FRESH} s: what is claimed now says nothing about it"
        return dict.fromkeys(reads, NoClaim(reason))
    async with Transport() as transport:
        documents = await asyncio.gather(*(_document(transport, read) for read in reads))
    return dict(zip(reads, documents, strict=True))


async def _document(transport: Transport, read: StateRead) -> Claimed:
    server = Server(read.field, bool(read.slot))
    try:
        answer = await transport.request(
            "GET", server, b"", _HEADERS, who="the claim", within=PATIENCE, answer_within=PATIENCE
        )
    except DeliveryError as error:
        return Unread(RpcError("http", str(error)))
    if answer.status != _OK:
        return Unread(RpcError("http", f"the claim has the HTTP status {answer.status}"))
    if len(answer.body) >= ANSWER_MAX:
        return NoClaim(f"the claim has more than {ANSWER_MAX} bytes")
    return answer.body
