"""The frames between a replay and the process that reads for it. Both ends are this program.

A frame is two lengths (64 bits, big-endian), a pickle, and the logs of a batch: rows as MessagePack, or packed already.
"""

from __future__ import annotations

import os
import pickle
import struct
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from chainwatch.model import LogRow, Logs, PackedLogs, SiftedBatch

if TYPE_CHECKING:
    from chainwatch.config import Settings
    from chainwatch.replay.reader.ranges import Range


class Work(NamedTuple):
    """What to read, and by which configuration.

    With ``ids``, the integers that stand for the networks in a PostgreSQL database, logs are packed for it.
    """

    settings: Settings
    ranges: tuple[Range, ...]
    ids: dict[str, int] | None


class Failure(NamedTuple):
    """Why the reading has ended early."""

    message: str


Item: TypeAlias = Work | SiftedBatch | Failure | None
"""None ends the stream."""


Frame: TypeAlias = tuple[bytes, bytes | bytearray]
"""The bytes of an item, in two parts."""


def packed(item: Item) -> Frame:
    """Return the frame of ``item``."""
    rows: bytes | bytearray = b""
    if isinstance(item, SiftedBatch):
        rows, left = _taken_out(item.logs)
        item = msgspec.structs.replace(item, logs=left)
    rest = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
    return _LENGTHS.pack(len(rows), len(rest)) + rest, rows


def send(out: int, frame: Frame) -> None:
    """Write ``frame`` to the file descriptor ``out``. Raises ``OSError`` when the other end is closed."""
    for data in frame:
        left = memoryview(data)
        while left:  # a signal may cut a write short; Python's own writers would lose bytes then
            left = left[os.write(out, left) :]


def receive(source: int) -> Item:
    """Return the next item from the file descriptor ``source``. Raises ``EOFError`` when it ends before."""
    rows_length, rest_length = _LENGTHS.unpack(_read(source, _LENGTHS.size))
    item: Item = pickle.loads(_read(source, rest_length))  # noqa: S301 - from our own process
    if isinstance(item, SiftedBatch):
        item = msgspec.structs.replace(item, logs=_put_back(_read(source, rows_length), item.logs))
    return item


_LENGTHS = struct.Struct(">QQ")
_pack_rows = msgspec.msgpack.Encoder().encode
_unpack_rows = msgspec.msgpack.Decoder(list[LogRow]).decode
"""Logs are most of the bytes, and MessagePack takes a third of the time of pickle."""


def _taken_out(logs: Logs) -> tuple[bytes | bytearray, Logs]:
    """Return the bytes of ``logs``, and what remains of them to be pickled."""
    if isinstance(logs, PackedLogs):
        return logs.data, PackedLogs(logs.number, b"")
    return _pack_rows(logs), []


def _put_back(rows: bytearray, left: Logs) -> Logs:
    """Return the inverse of `_taken_out`."""
    return PackedLogs(left.number, rows) if isinstance(left, PackedLogs) else _unpack_rows(rows)


def _read(source: int, length: int) -> bytearray:
    data = bytearray(length)
    left = memoryview(data)
    while left:
        count = os.readv(source, [left])
        if count == 0:
            raise EOFError
        left = left[count:]
    return data
