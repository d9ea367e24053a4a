"""Files that only their owner can read, from the first byte on, whatever the process's umask."""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, replacing an existing file's content and permissions. Raises ``OSError``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, OWNER_ONLY)
        file.truncate(0)
        file.write(text)


def touch_private(path: Path) -> None:
    """Make an empty file where there is none; an existing one stays as it is. Raises ``OSError``."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY))
    except FileExistsError:
        return
