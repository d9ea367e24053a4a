"""Labels of series by how senders wrote them, so that those that come again are neither decoded nor checked again."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Sequence
from itertools import count, repeat
from typing import Any

from chainwatch.promql.series import Labels

UNKNOWN = -1
"""The number of a symbol that is in no known labels."""
NUMBER_SIZE = 8
"""The bytes of a number, written."""


class KnownLabels:
    """Labels by their bytes (1.0), or by the numbers of their symbols (2.0), as each request has its symbols in another
    order. Bounded; for one thread.
    """

    def __init__(self, most: int = 250_000) -> None:
        self._most = most
        self._labels: dict[Hashable, Labels] = {}
        self._by_numbers: dict[bytes, Labels] = {}
        self._numbers: dict[bytes, int] = {}
        self._next = count()  # none is given twice: a request may still hold those that were forgotten
        self._new: list[tuple[dict[Any, Any], Hashable]] = []
        self.get = self._labels.get
        """Returns the labels that came so before, None for others."""
        self.get_by_numbers = self._by_numbers.get
        """Returns the labels of symbols with these numbers, written by ``write_numbers``; None for others."""

    def numbers(self, symbols: Iterable[bytes]) -> list[int]:
        """Return the number of each symbol."""
        return list(map(self._numbers.get, symbols, repeat(UNKNOWN)))

    def keep(self, key: Hashable, labels: Labels) -> None:
        """Keep labels, for good if ``settle`` says so."""
        self._make_room()
        self._add(self._labels, key, labels)

    def keep_symbols(self, symbols: Sequence[bytes], labels: Labels) -> None:
        """Keep labels by their symbols."""
        self._make_room()
        for symbol in symbols:
            if symbol not in self._numbers:
                self._add(self._numbers, symbol, next(self._next))
        self._add(self._by_numbers, write_numbers(self.numbers(symbols)), labels)

    def settle(self, *, is_kept: bool) -> None:
        """Keep what is new since the last time, or forget it: series that are refused must not fill the memory."""
        if not is_kept:
            for known, key in self._new:
                known.pop(key, None)
        self._new.clear()

    def _add(self, known: dict[Any, Any], key: Hashable, value: Any) -> None:
        known[key] = value
        self._new.append((known, key))

    def _make_room(self) -> None:
        if len(self._labels) + len(self._by_numbers) >= self._most:
            for known in (self._labels, self._by_numbers, self._numbers, self._new):
                known.clear()


def write_numbers(numbers: Iterable[int]) -> bytes:
    """Return the numbers of symbols as labels are known by."""
    return array("q", numbers).tobytes()
