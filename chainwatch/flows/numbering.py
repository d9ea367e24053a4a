"""The openings of one key in a flow with ``match = "nth"``, by their numbers."""

from __future__ import annotations

from collections import deque

import sqlalchemy as sa

from chainwatch.store import occurrences, step_events

_FIRST_PAGE, _PAGE_MAX = 4, 512
"""How many openings are read at first, and at most, at a time."""


class Openings:
    """Walks through the openings of the key ``base``, the events of ``step``, in the order of their numbers."""

    def __init__(self, connection: sa.Connection, base: bytes, step: str, after: int) -> None:
        """Begin with the first opening whose number is above ``after``."""
        self._connection = connection
        self._base = base
        self._step = step
        self._read_until = after
        self._size = _FIRST_PAGE
        self._found: deque[tuple[int, int]] = deque()
        self._is_whole = False

    def first(self) -> tuple[int, int] | None:
        """Return number and time (Unix seconds) of the next opening; None without any.

        Of openings on several networks with one number, the earliest counts. Where retention has deleted some, the next
        opening is the first that is stored.
        """
        if not self._found and not self._is_whole:
            self._read()
        return self._found[0] if self._found else None

    def take(self) -> None:
        """Go to the opening after the next one."""
        self._found.popleft()

    def _read(self) -> None:
        while not self._found and not self._is_whole:
            rows = step_events.numbered_after(
                self._connection, self._base, self._step, self._read_until, self._size
            )
            self._is_whole = len(rows) < self._size
            times: dict[int, int] = {}
            for number, event in rows:
                at = occurrences.decode(event).timestamp
                times[number] = min(at, times.get(number, at))
            if not self._is_whole:
                times.popitem()  # the rest of its openings may be on the next page
            self._size = 2 * self._size if not times else min(2 * self._size, _PAGE_MAX)
            self._found.extend(times.items())
            self._read_until = max(times, default=self._read_until)
