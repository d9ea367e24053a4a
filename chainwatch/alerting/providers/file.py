"""A file of JSON lines, one for each notification, rotated by size."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import Field

from chainwatch.alerting.delivery.notification import Notification
from chainwatch.alerting.providers import text
from chainwatch.alerting.providers.provider import Capabilities, DeliveryError, Receipt, Server
from chainwatch.alerting.providers.thread import Threads
from chainwatch.alerting.providers.transport import Transport, reason
from chainwatch.alerting.providers.webhook_bodies import alertmanager
from chainwatch.config.receivers import ReceiverSettings
from chainwatch.config.types import AtLeastOne, FilePath

WRITE_TIMEOUT = 30.0
"""Seconds within which the file system must take a line."""
SMALLEST = 1024
"""The least bytes of ``max_bytes``."""
WHO = "the file"


class FileSettings(ReceiverSettings):
    """A file of JSON lines, one for each notification: Alertmanager's webhook body with `time` and `idempotencyKey`."""

    path: FilePath = Field(
        description="The file; its folder must exist. It is opened for each line, so other programs may rotate it too."
    )
    max_bytes: Annotated[int, Field(ge=SMALLEST, strict=True)] = Field(
        default=10_485_760, description="Bytes after which the file is renamed and a new one begun."
    )
    keep: AtLeastOne = Field(
        default=5, description="How many renamed files are kept: `NAME.1` is the newest of them."
    )


class FileProvider:
    """Appends one line for each notification and has it on the disk before it counts as delivered."""

    settings_type = FileSettings
    capabilities = Capabilities()
    server: Server | None = None

    def __init__(self, settings: FileSettings, transport: Transport) -> None:
        self._settings = settings
        self._threads = Threads(WHO, WRITE_TIMEOUT)

    def render(self, notification: Notification, previous: Receipt | None) -> dict[str, Any]:
        """Return the line's object without the time at which it is written."""
        return {"idempotencyKey": notification.idempotency_key, **alertmanager(notification)}

    async def send(self, message: dict[str, Any]) -> Receipt:
        """Append it. Raises ``DeliveryError`` when the file system refuses."""
        line = msgspec.json.encode({"time": text.rfc3339(int(time.time())), **message}) + b"\n"
        settings = self._settings
        try:
            await self._threads.run(lambda: append(settings.path, line, settings.max_bytes, settings.keep))
        except OSError as error:
            raise DeliveryError(f"{WHO} cannot be written: {reason(error)}", refused=True) from None
        return Receipt()


def append(path: Path, line: bytes, max_bytes: int, keep: int) -> None:
    """Append ``line`` to the file at ``path``, after renaming one that would exceed ``max_bytes``; all or nothing.

    Raises ``OSError``.
    """
    size = _size(path)
    if size and size + len(line) > max_bytes:
        _rotate(path, keep)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = os.fstat(descriptor).st_size
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"  # a crash may have cut the last line off
        try:
            _write(descriptor, b"\n" + line if torn else line)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    """Return the bytes of the file at ``path``; zero where there is none. Raises ``OSError`` for a folder, a pipe, …"""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(
        found.st_mode
    ):  # a folder must not be renamed, and fsync fails on a pipe after each line
        raise OSError(errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL, "not a regular file")
    return found.st_size


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _rotate(path: Path, keep: int) -> None:
    """Rename the file to ``NAME.1``, that to ``NAME.2`` and so on; the one after ``keep`` is overwritten."""
    for number in range(keep - 1, 0, -1):
        older = _numbered(path, number)
        if older.exists():
            older.replace(_numbered(path, number + 1))
    path.replace(_numbered(path, 1))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
