"""A limit on the bytes of answers that the process holds at once, over all endpoints of all networks (S10).

Bytes are taken while an answer is being read and given back once it is parsed. There is always room for an answer of
ordinary size, so that endpoints that send much do not block others (S8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from chainwatch.support import garbage

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer after decompression, and of all answers to one question; more is refused while it is being read."""

ROOM = 2 * MAX_ANSWER
"""Bytes of all answers that are held at once."""

FREE = 64 * 1024
"""Bytes of an answer that do not count."""

LOOKED_THROUGH = 1024 * 1024
"""Bytes up to which an answer cannot take much memory, whatever it is made of."""

CRUMB = 24
"""Bytes that the members of an answer must have on average; those that nodes send have 30 and more. Smaller ones would
take many times their size when parsed."""

LOOK_AFTER = 64 * 1024 * 1024
"""Bytes of answers after which the memory of the process is checked."""


class TooLarge(Exception):
    """An answer is larger than allowed."""


class NoRoom(Exception):
    """There is no room for more of an answer while so many others are being read."""


class Intake:
    """Room for ``size`` bytes. An owner may take at most as much as is left for all others together."""

    def __init__(self, size: int = ROOM) -> None:
        self._size = size
        self._held: Counter[str] = Counter()
        self._passed = 0

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held.total()

    @contextmanager
    def share(self, owner: str) -> Iterator[Share]:
        """Open a share, whose bytes are given back at the end of the context."""
        share = Share(self, owner)
        try:
            yield share
        finally:
            self._give_back(owner, share.counted)
            self._passed += share.size
            if self._passed >= LOOK_AFTER:
                self._passed = 0
                garbage.collect_if_grown()

    def take(self, owner: str, size: int) -> None:
        """Take ``size`` more bytes for ``owner``. Raises `NoRoom`."""
        held = self.held + size
        if self._held[owner] + size > self._size - held:
            raise NoRoom(f"{held} bytes of answers would be held at once")
        self._held[owner] += size

    def _give_back(self, owner: str, size: int) -> None:
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]


class Share:
    """The bytes of one answer, or of several that are held together. See `Intake.share`."""

    def __init__(self, intake: Intake, owner: str) -> None:
        self.size = 0
        self.counted = 0
        self._intake = intake
        self._owner = owner

    def take(self, size: int) -> None:
        """Take ``size`` more bytes. Raises `TooLarge`, `NoRoom`."""
        self.size += size
        if self.size > MAX_ANSWER:
            raise TooLarge(f"more than {MAX_ANSWER} bytes")
        more = max(0, self.size - FREE) - self.counted
        if more:
            self._intake.take(self._owner, more)
            self.counted += more


INTAKE = Intake()
"""The one of this process."""


def is_crumbled(answer: bytes) -> bool:
    """Return whether a large ``answer`` has members so small that they would take many times its size when parsed."""
    return len(answer) > LOOKED_THROUGH and answer.count(b",") > len(answer) // CRUMB
