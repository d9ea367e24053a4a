"""How many bytes of answers the process holds at once, over all endpoints of all networks (S10).

Bytes are taken while an answer is being read and given back once it is parsed. There is always room for an answer of an
ordinary size: however much some endpoints send, what others send comes through (S8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from chainwatch.support import garbage

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer after decompression, and of all answers to one question; more is refused while it is being read."""

ROOM = 2 * MAX_ANSWER
"""Bytes of all answers that are held."""

FREE = 64 * 1024
"""Bytes of an answer that do not count."""

LOOKED_THROUGH = 1024 * 1024
"""Bytes up to which an answer cannot do harm by what it is made of."""

CRUMB = 24
"""Bytes that a member of an answer has on average at least; those of what nodes answer have 30 and more. Smaller ones
would take many times their size when they are parsed."""

LOOK_AFTER = 64 * 1024 * 1024
"""Bytes of answers after which it is time to look how much memory the process takes."""


class TooLarge(Exception):
    """An answer is larger than any that is held."""


class NoRoom(Exception):
    """There is no room for more of an answer while so many others are being read."""


class Intake:
    """Room for ``size`` bytes. An owner has at most as much as is left for all others together."""

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
        """What is taken from it is given back at the end of the context."""
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
        """Hold ``size`` more bytes for ``owner``. Raises `NoRoom`."""
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
        """Hold ``size`` more bytes. Raises `TooLarge`, `NoRoom`."""
        self.size += size
        if self.size > MAX_ANSWER:
            raise TooLarge(f"more than {MAX_ANSWER} bytes")
        more = max(0, self.size - FREE) - self.counted
        if more:
            self._intake.take(self._owner, more)
            self.counted += more


INTAKE = Intake()
"""That of this process."""


def is_crumbled(answer: bytes) -> bool:
    """Whether a large ``answer`` is made of so small members that they would take many times its size."""
    return len(answer) > LOOKED_THROUGH and answer.count(b",") > len(answer) // CRUMB
