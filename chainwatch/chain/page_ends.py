"""Whether the last block of a page can be trusted: the checkpoint will stand there, and a false one halts the network."""

from __future__ import annotations

from chainwatch.chain.errors import Disputed, MalformedAnswer
from chainwatch.chain.pool import Pool
from chainwatch.chain.rpc import Endpoint
from chainwatch.model import Header

FUTURE = 120.0
"""Seconds by which a block may be ahead of the time: block producers may set it a little ahead, and clocks differ."""


class FromTheFuture(Disputed):
    """A block is later than now. One endpoint alone is not trusted with that: every step would be overdue."""


def refuse_future(pool: Pool, endpoint: Endpoint, header: Header | None) -> None:
    """Raise `FromTheFuture` for a block that cannot have been made yet.

    Where no other endpoint can be asked for it, the clock and most other networks must say so.
    """
    if header is None or header.timestamp <= pool.now + FUTURE:
        return
    if not pool.alone or pool.refutes(header.timestamp - FUTURE):
        raise FromTheFuture(
            endpoint.name, f"block {header.number} was made at {header.timestamp}, which is in the future"
        )


async def is_doubtful(endpoint: Endpoint, header: Header, child: Header) -> bool:
    """Return whether ``child`` names another parent than ``header``.

    Raises `MalformedAnswer` where a second answer differs. By itself it proves nothing: recordings and some pruned
    nodes serve blocks that are not linked.
    """
    if child.parent_hash == header.hash:
        return False
    (again,) = await endpoint.headers([header.number])
    if again.hash != header.hash:
        raise _unlinked(endpoint, header)
    return True


async def is_disproved(pool: Pool, end: Header, by: Endpoint) -> bool:
    """Return whether an endpoint has another block than ``end``, given by ``by``, and none has a child of ``end``."""
    other = await pool.ask_another(lambda endpoint: endpoint.headers([end.number]), by)
    if other is None or other[0].hash == end.hash:
        return False

    async def linked(endpoint: Endpoint) -> Header:
        header, child = await endpoint.headers([end.number, end.number + 1])
        if child.parent_hash != header.hash:
            raise _unlinked(endpoint, header)
        return header

    found = await pool.ask_all(linked)
    return bool(found) and all(header.hash != end.hash for header in found)


def _unlinked(endpoint: Endpoint, header: Header) -> MalformedAnswer:
    return MalformedAnswer(
        endpoint.name, f"block {header.number} is not the parent of block {header.number + 1}"
    )
