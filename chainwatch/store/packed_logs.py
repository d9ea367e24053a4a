"""Logs in PostgreSQL's binary COPY format: packed by the process that reads the chains, passed on by the one that stores.

Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". This module imports no database.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, repeat

from chainwatch.model import LogRow, PackedLogs, event_id
from chainwatch.store.texts import escaped


def pack_logs(number: int, rows: Sequence[LogRow]) -> PackedLogs:
    """Return ``rows`` of the network with the id ``number`` as `blocks.save_logs` stores them with the least work."""
    if not rows:
        return PackedLogs(number, b"")
    # by columns, so that no call but the last leaves C
    positions, timestamps, contracts, tx_hashes, addresses, topics, data, errors = zip(*rows, strict=True)
    ids = map(event_id(number, 0, 0).__add__, positions)
    pieces: list[Iterable[bytes]] = [
        map(_HEAD.pack, repeat(len(rows[0])), repeat(8), ids, repeat(8), timestamps)
    ]
    for values in (
        [escaped(contract).encode() for contract in contracts],
        tx_hashes,
        addresses,
        topics,
        data,
    ):
        pieces += [map(_LENGTH.pack, map(len, values)), values]
    pieces.append([_nullable(error) for error in errors])
    packed = chain.from_iterable(zip(*pieces, strict=True))
    return PackedLogs(number, b"".join(chain([_SIGNATURE], packed, [_TRAILER])))


_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_HEAD = struct.Struct(">hiqiq")
"""The number of columns; the length of the id, the id; the length of the timestamp, the timestamp."""
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)


def _nullable(text: str | None) -> bytes:
    if text is None:
        return _NULL
    value = escaped(text).encode()
    return _LENGTH.pack(len(value)) + value
